"""Talk to a lookup-table server, or read its tables from files without one."""

from latency_tables.client.cache import Cache
from latency_tables.client.client import LutClient, OnJob
from latency_tables.client.errors import (
    Conflict,
    JobFailed,
    LeaseLost,
    LutError,
    Misdirected,
    NotAccurate,
    NotFound,
    Rejected,
    ServerUnavailable,
    UnreadableTable,
)
from latency_tables.client.offline import load_calibration, load_table

__all__ = [
    "Cache",
    "Conflict",
    "JobFailed",
    "LeaseLost",
    "LutClient",
    "LutError",
    "Misdirected",
    "NotAccurate",
    "NotFound",
    "OnJob",
    "Rejected",
    "ServerUnavailable",
    "UnreadableTable",
    "load_calibration",
    "load_table",
]

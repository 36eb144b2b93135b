"""Talk to a lookup-table server, blocking or not, or read its tables from files without one."""

from lut_server.client.cache import Cache
from lut_server.client.errors import (
    Conflict,
    JobFailed,
    LeaseLost,
    LutError,
    NotAccurate,
    NotFound,
    Rejected,
    ServerUnavailable,
    UnreadableTable,
)
from lut_server.client.methods import AsyncLutClient, LutClient
from lut_server.client.offline import load_table

__all__ = [
    "AsyncLutClient",
    "Cache",
    "Conflict",
    "JobFailed",
    "LeaseLost",
    "LutClient",
    "LutError",
    "NotAccurate",
    "NotFound",
    "Rejected",
    "ServerUnavailable",
    "UnreadableTable",
    "load_table",
]

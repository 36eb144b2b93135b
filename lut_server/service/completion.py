"""Completing a job stores its end, its table and the calibration at once: a job that is done has its calibration.

The calibration is computed before that, outside of any transaction, so that no writer waits for it.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import uuid6

from latency_tables.contract import Calibration, Completion, Job, LatencyTable
from lut_server.analysis.prediction import Uncalibratable, calibrated
from lut_server.storage import calibrations, leases
from lut_server.storage.database import Database, unavailable

ATTEMPTS = 3

log = logging.getLogger(__name__)


class _Calibrated(NamedTuple):
    """A table, which may not be stored yet, with its calibration and the digest of what that was made from."""

    table: LatencyTable
    calibration: Calibration
    evidence: str


class _Outdated(Exception):
    """Measurements came while a calibration was computed."""


def complete(database: Database, id: UUID, token: str, completion: Completion, clock: Callable[[], datetime]) -> Job:
    """End a lease and its job, and store the calibration that its results allow.

    If networks are measured faster than calibrations are computed, or if none can be computed, the job is done without
    a calibration.

    Raises:
        NotFound, Conflict, LeaseEnded: as `storage.leases.complete` does.
        SQLAlchemyError: the database is not available; nothing was stored.
    """
    for _ in range(ATTEMPTS):
        ready = _calibrate(database, id, token, completion, clock())
        try:
            with database.write() as session:
                job = leases.complete(session, id, token, completion, clock(), ready.table if ready else None)
                if ready and job.state == "done" and not calibrations.add(session, ready.calibration, ready.evidence):
                    raise _Outdated
            return job
        except _Outdated:
            continue
    log.warning("lease %s: networks are measured faster than calibrations are computed; completed without one", id)
    with database.write() as session:
        return leases.complete(session, id, token, completion, clock())


def _calibrate(database: Database, id: UUID, token: str, completion: Completion, now: datetime) -> _Calibrated | None:
    """The table under the conditions of a lease with its new calibration; None if there is no new evidence."""
    with database.read() as session:
        finishing = leases.about_to_finish(session, id, token, completion)
        if finishing is None:
            return None
    try:
        with database.read() as session:
            due = calibrations.due(session, *finishing, now)
        if due is None:
            return None
        calibration = calibrated(due.table, due.measured, uuid6.uuid7(), now, due.others)
        return _Calibrated(due.table, calibration, due.evidence)
    except Uncalibratable as error:
        log.warning("not calibrated: %s", error)
    except Exception as error:
        if unavailable(error) is not None:
            raise
        log.exception("lease %s is completed without a calibration", id)
    return None

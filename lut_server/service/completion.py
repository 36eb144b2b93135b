"""Tables are calibrated anew when a job is done: outside of any transaction, so that no writer waits for it."""

import logging
from datetime import datetime
from uuid import UUID

import uuid6

from latency_tables.contract import Job
from lut_server.analysis.prediction import Uncalibratable, calibrated
from lut_server.storage import calibrations
from lut_server.storage.database import Database

ATTEMPTS = 3

log = logging.getLogger(__name__)


def recalibrate(database: Database, lease_id: UUID, job: Job, now: datetime) -> None:
    """Calibrate the newest table under the conditions of a lease whose job is done, if there is new evidence.

    Where networks are measured faster than this can follow, the last of their jobs to be done has the last word.
    """
    for _ in range(ATTEMPTS):
        with database.read() as session:
            due = calibrations.due(session, lease_id, job)
        if due is None:
            return
        try:
            calibration = calibrated(due.table, due.measured, uuid6.uuid7(), now)
        except Uncalibratable as error:
            log.warning("not calibrated: %s", error)
            return
        with database.write() as session:
            if calibrations.add(session, calibration, due.evidence):
                return

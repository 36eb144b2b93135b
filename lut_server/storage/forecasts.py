"""When open jobs start and how long they take, from what their device took for the jobs before in the same runtime."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import Forecast, Progress, remaining_s
from lut_server.storage.database import select_in
from lut_server.storage.models import DeviceRow, JobRow

NEWEST = 20
"""Jobs of a device and runtime that are looked at, newest first."""
ALIKE = 3
"""The time of a job is the median over so many, those that are most like it."""
AHEAD = 100
"""With more queued jobs than this before it, a job's start is not known."""
SILENT = timedelta(minutes=2)
"""A device that was not heard of for so long has no agent, which asks for work every 25 s: nobody knows its starts."""


class Task(NamedTuple):
    """What a forecast goes by. `device` is None where several may take the job; `brief` is that of the job."""

    device: str | None
    runtime: str
    brief: dict[str, Any]
    missing: int


class Clocks:
    """How long tasks take; remembers the earlier jobs of every device and runtime that it was asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._done: dict[tuple[str, str], list[tuple[dict[str, Any], int, float]]] = {}

    def takes_s(self, task: Task) -> float | None:
        """Seconds from the start of a job to its end; None without an earlier one of its kind."""
        if task.missing == 0:
            return 0.0
        if task.device is None:
            return None
        key = task.device, task.runtime
        if key not in self._done:
            self._done[key] = self._read(*key)
        like = [done for done in self._done[key] if bool(done[0]["networks"]) == bool(task.brief["networks"])]
        like.sort(key=lambda done: _unlikeness(task, done[0], done[1]))
        paces = [seconds / missing for _, missing, seconds in like[:ALIKE]]
        return median(paces) * task.missing if paces else None

    def _read(self, device: str, runtime: str) -> list[tuple[dict[str, Any], int, float]]:
        """Brief, measured keys and seconds of jobs that measured something, newest first."""
        rows = self._session.execute(
            select(JobRow.brief, JobRow.missing, JobRow.started_at, JobRow.updated_at)
            .where(JobRow.ran_on == device, JobRow.runtime == runtime, JobRow.state == "done", JobRow.missing > 0)
            .order_by(JobRow.sequence.desc())
            .limit(NEWEST)
        )
        return [
            (json.loads(brief), missing, max((ended - started).total_seconds(), 0.0))
            for brief, missing, started, ended in rows
            if started is not None
        ]


def _unlikeness(task: Task, brief: dict[str, Any], missing: int) -> tuple[bool, bool, float]:
    """Other input sizes and budgets are the furthest; then other numbers of keys, since starting takes time too."""
    return (
        brief["largest_input"] != task.brief["largest_input"],
        brief["budget_s"] != task.brief["budget_s"],
        abs(math.log(missing / task.missing)),
    )


def of_jobs(session: Session, rows: Iterable[JobRow], now: datetime) -> dict[int, Forecast]:
    """Forecasts of those of the jobs that are leased or queued, of AHEAD at most, by sequence."""
    open_rows = [row for row in rows if row.state in ("leased", "queued")][:AHEAD]
    if not open_rows:
        return {}
    devices = _devices(session, open_rows)
    clocks = Clocks(session)
    asked = {row.sequence: _task(row, devices) for row in open_rows}
    starts, _ = _starts_s(session, clocks, {task.device for task in asked.values()}, now)
    return {
        row.sequence: Forecast(
            missing=row.missing,
            takes_s=clocks.takes_s(asked[row.sequence]),
            starts_in_s=starts.get(row.sequence),
        )
        for row in open_rows
    }


def of_new(session: Session, task: Task, now: datetime) -> Forecast:
    """The forecast of a job that would be queued now."""
    clocks = Clocks(session)
    _, free = _starts_s(session, clocks, {task.device}, now)
    starts_in_s = None if task.device is None else free[task.device]
    return Forecast(missing=task.missing, takes_s=clocks.takes_s(task), starts_in_s=starts_in_s)


def _devices(session: Session, rows: Iterable[JobRow], uuids: Iterable[str] = ()) -> dict[str, DeviceRow]:
    """Visible devices by uuid, and by "name " and their folded name where only one has it."""
    rows = list(rows)
    named = {row.device_name for row in rows} - {None}
    wanted = {*uuids, *(row.ran_on for row in rows), *(row.device_uuid for row in rows)} - {None}
    query = select(DeviceRow).where(DeviceRow.hidden.is_(False))
    devices = {device.uuid: device for (device,) in select_in(session, query, DeviceRow.uuid, wanted)}
    of_name = [device for (device,) in select_in(session, query, DeviceRow.folded_name, named)]
    times = Counter(device.folded_name for device in of_name)
    only = {f"name {device.folded_name}": device for device in of_name if times[device.folded_name] == 1}
    return {**devices, **only}


def _task(row: JobRow, devices: dict[str, DeviceRow]) -> Task:
    device = row.ran_on if row.state == "leased" else row.device_uuid
    if device is None and f"name {row.device_name}" in devices:
        device = devices[f"name {row.device_name}"].uuid
    return Task(device, row.runtime, json.loads(row.brief), row.missing)


def _starts_s(
    session: Session, clocks: Clocks, asked: Collection[str | None], now: datetime
) -> tuple[dict[int, float | None], dict[str, float | None]]:
    """Seconds until the jobs of the asked devices start, by sequence; and until each device has done them all."""
    uuids = {uuid for uuid in asked if uuid is not None}
    leased = select(JobRow).where(JobRow.state == "leased", JobRow.ran_on.in_(uuids))
    queued = session.scalars(
        select(JobRow).where(JobRow.state == "queued").order_by(JobRow.sequence).limit(AHEAD + 1)
    ).all()
    queue = [*session.scalars(leased), *queued[:AHEAD]]
    devices = _devices(session, queue, uuids)
    free: dict[str, float | None] = {
        uuid: 0.0 if uuid in devices and now - devices[uuid].heartbeat_at <= SILENT else None for uuid in uuids
    }
    starts: dict[int, float | None] = {}
    for row in queue:
        task = _task(row, devices)
        if task.device is None:  # whoever is free takes it: what comes after it on any of them is not known
            free = dict.fromkeys(uuids)
        elif task.device in free:
            before_s, takes_s = free[task.device], clocks.takes_s(task)
            if row.state == "leased":
                elapsed_s = (now - row.started_at).total_seconds() if row.started_at else 0.0
                takes_s = remaining_s(Progress.model_validate_json(row.progress), elapsed_s, takes_s)
            starts[row.sequence] = before_s
            free[task.device] = None if before_s is None or takes_s is None else before_s + takes_s
    return starts, dict.fromkeys(uuids) if len(queued) > AHEAD else free

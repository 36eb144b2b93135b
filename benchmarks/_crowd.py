"""Fills a database with many devices as their agents would over a year, without their requests: rows as the server
writes them, from one real example of each kind."""

import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from latency_tables.contract import (
    Calibration,
    Device,
    DeviceReport,
    DeviceSelector,
    Environment,
    JobRequest,
    LatencyTable,
    Measurement,
    NetworkSpec,
    OperationSpec,
    Progress,
    Runtime,
    sha256,
)
from latency_tables.contract.devices import Capability
from lut_server.storage import calibrations, devices, jobs, networks, operations, tables
from lut_server.storage.database import Database, insert_missing
from lut_server.storage.models import (
    CalibrationRow,
    JobKeyRow,
    JobRow,
    LatencyTableRow,
    LeaseRow,
    MeasurementRow,
)

RUNTIMES = tuple(
    Runtime(mode=mode, precision=precision)
    for mode, precision in (
        *(("pytorch", precision) for precision in ("fp32", "tf32", "fp16", "bf16")),
        *(("pytorch-graph", precision) for precision in ("fp32", "fp16")),
        *(("tensorrt", precision) for precision in ("fp32", "fp16", "int8")),
        ("onnxruntime", "fp32"),
    )
)
"""A device has a table of each: ten."""
ROUNDS = 4
"""How often every operation was measured."""
NETWORKS = 20
BEGIN = datetime(2025, 6, 1, tzinfo=timezone.utc)
DEVICES_AT_ONCE = 5
DEVICE = "GPU-crowd-some"
"""Stands in bodies for the device's own."""


@dataclass
class Examples:
    """One real object of each kind; their rows are what the crowd's rows are made of."""

    operations: list[OperationSpec]
    networks: list[NetworkSpec]
    profile: JobRequest
    measure: JobRequest
    table: LatencyTable
    calibration: Calibration
    measurements: dict[str, Measurement]
    """By key, of operations and of networks."""


@dataclass
class Crowd:
    """Adds devices, numbered from 0."""

    database: Database
    examples: Examples
    draw: random.Random = field(default_factory=lambda: random.Random(3))
    size: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: count(0x0196_0000_0000_7000_8000_0000_0000_0000))
    _templates: dict[str, Callable[..., str]] = field(default_factory=dict)
    _bodies: dict[tuple[str, int], JobRequest] = field(default_factory=dict)
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def id(self) -> UUID:
        """A UUIDv7 after the one before."""
        return UUID(int=next(self._ids))

    def grow(self, to: int) -> None:
        """Add devices until there are `to`."""
        while self.size < to:
            numbers = range(self.size, min(to, self.size + DEVICES_AT_ONCE))
            with self.database.write() as session:
                if self.size == 0:
                    operations.add(session, self.examples.operations)
                    networks.add(session, self.examples.networks, BEGIN)
                for number in numbers:
                    self._add(session, number)
            self.size = numbers.stop
            self._bodies.clear()

    def _add(self, session: Session, number: int) -> None:
        report = device_of(number)
        devices.add_missing(session, report, BEGIN, BEGIN + timedelta(days=300, seconds=number))
        rows: dict[type[Any], list[dict[str, Any]]] = {
            model: [] for model in (JobRow, JobKeyRow, LeaseRow, LatencyTableRow, CalibrationRow, MeasurementRow)
        }
        for index, runtime in enumerate(RUNTIMES):
            at = BEGIN + timedelta(days=30 * index, minutes=number)
            newest = self._profile(rows, report, runtime, at)
            table_id = self._table(rows, report, runtime, at, newest)
            for job in rows[JobRow][-(ROUNDS // 2) :]:
                job["table_id"] = table_id
            self._networks(rows, report, runtime, at)
        for model in (LatencyTableRow, CalibrationRow, JobRow, JobKeyRow, LeaseRow, MeasurementRow):
            insert_missing(session, model, rows[model])
        measured = len(rows[MeasurementRow])
        session.connection().exec_driver_sql(
            f"UPDATE devices SET measurements = {measured} WHERE uuid = '{report.device.uuid}'"
        )

    def _profile(
        self, rows: dict[type[Any], list[dict[str, Any]]], report: DeviceReport, runtime: Runtime, at: datetime
    ) -> list[UUID]:
        """Jobs with their measurements; the ids of the last round, in the order of the operations."""
        newest: list[UUID] = []
        request = self.examples.profile
        for round_number in range(ROUNDS):
            if round_number % 2 == 0:
                job_id = self._job(rows, report, request, runtime, at + timedelta(hours=round_number))
            newest = [
                self._measurement(rows, report, runtime, job_id, operation.digest, at)
                for operation in request.operations
            ]
        return newest

    def _networks(
        self, rows: dict[type[Any], list[dict[str, Any]]], report: DeviceReport, runtime: Runtime, at: datetime
    ) -> None:
        chosen = self._own(report)
        request = self.examples.measure.model_copy(update={"networks": tuple(chosen)})
        job_id = self._job(rows, report, request, runtime, at + timedelta(hours=9))
        for network in chosen:
            self._measurement(rows, report, runtime, job_id, network.digest, at)

    def _own(self, report: DeviceReport) -> list[NetworkSpec]:
        """The networks that a device measured."""
        some = self.examples.networks
        first = int(report.device.uuid.removeprefix("GPU-crowd-")) * NETWORKS % len(some)
        return (some[first:] + some)[:NETWORKS]

    def _job(
        self,
        rows: dict[type[Any], list[dict[str, Any]]],
        report: DeviceReport,
        request: JobRequest,
        runtime: Runtime,
        at: datetime,
    ) -> UUID:
        id = self.id()
        uuid = report.device.uuid
        # Canonical JSON of a hundred operations takes a while, and differs in device and runtime only.
        key = (uuid if request.networks else "", len(request.networks))
        if key not in self._bodies:
            self._bodies[key] = request.model_copy(
                update={"device": DeviceSelector(uuid=DEVICE), "runtime": RUNTIMES[0]}
            )
        asked = self._bodies[key]
        body = asked.canonical.replace(DEVICE, uuid).replace(RUNTIMES[0].canonical, runtime.canonical)
        row = jobs._new(id, asked, len(asked.keys), at, "somebody@crowd")
        row["brief"] = str(row["brief"]).replace(DEVICE, uuid).replace(RUNTIMES[0].canonical, runtime.canonical)
        row.update(body=body, digest=sha256(body), device_uuid=uuid, runtime=runtime.digest)
        row.update(state="done", ran_on=uuid, started_at=at, attempts=1, table_id=None, error=None)
        row["updated_at"] = at + timedelta(minutes=3)
        row["progress"] = Progress(done=len(asked.keys), total=len(asked.keys)).model_dump_json()
        rows[JobRow].append(row)
        rows[JobKeyRow] += [{"job_id": id, "key": key, "position": place} for place, key in enumerate(asked.keys)]
        lease = {
            "id": self.id(),
            "job_id": id,
            "device": uuid,
            "environment": report.environment.digest,
            "method_version": self.examples.table.method_version,
            "token_digest": sha256(str(id)),
            "state": "completed",
            "completion": '{"error":null}',
            "created_at": at,
            "expires_at": at + timedelta(minutes=2),
        }
        rows[LeaseRow].append(lease)
        return id

    def _measurement(
        self,
        rows: dict[type[Any], list[dict[str, Any]]],
        report: DeviceReport,
        runtime: Runtime,
        job_id: UUID,
        key: str,
        at: datetime,
    ) -> UUID:
        id = self.id()
        fill = self._template(f"{key} {runtime}", lambda: _of_measurement(self.examples.measurements[key], runtime))
        body = fill(id=id, job=job_id, device=report.device.uuid, environment=report.environment.digest)
        rows[MeasurementRow].append(
            {
                "id": id,
                "digest": f"{id.int:064x}",
                "job_id": job_id,
                "key": key,
                "device": report.device.uuid,
                "environment": report.environment.digest,
                "runtime": runtime.digest,
                "method_version": self.examples.table.method_version,
                "sound": self.draw.random() < 0.95,
                "late": False,
                "received_at": at,
                "body": body,
            }
        )
        return id

    def _table(
        self,
        rows: dict[type[Any], list[dict[str, Any]]],
        report: DeviceReport,
        runtime: Runtime,
        at: datetime,
        measured: list[UUID],
    ) -> UUID:
        id = self.id()
        fill = self._template(f"table {runtime}", lambda: _of_table(self.examples.table, runtime))
        content = fill(id=id, at=at.isoformat(), device=report.device.canonical, rows=dict(enumerate(measured)))
        if "table" not in self._rows:
            self._rows["table"] = _columns(tables.new_row(self.examples.table, 0, "somebody@crowd"))
            made = calibrations.new_row(self.examples.calibration, self.examples.table.digest)
            self._rows["calibration"] = _columns(made)
        columns = {**self._rows["table"], "rank": tables.microseconds(at)}
        columns.update(
            id=id,
            created_at=at,
            device=report.device.uuid,
            device_name=report.device.name,
            environment=report.environment.digest,
            runtime=runtime.digest,
            content_digest=f"{id.int:064x}",
            content=content.encode(),
            **runtime.model_dump(),
        )
        rows[LatencyTableRow].append(columns)
        calibration_id = self.id()
        text = self._template("calibration", lambda: _of_calibration(self.examples.calibration))
        own = {f"network_{number}": network.digest for number, network in enumerate(self._own(report))}
        columns = dict(self._rows["calibration"])
        columns.update(
            id=calibration_id,
            table_id=id,
            created_at=at,
            rank=tables.microseconds(at),
            content=text(id=calibration_id, table=id, at=at.isoformat(), **own).encode(),
        )
        rows[CalibrationRow].append(columns)
        return id

    def _template(self, name: str, make: Callable[[], str]) -> Callable[..., str]:
        fill = self._templates.get(name)
        if fill is None:
            fill = self._templates[name] = _filling(make())
        return fill


def _columns(row: LatencyTableRow | CalibrationRow) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name != "sequence"}


def device_of(number: int) -> DeviceReport:
    """The device of a number: one of a dozen models."""
    name = f"NVIDIA Model {number % 12} 80GB"
    works = tuple(Capability(mode=runtime.mode, precision=runtime.precision) for runtime in RUNTIMES)
    return DeviceReport(
        device=Device(
            uuid=f"GPU-crowd-{number:04}", kind="cuda", vendor="NVIDIA", name=name, memory_bytes=80 * 2**30, cores=132
        ),
        environment=Environment(os="Linux 6.1", python="3.11.2", torch="2.13.0", driver=f"550.{number % 5}"),
        agent="profiler-agent 0.1.0",
        works=works,
    )


def _filling(template: str) -> Callable[..., str]:
    return string.Template(template).substitute if "$row_" not in template else _with_rows(template)


def _with_rows(template: str) -> Callable[..., str]:
    inner = string.Template(template)

    def fill(rows: dict[int, UUID], **values: Any) -> str:
        return inner.substitute(values, **{f"row_{number}": id for number, id in rows.items()})

    return fill


def _of_measurement(measurement: Measurement, runtime: Runtime) -> str:
    body = json.loads(measurement.model_copy(update={"runtime": runtime}).model_dump_json(exclude_none=True))
    body.update(id="$id", job_id="$job", device="$device", environment="$environment")
    return json.dumps(body, separators=(",", ":"))


def _of_table(table: LatencyTable, runtime: Runtime) -> str:
    content = json.loads(table.model_copy(update={"runtime": runtime}).model_dump_json())
    content.update(id="$id", created_at="$at", device="@device@")
    for number, row in enumerate(content["rows"]):
        row["measurement_id"] = f"$row_{number}"
    return json.dumps(content, separators=(",", ":")).replace('"@device@"', "$device")


def _of_calibration(calibration: Calibration) -> str:
    content = json.loads(calibration.model_dump_json())
    content.update(id="$id", table_id="$table", created_at="$at")
    for number, evidence in enumerate(content["evidence"]):
        evidence["network"] = f"$network_{number}"
    return json.dumps(content, separators=(",", ":"))

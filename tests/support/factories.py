"""Small contract objects for tests."""

from collections.abc import Sequence
from datetime import datetime, timezone
from uuid import UUID

import uuid6

from latency_tables.contract import (
    Device,
    DeviceReport,
    DeviceSelector,
    Environment,
    Job,
    JobRequest,
    Latency,
    LatencyTable,
    Lease,
    LeaseRequest,
    Measurement,
    Method,
    NetworkSpec,
    OperationSpec,
    Progress,
    Quality,
    Runtime,
    TableRow,
    sha256,
)

SPACE_DIGEST = sha256("the definitions of a small space")
METHOD = Method(version="blocks-1", settings=(("seed", 7),))
CPU = Runtime(threads=1)
SOUND = Quality(converged=True)


def operation(channels: int = 8, name: str = "conv", space_digest: str = SPACE_DIGEST) -> OperationSpec:
    return OperationSpec(
        space="small",
        space_digest=space_digest,
        name=name,
        input_shapes=((channels, 16, 16),),
        params=(("kernel", 3), ("bias", False)),
    )


def network(*operations: OperationSpec, counts: Sequence[int] | None = None) -> NetworkSpec:
    return NetworkSpec.of(
        space="small",
        space_digest=operations[0].space_digest,
        genotype=[item.name for item in operations],
        input_shape=(3, 32, 32),
        operations=dict(zip(operations, counts or [1] * len(operations), strict=True)),
    )


def report(uuid: str = "cpu-1", name: str = "Xeon", torch: str = "2.13.0") -> DeviceReport:
    return DeviceReport(
        device=Device(uuid=uuid, kind="cpu", vendor="Intel", name=name, memory_bytes=2**33, cores=2),
        environment=Environment(os="Linux", python="3.11", torch=torch),
        agent="test",
    )


def profile(*operations: OperationSpec, device: DeviceSelector | None = None, runtime: Runtime = CPU) -> JobRequest:
    return JobRequest(
        device=device or DeviceSelector(),
        runtime=runtime,
        space="small",
        space_digest=operations[0].space_digest,
        requirement="small",
        operations=operations,
    )


def table(
    *operations: OperationSpec, samples_us: Sequence[float] = (100.0,), device: DeviceReport | None = None
) -> LatencyTable:
    """A table without a server; its rows all have the same latency."""
    rows = (
        TableRow(
            operation=operation,
            latency=Latency.of(samples_us),
            quality=SOUND,
            measurement_id=UUID("01890000-0000-7000-8000-000000000001"),
        )
        for operation in operations
    )
    return table_of(tuple(rows), device)


def table_of(rows: tuple[TableRow, ...], device: DeviceReport | None = None) -> LatencyTable:
    """A table of these rows without a server."""
    by = device or report()
    return LatencyTable(
        id=uuid6.uuid7(),
        created_at=datetime(2025, 1, 1, tzinfo=timezone.utc),
        device=by.device,
        environment=by.environment,
        runtime=CPU,
        method_version=METHOD.version,
        space="small",
        space_digest=rows[0].operation.space_digest,
        rows=rows,
    )


def leased_job(request: JobRequest) -> Job:
    """A job as an agent has it in hand, without a server."""
    now = datetime.now(timezone.utc)
    return Job(
        id=uuid6.uuid7(),
        request=request,
        state="leased",
        progress=Progress(done=0, total=len(request.keys)),
        attempts=1,
        error=None,
        table_id=None,
        created_at=now,
        updated_at=now,
    )


def end_to_end(*specs: NetworkSpec, runtime: Runtime = CPU) -> JobRequest:
    return JobRequest(
        device=DeviceSelector(),
        runtime=runtime,
        space=specs[0].space,
        space_digest=specs[0].space_digest,
        requirement="small",
        networks=specs,
    )


def lease_request(
    to: DeviceReport, wait_s: float = 0, id: UUID | None = None, method_version: str = METHOD.version
) -> LeaseRequest:
    return LeaseRequest(
        id=id or uuid6.uuid7(),
        device=to.device.uuid,
        environment=to.environment.digest,
        method_version=method_version,
        wait_s=wait_s,
    )


def measurement(
    lease: Lease,
    key: str,
    by: DeviceReport,
    median_us: float = 100.0,
    quality: Quality = SOUND,
    method_version: str = METHOD.version,
) -> Measurement:
    return Measurement(
        id=uuid6.uuid7(),
        job_id=lease.job.id,
        key=key,
        device=by.device.uuid,
        environment=by.environment.digest,
        runtime=lease.job.request.runtime,
        method=Method(version=method_version),
        samples_us=tuple(median_us + offset for offset in (-1.0, 0.0, 1.0)),
        executions_per_block=10,
        quality=quality,
        measured_at=datetime(2025, 1, 1, tzinfo=timezone.utc),
    )

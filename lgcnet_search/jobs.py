"""Work for agents: profile a space, measure a network; through the server, on a device it knows."""

from collections.abc import Callable
from uuid import UUID

from lgcnet_search.digest import REQUIREMENT, SPACE, space_digest
from lgcnet_search.genotype import Genotype
from lgcnet_search.network import network_spec
from lgcnet_search.space import Space
from lut_server.client import LutClient
from lut_server.schemas import (
    Device,
    DeviceSelector,
    Effort,
    Job,
    JobRequest,
    LatencyTable,
    Mode,
    NetworkResult,
    NetworkSpec,
    OperationSpec,
    Precision,
    Runtime,
)

OnJob = Callable[[Job], None]


class AgentError(RuntimeError):
    """What is asked of an agent cannot be had: no such device, or no result; the message says what to do."""


def find_device(client: LutClient, wanted: str | None = None) -> Device:
    """The device of this UUID or name (in any case), or the only one the server knows. Raises AgentError."""
    devices = [record.device for record in client.devices()]
    found = [
        device
        for device in devices
        if wanted is None or wanted == device.uuid or wanted.casefold() == device.name.casefold()
    ]
    if len(found) == 1:
        return found[0]
    if not devices:
        raise AgentError("the server knows no device; start profiler-agent on the device to measure")
    known = "; ".join(f"{device.name} ({device.uuid})" for device in devices)
    what = "several devices" if found else "no device"
    raise AgentError(f"device {wanted!r}: {what} of this UUID or name; the server knows {known}")


def runtime_on(
    device: Device,
    mode: Mode = "pytorch",
    precision: Precision = "fp32",
    batch_size: int = 1,
    threads: int | None = None,
) -> Runtime:
    """A runtime on this device: one thread on a CPU where none is asked for, the least disturbed setting."""
    if threads is None and device.kind == "cpu":
        threads = 1
    return Runtime(mode=mode, precision=precision, batch_size=batch_size, threads=threads)


def profile(
    client: LutClient,
    space: Space,
    device: Device,
    runtime: Runtime,
    effort: Effort | None = None,
    on_job: OnJob | None = None,
) -> LatencyTable:
    """Have every operation of the space measured and wait for the table. Raises JobFailed."""
    request = _request(device, runtime, effort, operations=space.operations)
    job = client.wait_for_job(client.submit_job(request).id, on_job)
    if job.table_id is None:
        raise AgentError(f"job {job.id} is done and has no table; are server and search of one version?")
    return client.table(job.table_id)


def measure(
    client: LutClient,
    genotype: Genotype,
    device: Device,
    runtime: Runtime,
    effort: Effort | None = None,
    on_job: OnJob | None = None,
) -> NetworkResult:
    """Have the derived network measured end to end; its latency beside the table's sum. Raises JobFailed."""
    network = network_spec(genotype)
    request = _request(device, runtime, effort, network=network)
    job = client.wait_for_job(client.submit_job(request).id, on_job)
    results = [
        result
        for result in client.network(network.digest).results
        if result.device.uuid == device.uuid and result.runtime == runtime
    ]
    if not results:
        raise AgentError(f"job {job.id} is done and network {network.digest} has no result on {device.name}")
    return max(results, key=lambda result: result.measured_at)


def _request(
    device: Device,
    runtime: Runtime,
    effort: Effort | None,
    *,
    operations: tuple[OperationSpec, ...] = (),
    network: NetworkSpec | None = None,
) -> JobRequest:
    return JobRequest(
        device=DeviceSelector(uuid=device.uuid),
        runtime=runtime,
        space=SPACE,
        space_digest=space_digest(),
        requirement=REQUIREMENT,
        operations=operations,
        network=network,
        effort=effort or Effort(),
    )


def table_of(client: LutClient, device: Device, runtime: Runtime, table_id: UUID | None = None) -> LatencyTable:
    """The table of this id, else the newest of this device, runtime and definition of the space.

    Raises AgentError for a table of another device.
    """
    if table_id is not None:
        table = client.table(table_id)
        if table.device.uuid != device.uuid:
            raise AgentError(f"table {table_id} is of {table.device.name}, not {device.name}; leave one of the two out")
        return table
    return client.newest_table(device.uuid, SPACE, runtime, space_digest())

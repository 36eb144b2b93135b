"""adaptive-networks measure: the operations of a network's paths, and the paths end to end, by a device's agent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from adaptive_networks.core.record import Record
from latency_tables.calibration import MIN_NETWORKS
from latency_tables.client import LutClient, NotFound
from latency_tables.contract import (
    Device,
    DeviceSelector,
    Effort,
    JobRequest,
    LatencyTable,
    NetworkResult,
    NetworkSpec,
    OperationSpec,
    Runtime,
)
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job, say
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions
from lgcnet_search.commands.usage import usage

RunFolder = Annotated[Path, typer.Argument(help="The folder that a training wrote, with rates.json.")]
Budget = Annotated[float | None, typer.Option(min=1, help="Seconds for all paths; left out: 12 for each.")]


@grouped
def measure(run: RunFolder, asked: DeviceOptions, budget: Budget = None) -> None:
    """Have an agent measure every operation of a network's paths, then the paths end to end, which calibrates.

    Prints predicted beside measured latencies. What was measured before under equal conditions is not measured again.
    """
    record = Record.load(run)
    with asked.connected() as client:
        device, runtime = asked.target(client)
        measure_paths(client, record, device, runtime, budget)
        show_paths(client, record, device, runtime)


def measure_operations(
    client: LutClient,
    requirement: str,
    operations: Sequence[OperationSpec],
    device: Device,
    runtime: Runtime,
    *,
    followed: bool = True,
) -> LatencyTable:
    """Their table; `followed` with a bar, which no other bar must be around. Raises JobFailed."""
    request = _request(requirement, device, runtime, operations=tuple(operations))
    if not followed:
        return jobs.finished_table(client, client.submit_job(request))
    with following_job(f"measuring {len(operations)} operations on {device.name}") as on_job:
        return jobs.finished_table(client, client.submit_job(request), on_job)


def measure_paths(
    client: LutClient, record: Record, device: Device, runtime: Runtime, budget_s: float | None = None
) -> LatencyTable:
    """The table of a record's operations, calibrated by its paths. Raises JobFailed."""
    networks = tuple(dict.fromkeys(path.network for path in record.paths))
    operations = list(dict.fromkeys(item.operation for network in networks for item in network.operations))
    table = measure_operations(client, record.requirement, operations, device, runtime)
    measure_networks(client, record.requirement, networks, device, runtime, budget_s)
    try:
        client.calibration(table.id)
    except NotFound:
        say(f"{len(networks)} paths calibrate no table ({MIN_NETWORKS} networks do): latencies are raw sums")
    return table


def measure_networks(
    client: LutClient,
    requirement: str,
    networks: Sequence[NetworkSpec],
    device: Device,
    runtime: Runtime,
    budget_s: float | None = None,
) -> None:
    """End to end; their table is calibrated by them. Raises JobFailed."""
    with usage():
        effort = jobs.calibrating_effort(len(networks), budget_s)
    with following_job(f"measuring {len(networks)} paths end to end") as on_job:
        job = client.submit_job(_request(requirement, device, runtime, networks=tuple(networks), effort=effort))
        client.wait_for_job(job.id, on_job)


def results(client: LutClient, record: Record, device: Device, runtime: Runtime) -> list[NetworkResult | None]:
    """What was measured last of every path on this device and runtime; None of those that were not."""
    return [result_of(client, path.network, device, runtime) for path in record.paths]


def result_of(client: LutClient, network: NetworkSpec, device: Device, runtime: Runtime) -> NetworkResult | None:
    """What was measured last of a network, None where nothing was."""
    try:
        return jobs.newest_result(client.network(network.digest), device, runtime)
    except NotFound:
        return None


def show_paths(client: LutClient, record: Record, device: Device, runtime: Runtime) -> None:
    """A line for each path: raw sum, prediction with its interval, measured."""
    typer.echo(f"{device.name}, {runtime}, microseconds; predicted from the other networks, 90 % interval")
    width = max(len(path.label) for path in record.paths)
    for path, result in zip(record.paths, results(client, record, device, runtime), strict=True):
        if result is None or result.raw_us is None:
            typer.echo(f"{path.label:{width}}  not measured")
            continue
        predicted = "no calibration"
        if result.predicted_us is not None and result.low_us is not None and result.high_us is not None:
            off = result.predicted_us / result.measured_us - 1
            predicted = f"{result.predicted_us:8.1f} ({result.low_us:.1f} to {result.high_us:.1f}) {off:+6.1%}"
        typer.echo(
            f"{path.label:{width}}  raw {result.raw_us:8.1f}  predicted {predicted}  measured {result.measured_us:8.1f}"
        )


def _request(
    requirement: str,
    device: Device,
    runtime: Runtime,
    *,
    operations: tuple[OperationSpec, ...] = (),
    networks: tuple[NetworkSpec, ...] = (),
    effort: Effort | None = None,
) -> JobRequest:
    first = operations[0] if operations else networks[0]
    return JobRequest(
        device=DeviceSelector(uuid=device.uuid),
        runtime=runtime,
        space=first.space,
        space_digest=first.space_digest,
        requirement=requirement,
        operations=operations,
        networks=networks,
        effort=effort or Effort(),
    )

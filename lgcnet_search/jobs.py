"""Jobs for agents, through the server: profile a space, measure networks, calibrate a table."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from latency_tables.calibration import MIN_NETWORKS, calibrated_by, choose, choose_next
from latency_tables.client import LutClient, NotFound, OnJob
from latency_tables.contract import (
    Calibration,
    Device,
    DeviceSelector,
    Effort,
    ErrorCard,
    Job,
    JobRequest,
    Kernel,
    LatencyTable,
    Mode,
    NetworkRecord,
    NetworkResult,
    NetworkSpec,
    OperationSpec,
    Precision,
    Runtime,
    Transfer,
    TransferRequest,
)
from latency_tables.latencies import basis_of
from lgcnet_search.errors import Refused
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype, varied_genotype
from lgcnet_search.space.latencies import Latencies, TransferLatencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space

CALIBRATION_NETWORKS = 8
"""Measured with every new table; `lgcnet-search calibrate` adds more."""

CANDIDATES = 200
"""Networks of which a calibration measures some."""
LEAST_LEARNED = 3
"""The least number of networks that a device is learned from."""
FIRST_NETWORKS = 4
"""Measured at once where networks follow one after the other."""
PATIENCE = 4
LEAST_GAIN = 0.05
"""Networks are measured on while PATIENCE of them take this share of the expected error away."""
NETWORK_S = 12.0
NETWORK_BLOCKS = 18
"""Seconds for each network of a calibrating job, and the least blocks of it, where no other effort is asked for."""


_NOT_CALIBRATED = "table {} was not calibrated by its networks; is a newer table of this device there?"


class AgentError(Refused):
    """No such device, or no result of a job; the message says what to do."""


def find_device(client: LutClient, name: str | None = None) -> Device:
    """The device of this UUID or name (in any case), or the only one the server knows. Raises AgentError."""
    devices = [record.device for record in client.devices()]
    matches = [
        device for device in devices if name is None or name == device.uuid or name.casefold() == device.name.casefold()
    ]
    if len(matches) == 1:
        return matches[0]
    if not devices:
        raise AgentError("the server knows no device; start profiler-agent on the device to measure")
    names = "; ".join(f"{device.name} ({device.uuid})" for device in devices)
    if name is None:
        raise AgentError(f"several devices; name one with --device: {names}")
    number = "several devices" if matches else "no device"
    raise AgentError(f"device {name!r}: {number} of this UUID or name; the server knows {names}")


def runtime_on(
    device: Device,
    mode: Mode = "pytorch",
    precision: Precision = "fp32",
    batch_size: int = 1,
    threads: int | None = None,
) -> Runtime:
    """A runtime on this device; on a CPU, threads default to one, the least disturbed setting."""
    if threads is None and device.kind == "cpu":
        threads = 1
    return Runtime(mode=mode, precision=precision, batch_size=batch_size, threads=threads)


def profile_request(
    operations: tuple[OperationSpec, ...],
    device: Device,
    runtime: Runtime,
    effort: Effort | None = None,
    *,
    again: bool = False,
) -> JobRequest:
    """A job that measures all of these operations, doubtful ones `again`, and makes a table of them."""
    return _request(device, runtime, effort, operations=operations, repeat_doubtful=again)


def finished_table(client: LutClient, job: Job, on_job: OnJob | None = None) -> LatencyTable:
    """Wait for a profile job and fetch its table. Raises JobFailed."""
    done = client.wait_for_job(job.id, on_job)
    if done.table_id is None:
        raise AgentError(f"job {job.id} is done and has no table; are server and search of one version?")
    return client.table(done.table_id)


def require_calibrating(networks: int) -> None:
    """Raises AgentError for a number of networks that no calibration is made of."""
    if not MIN_NETWORKS <= networks <= CANDIDATES:
        raise AgentError(f"networks: {networks} given, a calibration takes from {MIN_NETWORKS} to {CANDIDATES}")


def require_target(mape: float) -> None:
    """Raises AgentError for a mean error that nothing can reach or that everything has."""
    if not 0 < mape < 1:
        raise AgentError(f"target_mape: {mape:g} given, a mean error is a share between 0 and 1, such as 0.015")


def calibrating_effort(networks: int, budget_s: float | None = None) -> Effort:
    """That of a job which measures so many networks, in seconds over all of them. Raises ValueError."""
    return Effort(min_blocks=NETWORK_BLOCKS, budget_s=NETWORK_S * networks if budget_s is None else budget_s)


def calibrate(
    client: LutClient,
    space: Space,
    table: LatencyTable,
    count: int,
    on_job: OnJob | None = None,
    effort: Effort | None = None,
) -> Calibration:
    """The calibration of a table by `count` of CANDIDATES random networks, measured on its device.

    The same table gets the same networks. Those that were measured before are not measured again, and the calibration
    is the first one whose evidence has them all. `effort` is that of the measuring job. Raises JobFailed, and
    AgentError as `require_calibrating` does.
    """
    require_calibrating(count)
    networks = choose(table, _candidates(space), count, basis_of(table))
    _measure(client, table, networks, effort or calibrating_effort(count), on_job)
    for summary in client.calibrations(table.id):
        if summary.card.networks >= count:
            calibration = client.stored_calibration(summary.id)
            if _has(calibration, networks):
                return calibration
    raise AgentError(_NOT_CALIBRATED.format(table.id))


class Progress(NamedTuple):
    """A calibration, the mean error that is expected of its predictions of the space, and why no more is measured."""

    calibration: Calibration
    expected_error: float
    end: str | None


def calibrate_until(
    client: LutClient,
    space: Space,
    table: LatencyTable,
    target_mape: float,
    most: int = CANDIDATES,
    budget_s: float = math.inf,
    on_job: OnJob | None = None,
) -> Iterator[Progress]:
    """Calibrations of a table, the first by FIRST_NETWORKS and each by a network more than the one before.

    Each network is the one of CANDIDATES that tells most of all of them, given what was measured, earlier ones of the
    table's evidence among it. The last calibration is the one that reaches `target_mape`, both on its own networks
    (each predicted from the others) and by what it expects of the space; or it has `most` networks, or `budget_s`
    seconds are over, or PATIENCE networks together took less than LEAST_GAIN of the expected error away. Raises
    JobFailed, and AgentError as `require_calibrating` and `require_target` do.
    """
    require_calibrating(most)
    require_target(target_mape)
    until = time.monotonic() + budget_s
    candidates = _candidates(space)
    known = {network.digest: network for network in candidates}
    networks = choose(table, candidates, min(FIRST_NETWORKS, most), basis_of(table))
    errors: list[float] = []
    end: str | None = None
    while end is None:
        _measure(client, table, networks, calibrating_effort(len(networks)), on_job)
        calibration = client.calibration(table.id)
        if not _has(calibration, networks):
            raise AgentError(_NOT_CALIBRATED.format(table.id))
        evidence = [entry.network for entry in calibration.evidence]
        specs = [known.get(digest) or client.network(digest).network for digest in evidence]
        fitted = calibrated_by(table, calibration, specs)
        errors.append(fitted.expected_error(candidates))
        left = [network for network in candidates if network.digest not in evidence]
        end = _end(calibration.card, errors, target_mape, min(most, len(evidence) + len(left)), until)
        networks = [] if end else choose_next(table, left, 1, calibration.basis, fitted)
        yield Progress(calibration, errors[-1], end)


def _end(card: ErrorCard, errors: Sequence[float], target_mape: float, most: int, until: float) -> str | None:
    """Why no more networks are measured, None where one more is."""
    if max(card.calibrated.mape, errors[-1]) <= target_mape:
        return f"the target of {target_mape:.2%} is reached"
    if card.networks >= most:
        return f"{card.networks} networks are measured"
    if time.monotonic() >= until:
        return "the time is over"
    if len(errors) > PATIENCE and errors[-1] > (1 - LEAST_GAIN) * errors[-1 - PATIENCE]:
        return f"the last {PATIENCE} networks hardly changed what is expected of others"
    return None


def _candidates(space: Space) -> list[NetworkSpec]:
    return [network_spec(varied_genotype(space, seed)) for seed in range(CANDIDATES)]


def _measure(
    client: LutClient, table: LatencyTable, networks: Sequence[NetworkSpec], effort: Effort, on_job: OnJob | None
) -> None:
    """Have networks measured on the table's device, those that were not before. Raises JobFailed."""
    request = _request(table.device, table.runtime, effort, networks=tuple(networks))
    client.wait_for_job(client.submit_job(request).id, on_job)


def _has(calibration: Calibration, networks: Sequence[NetworkSpec]) -> bool:
    evidence = {entry.network for entry in calibration.evidence}
    return evidence.issuperset(network.digest for network in networks)


def submit_measurement(
    client: LutClient,
    genotypes: Sequence[Genotype],
    device: Device,
    runtime: Runtime,
    effort: Effort | None = None,
    again: bool = False,
) -> Job:
    """Queue a job that measures the derived networks end to end, interleaved, doubtful ones `again`."""
    networks = tuple(dict.fromkeys(network_spec(genotype) for genotype in genotypes))
    return client.submit_job(_request(device, runtime, effort, networks=networks, repeat_doubtful=again))


def measured(
    client: LutClient,
    job: Job,
    genotypes: Sequence[Genotype],
    device: Device,
    runtime: Runtime,
    on_job: OnJob | None = None,
) -> list[NetworkResult]:
    """Wait for a measuring job; the result of each network, in the order of the genotypes. Raises JobFailed."""
    client.wait_for_job(job.id, on_job)
    results = []
    for genotype in genotypes:
        digest = network_spec(genotype).digest
        result = newest_result(client.network(digest), device, runtime)
        if result is None:
            raise AgentError(f"job {job.id} is done and network {digest} has no result on {device.name}")
        results.append(result)
    return results


def newest_result(record: NetworkRecord, device: Device, runtime: Runtime) -> NetworkResult | None:
    """A network's last result on this device and runtime, None without any."""
    results = [result for result in record.results if result.device.uuid == device.uuid and result.runtime == runtime]
    return max(results, key=lambda result: result.measured_at, default=None)


def measured_between_us(result: NetworkResult) -> tuple[float, float]:
    """The 95 % interval of what was measured, at the machine's quiet speed as `measured_us` is."""
    if result.measured_low_us is not None and result.measured_high_us is not None:
        return result.measured_low_us, result.measured_high_us
    scale = result.measured_us / result.measured.median_us
    return scale * result.measured.low_us, scale * result.measured.high_us


def kernels_of(client: LutClient, genotype: Genotype, device: Device, runtime: Runtime) -> tuple[Kernel, ...]:
    """What the device executed when it last measured this network. Raises AgentError where that is not known."""
    taken = [
        measurement
        for measurement in client.measurements(key=network_spec(genotype).digest, device=device.uuid)
        if measurement.runtime == runtime and measurement.kernels is not None
    ]
    if not taken:
        raise AgentError(
            f"no measurement of this network on {device.name} ({runtime}) knows its kernels; measure it in mode "
            "onnxruntime, openvino, tensorrt or tensorrt-rtx"
        )
    return max(taken, key=lambda measurement: measurement.measured_at).kernels or ()


def measured_us(client: LutClient, genotype: Genotype, device: Device, runtime: Runtime) -> float | None:
    """Microseconds of a network's last measurement, None without any."""
    try:
        result = newest_result(client.network(network_spec(genotype).digest), device, runtime)
    except NotFound:
        return None
    return None if result is None else result.measured_us


def latency_of(client: LutClient, genotype: Genotype, device: Device, runtime: Runtime) -> tuple[float, bool]:
    """Microseconds, and whether they were measured: else they are predicted by the newest table.

    Raises NotFound without a table, MissingRows where it is of another input size.
    """
    network = network_spec(genotype)
    latency = measured_us(client, genotype, device, runtime)
    if latency is not None:
        return latency, True
    return latencies_of(client, table_of(client, device, runtime)).network_us(network), False


def _request(
    device: Device,
    runtime: Runtime,
    effort: Effort | None,
    *,
    operations: tuple[OperationSpec, ...] = (),
    networks: tuple[NetworkSpec, ...] = (),
    repeat_doubtful: bool = False,
) -> JobRequest:
    return JobRequest(
        device=DeviceSelector(uuid=device.uuid),
        runtime=runtime,
        space=SPACE,
        space_digest=space_digest(),
        requirement=REQUIREMENT,
        operations=operations,
        networks=networks,
        effort=effort or Effort(),
        repeat_doubtful=repeat_doubtful,
    )


def latencies_of(client: LutClient, table: LatencyTable, isolated: bool = False) -> Latencies:
    """A table's latencies: `isolated`, or inside a network if the table has a calibration."""
    if isolated:
        return Latencies(table)
    try:
        return Latencies(table, client.calibration(table.id))
    except NotFound:
        return Latencies(table)


def transfer_latencies_of(client: LutClient, device: Device, runtime: Runtime) -> TransferLatencies:
    """Those of the newest transfer to a device. Raises NotFound, TooUncertain."""
    return TransferLatencies(client.newest_transfer(device.uuid, SPACE, space_digest(), runtime))


def introduce(
    client: LutClient,
    space: Space,
    device: Device,
    runtime: Runtime,
    count: int,
    on_job: OnJob | None = None,
    on_learned: Callable[[int, Transfer | None], None] | None = None,
    effort: Effort | None = None,
) -> Transfer:
    """Learn a device from `count` of CANDIDATES random networks, measured one after the other, and from other devices.

    The server proposes each as the one that tells most of all the others; networks of the space that the device has
    measured before count. `on_learned` gets the number of measured networks and what they say, once there are
    LEAST_LEARNED. Raises JobFailed, LutError, and AgentError for a count that nothing is learned from.
    """
    if not LEAST_LEARNED <= count <= CANDIDATES:
        raise AgentError(f"networks: {count} given, a device is learned from {LEAST_LEARNED} to {CANDIDATES}")
    candidates = {spec.digest: spec for spec in _candidates(space)}
    request = TransferRequest(device=device.uuid, runtime=runtime, space=SPACE, space_digest=space_digest())
    transfer: Transfer | None = None
    measured = 0
    while measured < count:
        proposal = client.propose(list(candidates.values()), device.uuid, runtime)
        measured = proposal.measured
        if measured < count:
            network = candidates.pop(proposal.networks[0])
            each = effort or Effort(min_blocks=NETWORK_BLOCKS, budget_s=NETWORK_S)
            job = client.submit_job(_request(device, runtime, each, networks=(network,)))
            client.wait_for_job(job.id, on_job)
            measured += 1
        transfer = client.make_transfer(request) if measured >= LEAST_LEARNED else None
        if on_learned:
            on_learned(measured, transfer)
    assert transfer is not None
    return transfer


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

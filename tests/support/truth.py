"""A device whose truth is known: what operations cost alone, what they cost inside a network, and how noisy it is."""

import math
import random
from collections.abc import Mapping, Sequence

from latency_tables.contract import (
    Anchor,
    Completion,
    DeviceReport,
    Job,
    JobRequest,
    LatencyTable,
    Measurement,
    NetworkSpec,
    OperationSpec,
)
from latency_tables.latencies import Z95
from tests.support.factories import SPACE_DIGEST, end_to_end, measurement, operation, profile
from tests.support.lut import Lut

INSIDE = {"conv": 1.15, "pool": 0.8, "sep_conv": 1.3, "upsample": 0.95}
"""What an operation costs inside a network, relative to alone."""
SIZES = (8, 16, 32, 64)
NOISE = 0.004


def operations() -> list[OperationSpec]:
    return [operation(size, kind) for kind in INSIDE for size in SIZES]


def isolated_us(spec: OperationSpec) -> float:
    per_channel = {"conv": 9.0, "pool": 2.0, "sep_conv": 5.0, "upsample": 1.5}[spec.name]
    return 20 + per_channel * spec.input_shapes[0][0]


def inside_us(spec: OperationSpec) -> float:
    return INSIDE[spec.name] * isolated_us(spec)


def draw_networks(count: int, seed: int) -> list[NetworkSpec]:
    """Networks of 5 to 40 operations."""
    draw = random.Random(seed)
    networks = []
    for number in range(count):
        drawn = draw.sample(operations(), draw.randint(4, 10))
        networks.append(
            NetworkSpec.of(
                "small", SPACE_DIGEST, [seed, number], (3, 32, 32), {spec: draw.randint(1, 5) for spec in drawn}
            )
        )
    return networks


def network_us(network: NetworkSpec) -> float:
    """Its latency, end to end, as its measurement finds it."""
    total = sum(item.count * inside_us(item.operation) for item in network.operations)
    return total * random.Random(network.digest).lognormvariate(0, NOISE)


def run(
    lut: Lut,
    by: DeviceReport,
    request: JobRequest,
    latencies_us: Mapping[str, float],
    standard: float | None = None,
    std_rel: float | None = None,
    anchor: Anchor | None = None,
) -> Job:
    """Do a job as an agent does: `latencies_us` by key; `standard` times that is the latency at the standard state.

    `std_rel` is the relative standard deviation of that, by its interval.
    """
    lut.client.register_device(by)
    lut.client.submit_job(request)
    lease = lut.claim(by)
    lut.client.put_measurements(
        [
            _taken(lut, measurement(lease, key, by), latencies_us[key], standard, std_rel, anchor)
            for key in lease.remaining
        ]
    )
    return lut.client.complete(lease.id, lease.token, Completion())


def build_table(
    lut: Lut, by: DeviceReport, specs: Sequence[OperationSpec] = (), standard: float | None = None
) -> LatencyTable:
    specs = specs or operations()
    job = run(lut, by, profile(*specs), {spec.digest: isolated_us(spec) for spec in specs}, standard)
    assert job.table_id is not None
    return lut.client.table(job.table_id)


def measure(
    lut: Lut,
    by: DeviceReport,
    networks: Sequence[NetworkSpec],
    factor: float = 1,
    standard: float | None = None,
    std_rel: float | None = None,
    anchor: Anchor | None = None,
) -> Job:
    latencies_us = {one.digest: factor * network_us(one) for one in networks}
    return run(lut, by, end_to_end(*networks), latencies_us, standard, std_rel, anchor)


def _taken(
    lut: Lut,
    taken: Measurement,
    latency_us: float,
    standard: float | None,
    std_rel: float | None,
    anchor: Anchor | None,
) -> Measurement:
    """A measurement of just now, whose samples are a thousandth apart."""
    half = math.exp(Z95 * std_rel) if std_rel else None
    normalized_us = standard and standard * latency_us
    changed = {
        "measured_at": lut.clock.now,
        "anchor": anchor,
        "samples_us": (latency_us * 0.999, latency_us, latency_us * 1.001),
        "normalized_us": normalized_us,
        "normalized_low_us": normalized_us and half and normalized_us / half,
        "normalized_high_us": normalized_us and half and normalized_us * half,
    }
    return Measurement.model_validate({**taken.model_dump(), **changed})

"""Block samples of an operation or network, and the statistics derived from them."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from latency_tables.contract.base import (
    MAX_SAMPLES,
    Contract,
    Count,
    DeviceUuid,
    Digest,
    Name,
    Params,
    Positive,
    SampleUs,
    Size,
    StatisticUs,
    Text,
)
from latency_tables.contract.devices import Runtime
from latency_tables.statistics import MIN_SAMPLES_P90, MIN_SAMPLES_P99, median_interval, quantile


class Method(Contract):
    """How a number was taken: `version` names the procedure, `settings` its parameters.

    A table never mixes measurements of different versions.
    """

    version: Name
    settings: Params = ()


class Latency(Contract):
    """Statistics derived from block samples; never stored instead of them.

    `low_us` and `high_us` bound the median at 95 % (order statistics). p90 and p99 need 64 and 662 samples.
    """

    median_us: StatisticUs
    low_us: StatisticUs
    high_us: StatisticUs
    mean_us: StatisticUs
    min_us: StatisticUs
    q1_us: StatisticUs
    q3_us: StatisticUs
    p90_us: StatisticUs | None
    p99_us: StatisticUs | None
    count: Size

    @classmethod
    def of(cls, samples_us: Iterable[float]) -> "Latency":
        """Derive the statistics of block samples in microseconds (at least one)."""
        ordered = sorted(samples_us)
        interval = median_interval(ordered)
        return cls(
            median_us=quantile(ordered, 0.5),
            low_us=interval.low,
            high_us=interval.high,
            mean_us=sum(ordered) / len(ordered),
            min_us=ordered[0],
            q1_us=quantile(ordered, 0.25),
            q3_us=quantile(ordered, 0.75),
            p90_us=quantile(ordered, 0.9) if len(ordered) >= MIN_SAMPLES_P90 else None,
            p99_us=quantile(ordered, 0.99) if len(ordered) >= MIN_SAMPLES_P99 else None,
            count=len(ordered),
        )


class Quality(Contract):
    """How far a measurement can be trusted: it is sound if it is converged and neither throttled nor noisy."""

    converged: bool
    throttled: bool = False
    noisy: bool = False
    rejected_blocks: Count = 0

    @property
    def sound(self) -> bool:
        return not self.doubts

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why it is doubtful, in words; empty if it is sound. Whatever speaks of doubt means this."""
        reasons = {"not converged": not self.converged, "throttled": self.throttled, "noisy": self.noisy}
        return tuple(reason for reason, holds in reasons.items() if holds)


class Costs(Contract):
    """Parameters, arithmetic and memory of an operation or network, for the whole batch.

    `parameters` are those of the deployed module. `macs`: multiply-adds of its convolutions and matrix products (half
    its floating-point operations). `peak_memory_bytes`: parameters, inputs, and the most that is allocated at once
    for outputs and intermediate results, without a library's own workspace.
    """

    parameters: Count
    macs: Count
    peak_memory_bytes: Count


class Work(Contract):
    """What an operation has a device do, whatever device that is; for the whole batch.

    `elements`: numbers that its kernels read and write, weights aside. `launches`: kernels started. `depthwise_macs`:
    those of its multiply-adds that are in convolutions with a group for each channel. `unused`: nothing depends on the
    result, so that an engine may leave the operation out.
    """

    macs: Count
    elements: Count
    weights: Count
    launches: Count
    depthwise_macs: Count = 0
    unused: bool = False


NOISY_REL = 0.05
"""`Observed.noise_rel` from which a machine is called noisy."""


class Observed(Contract):
    """The state of a device during a measurement; None for what the device does not report.

    `noise_rel`: the scatter of the run's references, as the largest interquartile range over median among them. The
    other numbers are of a GPU, over the blocks of this measurement: median clocks and power, highest temperature.
    """

    clocks: Literal["locked", "not locked"] | None = None
    noise_rel: Annotated[float, Field(ge=0, le=1e6)] | None = None
    sm_mhz: Positive | None = None
    memory_mhz: Positive | None = None
    temperature_c: Annotated[float, Field(ge=-100, le=1000)] | None = None
    power_w: Annotated[float, Field(ge=0, le=1e6)] | None = None
    power_capped: bool | None = None
    foreign_processes: Count | None = None


class Kernel(Contract):
    """What a library executes as one: its name for it, and the nodes of the exported graph that are fused in it.

    A node is named by the path of its module and its operator: `cell3.i1-x1.layers.0/Conv`. None of them: the kernel
    is the library's own, such as a change of layout.
    """

    kind: Text
    nodes: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()


class Figures(Contract):
    """What a measurement says beside its samples; the row of a table says it too.

    `normalized_us` is the latency at the machine's standard state, by what the same run read again and again beside it
    (reference operations, or an anchor network), and `normalized_low_us` to `normalized_high_us` hold it at 95 %.
    `device_us` is the device's own time where the samples include the host's launching (eager CUDA). A new figure is
    optional: None by default.
    """

    normalized_us: SampleUs | None = None
    normalized_low_us: SampleUs | None = None
    normalized_high_us: SampleUs | None = None
    device_us: SampleUs | None = None
    costs: Costs | None = None
    work: Work | None = None


class Anchor(Contract):
    """The network that other networks are measured beside, by its digest, and its latency at the standard state.

    A device learns that state over its jobs: the least `standard_us` of an anchor, under the same conditions, is the
    one that all networks beside it are of.
    """

    network: Digest
    standard_us: SampleUs


class Measurement(Figures):
    """Block samples of one operation or network (`key` is its digest) on one device, in microseconds.

    One sample is the time of one block divided by its number of executions. `kernels`: what was executed of a network,
    where the library tells. The client makes `id` (UUIDv7):
    the same id with the same content is the same measurement.
    """

    id: UUID
    job_id: UUID
    key: Digest
    device: DeviceUuid
    environment: Digest
    runtime: Runtime
    method: Method
    samples_us: Annotated[tuple[SampleUs, ...], Field(min_length=1, max_length=MAX_SAMPLES)]
    executions_per_block: Size
    quality: Quality
    observed: Observed | None = None
    anchor: Anchor | None = None
    kernels: Annotated[tuple[Kernel, ...], Field(max_length=10_000)] | None = None
    measured_at: AwareDatetime

    @cached_property
    def latency(self) -> Latency:
        return Latency.of(self.samples_us)

    def at_standard(self, standard_us: float) -> "Measurement":
        """The same with what is normalized restated, for an anchor of that latency at the standard state."""
        if self.anchor is None or self.anchor.standard_us == standard_us:
            return self
        ratio = standard_us / self.anchor.standard_us
        names = ("normalized_us", "normalized_low_us", "normalized_high_us")
        normalized = {name: value * ratio for name in names if (value := getattr(self, name)) is not None}
        anchor = Anchor(network=self.anchor.network, standard_us=standard_us)
        return self.model_copy(update={**normalized, "anchor": anchor})


class Receipt(Contract):
    """The server has this measurement, durably. `late`: its lease had ended before."""

    id: UUID
    late: bool
    received_at: AwareDatetime

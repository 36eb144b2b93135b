"""The contract between agent, server and search: one frozen class is wire form, validation and key.

Latencies are microseconds (`_us`) everywhere. Shapes leave out the batch dimension; the batch size is
part of the `Runtime`. A digest is the SHA-256 of the canonical JSON of what it names.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from latency_tables.statistics import MIN_SAMPLES_P90, MIN_SAMPLES_P99, median_interval, quantile

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_SAMPLES = 10_000
MAX_OPERATIONS = 10_000
MAX_NETWORKS = 256
MAX_WARNINGS = 16

Item = TypeVar("Item")
# Nothing that ends a string or starts a tag in SQL, HTML or a shell, and no control character.
_PLAIN = r"^[^\x00-\x1f\x7f<>\"'`;\\]*$"
_REQUIREMENT = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?( ?(==|~=|!=|<=|>=|<|>) ?[0-9][A-Za-z0-9.*+!-]*,?)*$"
)
_MAX_INTEGER = 2**53  # JSON readers that know only doubles keep it exactly
_MAX_NUMBER = 1e300

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
Text = Annotated[str, StringConstraints(pattern=_PLAIN, min_length=1, max_length=300)]
Remark = Annotated[str, StringConstraints(pattern=_PLAIN, max_length=300)]
Requirement = Annotated[str, StringConstraints(pattern=_REQUIREMENT, max_length=300)]
DeviceUuid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Scalar = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-_MAX_INTEGER, le=_MAX_INTEGER)]
    | Annotated[StrictFloat, Field(ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
    | Annotated[StrictStr, StringConstraints(pattern=_PLAIN, max_length=300)]
)
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
SampleUs = Annotated[float, Field(ge=1e-6, le=1e15, description="1 ps to 31 years: sums and ratios stay finite")]
StatisticUs = Annotated[float, Field(ge=1e-7, le=1e16)]
Count = Annotated[int, Field(ge=0, le=_MAX_INTEGER)]
Size = Annotated[int, Field(gt=0, le=_MAX_INTEGER)]
Shape = Annotated[tuple[Annotated[int, Field(gt=0, le=2**31)], ...], Field(min_length=1, max_length=8)]


def _items(value: object) -> object:
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _sorted_items(items: tuple[tuple[str, Scalar], ...]) -> tuple[tuple[str, Scalar], ...]:
    if len(dict(items)) != len(items):
        raise ValueError("a name stands twice; give each once")
    return tuple(sorted(items, key=lambda item: item[0]))


Params = Annotated[
    tuple[tuple[Text, Scalar], ...],
    Field(max_length=64),
    BeforeValidator(_items),
    AfterValidator(_sorted_items),
    PlainSerializer(dict, return_type=dict[str, Scalar]),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"pattern": _PLAIN, "minLength": 1, "maxLength": 300},
            "additionalProperties": {
                "anyOf": [
                    {"type": "boolean"},
                    {"type": "number", "minimum": -_MAX_NUMBER, "maximum": _MAX_NUMBER},
                    {"type": "string", "pattern": _PLAIN, "maxLength": 300},
                ]
            },
        }
    ),
]
"""Named scalars, sorted: a JSON object on the wire, a hashable tuple of pairs in memory."""


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN or infinity (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Contract(BaseModel):
    """Frozen, unknown fields rejected, equal and hashed by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON of this object."""
        return canonical_json(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the key of this object everywhere."""
        return sha256(self.canonical)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class OperationSpec(Contract):
    """One operation at one shape: the key of a latency row.

    `space_digest` covers the definitions of the operations: a changed definition is another key.
    `input_shapes` holds one shape per input, without the batch dimension.
    """

    space: Name
    space_digest: Digest
    name: Name
    input_shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=16)]
    params: Params = ()

    def __str__(self) -> str:
        shapes = " + ".join("×".join(map(str, shape)) for shape in self.input_shapes)
        params = ", ".join(f"{name}={value}" for name, value in self.params)
        return f"{self.space}/{self.name}({shapes}{'; ' + params if params else ''})"


class OperationCount(Contract):
    """How often a network executes an operation."""

    operation: OperationSpec
    count: Annotated[int, Field(gt=0, le=1_000_000)]


class NetworkSpec(Contract):
    """A network of a search space: what builds it, and the multiset of operations that it executes.

    `genotype` is canonical JSON that only the space interprets. `operations` is sorted by digest.
    """

    space: Name
    space_digest: Digest
    genotype: Annotated[str, StringConstraints(max_length=100_000)]
    input_shape: Shape
    operations: Annotated[tuple[OperationCount, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]

    @model_validator(mode="after")
    def _check(self) -> "NetworkSpec":
        try:
            parsed = json.loads(self.genotype)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"genotype: not JSON ({error})") from error
        if canonical_json(parsed) != self.genotype:
            raise ValueError("genotype: not canonical JSON; make it with latency_tables.contract.canonical_json")
        digests = [item.operation.digest for item in self.operations]
        if digests != sorted(set(digests)):
            raise ValueError("operations: each operation once, sorted by digest; make it with NetworkSpec.of")
        return self

    @classmethod
    def of(
        cls,
        space: str,
        space_digest: str,
        genotype: Any,
        input_shape: tuple[int, ...],
        operations: Mapping[OperationSpec, int],
    ) -> "NetworkSpec":
        """Put genotype and multiset into their canonical form."""
        counts = [OperationCount(operation=operation, count=count) for operation, count in operations.items()]
        return cls(
            space=space,
            space_digest=space_digest,
            genotype=canonical_json(genotype),
            input_shape=input_shape,
            operations=tuple(sorted(counts, key=lambda item: item.operation.digest)),
        )


Mode = Literal["pytorch", "pytorch-graph", "tensorrt", "onnxruntime"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]


class Runtime(Contract):
    """How a device executes: `threads` is for CPUs only (None on a GPU)."""

    mode: Mode = "pytorch"
    precision: Precision = "fp32"
    batch_size: Annotated[int, Field(gt=0, le=65536)] = 1
    threads: Annotated[int, Field(gt=0, le=4096)] | None = None


class Device(Contract):
    """Hardware identity: what stays when the software changes."""

    uuid: DeviceUuid
    kind: Literal["cuda", "cpu"]
    vendor: Text
    name: Text
    memory_bytes: Size
    cores: Annotated[int, Field(gt=0, le=2**31, description="CPU cores, or multiprocessors of a GPU")]
    compute_capability: Remark | None = None
    cpu_flags: Annotated[tuple[Remark, ...], Field(max_length=1000)] = ()


class Environment(Contract):
    """Software and state of a device while it measured; hashed apart from the device."""

    os: Text
    python: Text
    torch: Remark | None = None
    driver: Remark | None = None
    cuda: Remark | None = None
    cudnn: Remark | None = None
    tensorrt: Remark | None = None
    onnxruntime: Remark | None = None
    power_limit_w: Positive | None = None
    clock_policy: Remark | None = None
    allocator: Remark | None = None


class Method(Contract):
    """How a number was taken: `version` names the procedure, `settings` its parameters.

    Measurements of unlike versions never stand in one table.
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
    """Doubt, stored with the number: a measurement that is converged and neither throttled nor noisy is sound."""

    converged: bool
    throttled: bool = False
    noisy: bool = False
    rejected_blocks: Count = 0

    @property
    def sound(self) -> bool:
        return self.converged and not self.throttled and not self.noisy


class Costs(Contract):
    """What an operation or network takes beside time, for the whole batch.

    `parameters` are those of the deployed module. `macs`: multiply-adds of its convolutions and matrix products (half
    its floating-point operations). `peak_memory_bytes`: parameters, inputs, and the most that is allocated at once
    for outputs and intermediate results, without a library's own workspace.
    """

    parameters: Count
    macs: Count
    peak_memory_bytes: Count


NOISY_REL = 0.05
"""`Observed.noise_rel` from which a machine is called noisy."""


class Observed(Contract):
    """The state of a device while something was measured there; None is what it does not tell.

    `noise_rel`: how far the references of the same run scattered, as the interquartile range over the median of the one
    that scattered most. Of a GPU over the blocks of this measurement: median clocks and power, highest temperature.
    """

    clocks: Literal["locked", "not locked"] | None = None
    noise_rel: Annotated[float, Field(ge=0, le=1e6)] | None = None
    sm_mhz: Positive | None = None
    memory_mhz: Positive | None = None
    temperature_c: Annotated[float, Field(ge=-100, le=1000)] | None = None
    power_w: Annotated[float, Field(ge=0, le=1e6)] | None = None
    power_capped: bool | None = None
    foreign_processes: Count | None = None


class Measurement(Contract):
    """Block samples of one operation or network (`key` is its digest) on one device, in microseconds.

    One sample is the time of one block divided by its number of executions. The client makes `id` (UUIDv7):
    the same id with the same content is the same measurement.

    `normalized_us` is the latency at the machine's standard state, by the reference operations of the same run.
    `device_us` is the device's own time where `samples_us` have the host's launching in them (eager CUDA).
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
    normalized_us: SampleUs | None = None
    device_us: SampleUs | None = None
    costs: Costs | None = None
    observed: Observed | None = None
    measured_at: AwareDatetime

    @cached_property
    def latency(self) -> Latency:
        return Latency.of(self.samples_us)


class TableRow(Contract):
    """One operation's latency, as measured alone, and where the samples are.

    `normalized_us`, `device_us` and `costs` are the measurement's.
    """

    operation: OperationSpec
    latency: Latency
    quality: Quality
    normalized_us: SampleUs | None = None
    device_us: SampleUs | None = None
    costs: Costs | None = None
    measurement_id: UUID


class LatencyTable(Contract):
    """Latencies of one device, one environment, one runtime and one space; immutable.

    `digest` (of all fields but `id`, `created_at` and `warnings`) is its content: the same rows are the same table.
    `warnings` say in words what was wrong with the machine while the rows were measured.
    """

    id: UUID
    created_at: AwareDatetime
    device: Device
    environment: Environment
    runtime: Runtime
    method_version: Name
    space: Name
    space_digest: Digest
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    warnings: Annotated[tuple[Text, ...], Field(max_length=MAX_WARNINGS)] = ()

    @cached_property
    def digest(self) -> str:
        return sha256(canonical_json(self.model_dump(mode="json", exclude={"id", "created_at", "warnings"})))

    @cached_property
    def _by_digest(self) -> dict[str, TableRow]:
        return {row.operation.digest: row for row in self.rows}

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows, each as one flat mapping of plain values; latencies in microseconds."""
        for row in self.rows:
            spec = row.operation
            yield {
                "space": spec.space,
                "name": spec.name,
                "input_shapes": " ".join("x".join(map(str, shape)) for shape in spec.input_shapes),
                "params": canonical_json(dict(spec.params)),
                "key": spec.digest,
                **row.latency.model_dump(),
                **row.quality.model_dump(),
                "normalized_us": row.normalized_us,
                "device_us": row.device_us,
                **(row.costs.model_dump() if row.costs else dict.fromkeys(Costs.model_fields)),
                "measurement_id": str(row.measurement_id),
            }

    def to_pandas(self) -> "DataFrame":
        """A DataFrame with a line per operation; latencies in microseconds.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError as error:
            raise ImportError("LatencyTable.to_pandas needs pandas: pip install pandas") from error
        return DataFrame(self.records())

    def __getitem__(self, operation: OperationSpec) -> TableRow:
        """The row of an operation; a missing one raises MissingRows, it is never zero."""
        self.require([operation])
        return self._by_digest[operation.digest]

    def require(self, operations: Iterable[OperationSpec]) -> None:
        """Raise MissingRows naming every operation that has no row here."""
        missing = [operation for operation in operations if operation.digest not in self._by_digest]
        if missing:
            raise MissingRows(self, missing)


class TableFile(Contract):
    """A table in a file: its content has the digest that it was exported with."""

    content_digest: Digest
    table: LatencyTable

    @model_validator(mode="after")
    def _check(self) -> "TableFile":
        if self.table.digest != self.content_digest:
            raise ValueError(
                f"content_digest={self.content_digest!r}: the content of table {self.table.id} has digest "
                f"{self.table.digest}; it was changed or damaged on its way"
            )
        return self


class MissingRows(LookupError):
    """A table lacks operations; `missing` lists them."""

    def __init__(self, table: LatencyTable, missing: list[OperationSpec]) -> None:
        self.missing = missing
        shown = "; ".join(map(str, missing[:3])) + ("; …" if len(missing) > 3 else "")
        hint = ""
        if {operation.space_digest for operation in missing} != {table.space_digest}:
            hint = " (the table is of another definition of the space)"
        super().__init__(
            f"table {table.id} of {table.device.name} has no row for {len(missing)} operation(s){hint}: {shown}. "
            "Profile them first: post a job with these operations."
        )


class DeviceSelector(Contract):
    """Which device may take a job: every given field must be equal."""

    uuid: DeviceUuid | None = None
    name: Text | None = None
    kind: Literal["cuda", "cpu"] | None = None


class Effort(Contract):
    """How long to measure: stop a workload when its interval is within `target_rel` of its median.

    None takes the device's default (1 % on a GPU, 2 % on a CPU). `budget_s` bounds the whole job; it never
    goes below `min_blocks` blocks of each operation.
    """

    target_rel: Annotated[float, Field(gt=0, lt=1)] | None = None
    min_blocks: Annotated[int, Field(ge=6, le=1000)] = 12
    budget_s: Positive | None = None


class JobRequest(Contract):
    """Profile operations, or measure networks end to end; exactly one of the two.

    `requirement` is what an agent without the space has to install (as pip takes it). What was measured before under
    equal conditions is not measured again; with `repeat_doubtful` only what is sound.
    """

    device: DeviceSelector
    runtime: Runtime
    space: Name
    space_digest: Digest
    requirement: Requirement
    operations: Annotated[tuple[OperationSpec, ...], Field(max_length=MAX_OPERATIONS)] = ()
    networks: Annotated[tuple[NetworkSpec, ...], Field(max_length=MAX_NETWORKS)] = ()
    effort: Effort = Effort()
    repeat_doubtful: Annotated[bool, Field(description="Measure again what has no sound measurement yet.")] = False

    @model_validator(mode="after")
    def _check(self) -> "JobRequest":
        if bool(self.operations) == bool(self.networks):
            raise ValueError("give either operations to profile or networks to measure")
        for operation in self.operations:
            if (operation.space, operation.space_digest) != (self.space, self.space_digest):
                raise ValueError(f"operations: {operation} is not of space {self.space!r} with the job's space_digest")
        if len({operation.digest for operation in self.operations}) != len(self.operations):
            raise ValueError("operations: an operation stands twice; list each once")
        for network in self.networks:
            if (network.space, network.space_digest) != (self.space, self.space_digest):
                raise ValueError(f"networks: not of space {self.space!r} with the job's space_digest: {network.digest}")
        if len({network.digest for network in self.networks}) != len(self.networks):
            raise ValueError("networks: a network stands twice; list each once")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Digests of everything to measure."""
        return tuple(item.digest for item in (*self.operations, *self.networks))


JobState = Literal["queued", "leased", "done", "failed", "cancelled"]


class Progress(Contract):
    """How far a job is: keys measured, of how many."""

    done: Count
    total: Count


class Job(Contract):
    """A job as the server sees it. `table_id` is set when a profile job is done."""

    id: UUID
    request: JobRequest
    state: JobState
    progress: Progress
    attempts: Count
    error: str | None
    table_id: UUID | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class DeviceReport(Contract):
    """What an agent says of itself when it registers."""

    device: Device
    environment: Environment
    agent: Text


CardState = Literal["none", "bad", "old", "good"]


class TableHealth(Contract):
    """May this table be trusted? How old it is, of how many rows each doubt holds, and how well it predicts networks.

    `card` is that of its newest calibration: `none` without one, `bad` where calibrated predictions are more than 5 %
    off in the mean, `old` where no network was measured since the table was built, or for 30 days. `mape` is the mean
    error of calibrated predictions (0.01 is 1 %), `networks` how many networks it is of.
    """

    id: UUID
    created_at: AwareDatetime
    age_s: Annotated[float, Field(ge=0)]
    runtime: Runtime
    space: Name
    space_digest: Digest
    rows: Count
    converged_share: Share
    noisy: Count
    throttled: Count
    card: CardState = "none"
    mape: NonNegative | None = None
    networks: Count = 0
    networks_at: AwareDatetime | None = None


class DeviceRecord(Contract):
    """A device as the server knows it.

    `newest_tables` is the health of the newest table of each runtime and space (the answer to a registration
    leaves it empty).
    """

    device: Device
    environment: Environment
    agent: Text
    first_seen: AwareDatetime
    heartbeat_at: AwareDatetime
    tables: Count
    newest_tables: tuple[TableHealth, ...] = ()


class LeaseRequest(Contract):
    """An agent asks for work on its device; the server holds the answer up to `wait_s` (at most 25 s)."""

    id: UUID
    device: DeviceUuid
    environment: Digest
    method_version: Name
    wait_s: Annotated[float, Field(ge=0, le=25)] = 25.0


class Lease(Contract):
    """A job in an agent's hands until `expires_at` by the server's clock. `remaining`: keys not yet measured."""

    id: UUID
    token: Text
    job: Job
    remaining: tuple[Digest, ...]
    expires_at: AwareDatetime
    renew_every_s: Positive


class LeaseRenewal(Contract):
    """The answer to a renewal: go on until `expires_at`, or stop because the job was cancelled."""

    expires_at: AwareDatetime
    cancelled: bool


class Completion(Contract):
    """How an agent ended a job: `error` says why it failed, None that it is done."""

    error: Annotated[str, StringConstraints(min_length=1, max_length=4000)] | None = None


class Receipt(Contract):
    """The server has this measurement, durably. `late`: its lease had ended before."""

    id: UUID
    late: bool
    received_at: AwareDatetime


class TableSummary(Contract):
    """A table without its rows."""

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    device: str
    device_name: str
    environment: Digest
    runtime: Runtime
    method_version: Name
    space: Name
    space_digest: Digest
    rows: Count


class NetworkResult(Contract):
    """One network on one device and runtime: what its newest table says beside the end-to-end latency.

    `raw_us` is the sum of the table's rows (Eq. 9): None without a table of this device, environment, runtime and
    method that has every row. `predicted_us` is calibrated, from `low_us` to `high_us` with a probability of 90 %:
    None while the table has no calibration. It is predicted from other networks only, never from its own measurement.
    Both are to be compared with `measured_us`: the latency at the machine's standard state if the table has it too,
    else the median.
    """

    device: Device
    environment: Digest
    runtime: Runtime
    measured: Latency
    measured_us: Positive
    quality: Quality
    measurement_id: UUID
    measured_at: AwareDatetime
    table_id: UUID | None
    raw_us: Positive | None
    calibration_id: UUID | None = None
    predicted_us: Positive | None = None
    low_us: NonNegative | None = None
    high_us: Positive | None = None


class NetworkRecord(Contract):
    """A network that was found or submitted (`id` is its digest), with its result on every device that measured it."""

    id: Digest
    network: NetworkSpec
    created_at: AwareDatetime
    results: tuple[NetworkResult, ...]


class PredictionRequest(Contract):
    """Predict networks by the newest table of a device (uuid, or a name that only one device has), or of every device.

    All networks are of one definition of a space.
    """

    networks: Annotated[tuple[NetworkSpec, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    device: Text | None = None
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _check(self) -> "PredictionRequest":
        if len({(network.space, network.space_digest) for network in self.networks}) > 1:
            raise ValueError("networks: of several spaces or definitions of one; ask for each by itself")
        return self


class Prediction(Contract):
    """What a network would cost on a device, by its newest table.

    `raw_us` is the sum of the table's rows over the operations that the network executes (Eq. 9). `predicted_us` is
    calibrated, from `low_us` to `high_us` with a probability of 90 %: these and `calibration_id` are None while the
    table has no calibration, then there is no more than the raw sum. A network that was itself measured is predicted
    from the other ones only.
    """

    network: Digest
    device: Device
    environment: Digest
    runtime: Runtime
    table_id: UUID
    raw_us: Positive
    calibration_id: UUID | None = None
    predicted_us: Positive | None = None
    low_us: NonNegative | None = None
    high_us: Positive | None = None


class PredictionFigures(Contract):
    """How far predictions of networks are from their measured latencies; relative errors as shares (0.01 is 1 %).

    `tau` is Kendall's τ-b, `rho` Spearman's ρ; both are None where undefined.
    """

    mape: NonNegative
    max_rel: NonNegative
    within_5: Share
    within_10: Share
    rmse_us: NonNegative
    tau: Correlation | None
    rho: Correlation | None


class ErrorCard(Contract):
    """How well a table predicts whole networks, each one from the others (leave-one-out): none predicts itself.

    `raw` is the sum of the rows, `affine` a straight line through such sums (None under 4 networks), `calibrated` what
    predictions give. `coverage90`: the share of networks inside their 90 % interval. `measured_at`: the newest of the
    measured networks.
    """

    networks: Size
    raw: PredictionFigures
    affine: PredictionFigures | None
    calibrated: PredictionFigures
    coverage90: Share
    measured_at: AwareDatetime


class Evidence(Contract):
    """A network that was measured end to end, and what was predicted for it from the others.

    `operations`: how many operations it executes.
    """

    network: Digest
    measurement_id: UUID
    operations: Size
    measured_us: Positive
    raw_us: Positive
    predicted_us: Positive
    low_us: NonNegative
    high_us: Positive


class InNetworkRow(Contract):
    """What an operation costs inside a network, beside what it costs alone; `key` is its digest."""

    key: Digest
    isolated_us: Positive
    latency_us: Positive


class Coefficient(Contract):
    """A parameter of a calibration, with its posterior standard deviation; `kind` says of which operations."""

    kind: Text
    mean: float
    std: NonNegative


Basis = Literal["normalized_us", "median_us"]
"""Which latency of rows and networks is meant: at the machine's standard state where all have that, else the median."""


class Calibration(Contract):
    """What a table learnt from networks that were measured end to end; immutable, a new one for new evidence.

    Latencies inside a network are `rows`: a row of the table times the coefficient of its kind. A network costs their
    sum and `constant_us`. `version` names the procedure, `basis` the latencies that it compared. `digest` (of all
    fields but `id` and `created_at`) is its content.
    """

    id: UUID
    created_at: AwareDatetime
    table_id: UUID
    table_digest: Digest
    version: Name
    basis: Basis
    coefficients: Annotated[tuple[Coefficient, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    constant_us: Coefficient
    rows: Annotated[tuple[InNetworkRow, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    card: ErrorCard

    @cached_property
    def digest(self) -> str:
        return sha256(canonical_json(self.model_dump(mode="json", exclude={"id", "created_at"})))


class CalibrationFile(Contract):
    """A calibration in a file, with the networks of its evidence: its content has the digest it was exported with."""

    content_digest: Digest
    calibration: Calibration
    networks: Annotated[tuple[NetworkSpec, ...], Field(max_length=MAX_NETWORKS)]

    @model_validator(mode="after")
    def _check(self) -> "CalibrationFile":
        if self.calibration.digest != self.content_digest:
            raise ValueError(
                f"content_digest={self.content_digest!r}: the content of calibration {self.calibration.id} has digest "
                f"{self.calibration.digest}; it was changed or damaged on its way"
            )
        if [one.network for one in self.calibration.evidence] != [network.digest for network in self.networks]:
            raise ValueError("networks: they are not those of the calibration's evidence, in its order")
        return self


class CalibrationSummary(Contract):
    """A calibration without rows and evidence."""

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    table_id: UUID
    version: Name
    card: ErrorCard


Verdict = Literal["faster", "slower", "same", "ambiguous"]


class Ratio(Contract):
    """A latency relative to the reference table's: above 1 is slower. `low` to `high` is its 95 % interval."""

    value: Positive
    low: Positive
    high: Positive
    verdict: Verdict


class ComparedOperation(Contract):
    """One operation that all compared tables hold; one entry per table, the reference first.

    `sound` is False where the measurement is not converged, noisy or throttled.
    """

    operation: OperationSpec
    latencies_us: tuple[Positive, ...]
    sound: tuple[bool, ...]
    ratios: tuple[Ratio, ...]


class VerdictCounts(Contract):
    """Over how many operations each verdict was reached."""

    faster: Count = 0
    slower: Count = 0
    same: Count = 0
    ambiguous: Count = 0


class ComparedTable(Contract):
    """A table against the reference, over the shared operations.

    `overall` is the geometric mean of the ratios. `tau` is Kendall's τ-b of its latencies with the reference's,
    `tau_same_input` the same over pairs of operations with equal inputs only: those that a search chooses between.
    Both are None where undefined. `proxy` says in words whether this table would do in place of the reference.
    `missing`: what another compared table holds and this one does not.
    """

    table: TableSummary
    overall: Ratio
    verdicts: VerdictCounts
    doubtful: Count
    tau: float | None
    tau_same_input: float | None
    proxy: str
    missing: tuple[OperationSpec, ...]


class Comparison(Contract):
    """Tables side by side over the operations that all of them hold; the first table is the reference.

    A verdict is `same` if the whole interval lies within a factor 1 + `margin_rel` of 1, `slower` or `faster` if
    the whole interval lies beyond it, and `ambiguous` otherwise. `unlike` says in which conditions, other than
    device, mode, precision and date, the tables differ; such a comparison is made only if it was asked for. Precisions
    are meant to be compared: what does fp16 save?
    """

    margin_rel: Positive
    unlike: tuple[str, ...]
    tables: Annotated[tuple[ComparedTable, ...], Field(min_length=2)]
    operations: tuple[ComparedOperation, ...]


Role = Literal["read", "search", "agent", "admin"]


class TokenRequest(Contract):
    """An access token to be made; `device` binds an agent's token to one device, None leaves it open."""

    name: Annotated[Text, Field(description="Whose it is or what it is for.")]
    role: Role
    device: DeviceUuid | None = None
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _check(self) -> "TokenRequest":
        if self.device is not None and self.role != "agent":
            raise ValueError(f"device={self.device!r}: only a token of role agent is for one device")
        return self


class TokenRotation(Contract):
    """Replace a token: the new one is `id`; the old one goes on for `overlap_s` (at most 30 days)."""

    id: UUID
    overlap_s: Annotated[float, Field(ge=0, le=30 * 86400)] = 86400.0
    expires_at: AwareDatetime | None = None


class TokenRecord(Contract):
    """What the server knows of a token; the token itself it does not know."""

    id: UUID
    name: str
    role: Role
    device: str | None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    replaced_by: UUID | None


class NewToken(Contract):
    """A token that was just made: `token` is shown this once."""

    token: str
    record: TokenRecord


class Page(Contract, Generic[Item]):
    """A part of a list, oldest first; `next` is the `after` of the page that follows, None on the last one."""

    items: tuple[Item, ...]
    next: str | None


class Problem(BaseModel):
    """An RFC 9457 problem document: what was wrong, which field, which value, and the way out."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str

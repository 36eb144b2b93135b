"""What the agent and its measuring process say to each other: one JSON line a message."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from latency_tables.contract import (
    Contract,
    Count,
    Device,
    Digest,
    Environment,
    Job,
    JobRequest,
    Measurement,
    Mode,
    Observed,
    Precision,
    Runtime,
    Scalar,
    Size,
)
from profiler_agent.measuring.trace import Doubt


class InspectTask(Contract):
    """Tell what this machine is; with `check`, also which modes, precisions and spaces it can do."""

    task: Literal["inspect"] = "inspect"
    device: str
    check: bool = False


class MeasureTask(Contract):
    """Measure `keys` of a job; `threads` is for jobs that leave it open.

    `standard` has the references' readings (µs) in the machine's standard state, as `Standard` told them before.
    `trace` is a folder to write every block to, for those who study the measuring itself.
    """

    task: Literal["measure"] = "measure"
    device: str
    job: Job
    keys: tuple[Digest, ...]
    threads: int | None
    environment: Digest
    standard: dict[str, float] | None = None
    trace: str | None = None


class NoiseTask(Contract):
    """Take blocks of the references for `seconds`; `threads` is for CPUs."""

    task: Literal["noise"] = "noise"
    device: str
    threads: Size
    seconds: Annotated[float, Field(gt=0, le=3600)]


class WorkTask(Contract):
    """Build the references and `keys` of a request, warm them up, and then take blocks as told.

    `exports` is a folder that `turns` workers share what they export in; each begins elsewhere, by its `turn`.
    """

    task: Literal["work"] = "work"
    device: str
    request: JobRequest | None
    runtime: Runtime
    keys: tuple[Digest, ...]
    exports: str | None = None
    turn: Count = 0
    turns: Size = 1


class Settle(Contract):
    """Find how many executions make a block of this workload or reference."""

    order: Literal["settle"] = "settle"
    name: str


class TakeBlock(Contract):
    """Take one block of so many executions."""

    order: Literal["take"] = "take"
    name: str
    executions: Size


class Look(Contract):
    """Tell what the host did to this process so far."""

    order: Literal["look"] = "look"


class Collect(Contract):
    """Collect garbage, between rounds."""

    order: Literal["collect"] = "collect"


class Capability(Contract):
    """Whether a mode can execute a precision here; `reason` says why not."""

    mode: Mode
    precision: Precision
    reason: str | None


class Inspected(Contract):
    message: Literal["inspected"] = "inspected"
    torch_device: str
    device: Device
    environment: Environment


class Checked(Contract):
    """The slower part of an inspection, for the doctor."""

    message: Literal["checked"] = "checked"
    capabilities: tuple[Capability, ...]
    spaces: tuple[str, ...]


class Measured(Contract):
    message: Literal["measured"] = "measured"
    measurement: Measurement


class Standard(Contract):
    """The references' readings (µs) in what is now the standard state of this machine and runtime."""

    message: Literal["standard"] = "standard"
    references: dict[str, float]


class ReferenceNoise(Contract):
    """How one reference scattered: within the processes, and from one process to another, relative to its median."""

    name: str
    blocks: Size
    disturbed: Count
    median_us: float
    between_blocks_rel: float
    between_processes_rel: float


class Noise(Contract):
    """What clock and neighbours did to the references; seconds, and shares of one.

    `clock_step_s`: the smallest step of the clock that times blocks, `clock_cost_s` what it reads for an empty block,
    `block_s` how long a block is. `steal_share` and `wait_share`: time that the worker's cores were stolen, and that it
    waited for them. `others_cores`: how many of the machine's `cores` others kept busy. None is not known.
    """

    message: Literal["noise"] = "noise"
    seconds: float
    processes: Size
    references: tuple[ReferenceNoise, ...]
    clock_step_s: float
    clock_cost_s: float
    block_s: float
    steal_share: float
    wait_share: float | None
    involuntary_switches: Count
    others_cores: float | None
    cores: Size | None
    observed: Observed


class Preparing(Contract):
    """The key that is built now, after `done` others."""

    message: Literal["preparing"] = "preparing"
    key: Digest
    done: Count
    total: Count


class RoundDone(Contract):
    message: Literal["round"] = "round"
    number: Count
    repeated: Count
    open: Count


class Failed(Contract):
    """The job cannot be done on this machine or at all; `error` says why, for whoever posted it."""

    message: Literal["failed"] = "failed"
    error: str


class Gone(Contract):
    """The device is not there any more, or fails: nothing can be measured on it; `error` says what was seen."""

    message: Literal["gone"] = "gone"
    error: str


class Outdated(Contract):
    """The software changed under the running agent."""

    message: Literal["outdated"] = "outdated"
    environment: Environment


class Finished(Contract):
    message: Literal["finished"] = "finished"


class Ready(Contract):
    """What a worker has built; of the other keys, why not."""

    message: Literal["ready"] = "ready"
    settings: dict[str, Scalar]
    failures: dict[Digest, str]


class Collected(Contract):
    pass


class Settled(Contract):
    executions: Size


class Taken(Contract):
    latency_us: float
    doubt: Doubt


class Looked(Contract):
    steal_s: float
    wait_s: float | None
    involuntary_switches: Count
    cpu_s: float


Message = Annotated[
    Inspected | Checked | Noise | Measured | Standard | Preparing | RoundDone | Failed | Gone | Outdated | Finished,
    Field(discriminator="message"),
]
Order = Annotated[Settle | TakeBlock | Look | Collect, Field(discriminator="order")]
Task = Annotated[InspectTask | MeasureTask | NoiseTask | WorkTask, Field(discriminator="task")]

BUILDING: TypeAdapter[Preparing | Ready] = TypeAdapter(Annotated[Preparing | Ready, Field(discriminator="message")])
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
ORDER: TypeAdapter[Order] = TypeAdapter(Order)
TASK: TypeAdapter[Task] = TypeAdapter(Task)

"""What the agent and its measuring process say to each other: one JSON line a message."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from latency_tables.contract import (
    Capability,
    Contract,
    Count,
    Device,
    Digest,
    Environment,
    Job,
    JobRequest,
    Measurement,
    NetworkSpec,
    Observed,
    Share,
    Size,
)


class InspectTask(Contract):
    """Describe this machine; with `check`, also say which modes, precisions and spaces work on it."""

    task: Literal["inspect"] = "inspect"
    device: str
    check: bool = False


class BuildTask(Contract):
    """Build the engines of a request, for a compute capability or for the GPU that `device` names, into `folder`."""

    task: Literal["build"] = "build"
    device: str
    request: JobRequest
    capability: str | None = None
    folder: str


class Standard(Contract):
    """What is known of the machine's standard state under some conditions.

    `readings` has the references' and anchors' latencies (µs) in it, `anchors` the anchor of each kind of network.
    """

    readings: dict[str, float] = Field(default_factory=dict)
    anchors: dict[str, NetworkSpec] = Field(default_factory=dict)


class MeasureTask(Contract):
    """Measure `keys` of a job; `threads` is for jobs that leave it open, `environment` is that of the job's mode.

    `standard` is what an earlier NewStandard had.
    `trace` is a folder to write every block to, for those who study the measuring itself.
    """

    task: Literal["measure"] = "measure"
    device: str
    job: Job
    keys: tuple[Digest, ...]
    threads: int | None
    environment: Digest
    standard: Standard = Standard()
    trace: str | None = None


class NoiseTask(Contract):
    """Take blocks of the references for `seconds`; `threads` is for CPUs."""

    task: Literal["noise"] = "noise"
    device: str
    threads: Size
    seconds: Annotated[float, Field(gt=0, le=3600)]


class Inspected(Contract):
    """The first message of every task that inspects or watches; `remarks` are for people who look at the machine.

    `works`: which modes and precisions can be opened here, None where nobody asked. (The doctor executes each.)
    """

    message: Literal["inspected"] = "inspected"
    torch_device: str
    device: Device
    environment: Environment
    remarks: tuple[str, ...] = ()
    works: tuple[Capability, ...] | None = None


class Checked(Contract):
    """The slower part of an inspection, for the doctor."""

    message: Literal["checked"] = "checked"
    capabilities: tuple[Capability, ...]
    spaces: tuple[str, ...]


class NewMeasurement(Contract):
    """A key of the job is measured."""

    message: Literal["measurement"] = "measurement"
    measurement: Measurement


class NewStandard(Contract):
    """What is now known of the standard state of this machine and runtime."""

    message: Literal["standard"] = "standard"
    standard: Standard


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
    waited for them. `others_cores`: how many of the machine's `cores` others kept busy. `quota_cores`: the CPU quota of
    the container, and `throttled_share`: the time that it was stopped for that. None: not known, or no quota.
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
    quota_cores: float | None = None
    throttled_share: float | None = None
    observed: Observed


class Preparing(Contract):
    """A key is being built, after `done` others."""

    message: Literal["preparing"] = "preparing"
    key: Digest
    done: Count
    total: Count


class EngineBuilt(Contract):
    """The engine of a key is in the store, after `seconds`; with an `error`, the reason why it is not.

    `taken`: it was there before. `kernels` and `nodes`: how many of them the engine and the model have.
    """

    message: Literal["engine"] = "engine"
    label: str
    seconds: float
    taken: bool = False
    kernels: Count = 0
    nodes: Count = 0
    error: str | None = None


class RoundDone(Contract):
    """How far the rounds are: rounds so far, how many of them were repeated, and the keys that are still open.

    `share` of the work is done, with the blocks of open keys.
    """

    message: Literal["round"] = "round"
    number: Count
    repeated: Count
    open: Count
    share: Share = 0.0


class Failed(Contract):
    """A JobFailed of the measuring process."""

    message: Literal["failed"] = "failed"
    error: str


class MustStop(Contract):
    """An AgentMustStop of the measuring process."""

    message: Literal["must stop"] = "must stop"
    error: str


class Finished(Contract):
    """The task is over; no message follows."""

    message: Literal["finished"] = "finished"


Task = Annotated[InspectTask | MeasureTask | NoiseTask | BuildTask, Field(discriminator="task")]
Message = Annotated[
    Inspected
    | Checked
    | Noise
    | NewMeasurement
    | NewStandard
    | Preparing
    | EngineBuilt
    | RoundDone
    | Failed
    | MustStop
    | Finished,
    Field(discriminator="message"),
]

TASK: TypeAdapter[Task] = TypeAdapter(Task)
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)

"""What the agent and its measuring process say to each other: one JSON line a message."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from lut_server.schemas import (
    Contract,
    Count,
    Device,
    Digest,
    Environment,
    Job,
    JobRequest,
    Measurement,
    Mode,
    Precision,
    Runtime,
    Scalar,
    Size,
)
from profiler_agent.trace import Doubt


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


class WorkTask(Contract):
    """Build `keys` of a request, warm them up, and then take blocks as told."""

    task: Literal["work"] = "work"
    device: str
    request: JobRequest
    runtime: Runtime
    keys: tuple[Digest, ...]


class Settle(Contract):
    """Find how many executions make a block of this workload or reference."""

    order: Literal["settle"] = "settle"
    name: str


class Take(Contract):
    """Take one block of so many executions."""

    order: Literal["take"] = "take"
    name: str
    executions: Size


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


class Preparing(Contract):
    """Workloads built and warm so far."""

    message: Literal["preparing"] = "preparing"
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


class Outdated(Contract):
    """The software changed under the running agent."""

    message: Literal["outdated"] = "outdated"
    environment: Environment


class Finished(Contract):
    message: Literal["finished"] = "finished"


class Ready(Contract):
    """What a worker has built; of the other keys, why not."""

    settings: dict[str, Scalar]
    failures: dict[Digest, str]


class Settled(Contract):
    executions: Size


class Taken(Contract):
    latency_us: float
    doubt: Doubt


Message = Annotated[
    Inspected | Checked | Measured | Standard | Preparing | RoundDone | Failed | Outdated | Finished,
    Field(discriminator="message"),
]
Order = Annotated[Settle | Take | Collect, Field(discriminator="order")]
Task = Annotated[InspectTask | MeasureTask | WorkTask, Field(discriminator="task")]

MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
ORDER: TypeAdapter[Order] = TypeAdapter(Order)
TASK: TypeAdapter[Task] = TypeAdapter(Task)

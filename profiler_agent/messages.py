"""What the agent and its measuring process say to each other: one JSON line a message."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from lut_server.schemas import Contract, Count, Device, Digest, Environment, Job, Measurement, Mode, Precision


class InspectTask(Contract):
    """Tell what this machine is; with `check`, also which modes, precisions and spaces it can do."""

    task: Literal["inspect"] = "inspect"
    device: str
    check: bool = False


class MeasureTask(Contract):
    """Measure `keys` of a job; `threads` is for jobs that leave it open."""

    task: Literal["measure"] = "measure"
    device: str
    job: Job
    keys: tuple[Digest, ...]
    threads: int | None
    environment: Digest


class Capability(Contract):
    """Whether a mode can execute a precision (None: any) here; `reason` says why not."""

    mode: Mode
    precision: Precision | None
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


Message = Annotated[
    Inspected | Checked | Measured | Preparing | RoundDone | Failed | Outdated | Finished,
    Field(discriminator="message"),
]
Task = Annotated[InspectTask | MeasureTask, Field(discriminator="task")]

MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
TASK: TypeAdapter[Task] = TypeAdapter(Task)

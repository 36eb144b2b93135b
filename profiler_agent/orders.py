"""What the measuring process and its workers say to each other: one JSON line an order, and one an answer."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from latency_tables.contract import Contract, Count, Digest, JobRequest, Kernel, NetworkSpec, Runtime, Scalar, Size
from profiler_agent.messages import Preparing


class WorkTask(Contract):
    """Build the references, the `anchor` and `keys` of a request, then obey orders.

    `exports` is a folder in which `turns` workers share what they export; each begins elsewhere, by its `turn`.
    """

    device: str
    request: JobRequest | None
    runtime: Runtime
    keys: tuple[Digest, ...]
    anchor: NetworkSpec | None = None
    exports: str | None = None
    turn: Count = 0
    turns: Size = 1


class Ready(Contract):
    """All is built: what the mode adds to the method of a measurement; why keys do not build; networks' kernels."""

    message: Literal["ready"] = "ready"
    settings: dict[str, Scalar]
    failures: dict[Digest, str]
    kernels: dict[Digest, tuple[Kernel, ...]]


class Settle(Contract):
    """Warm a workload or reference up; the answer is the number of executions that make a block of it."""

    order: Literal["settle"] = "settle"
    name: str


class TakeBlock(Contract):
    """Take one block of so many executions; the answer is a Block."""

    order: Literal["take"] = "take"
    name: str
    executions: Size


class ReadHost(Contract):
    """Read what the host did to the worker since it started; the answer is a HostReading."""

    order: Literal["read host"] = "read host"


class CollectGarbage(Contract):
    """Collect garbage, between rounds; the answer is null."""

    order: Literal["collect garbage"] = "collect garbage"


class Unable(Contract):
    """The answer to an order whose workload failed."""

    error: str


Order = Annotated[Settle | TakeBlock | ReadHost | CollectGarbage, Field(discriminator="order")]

BUILDING: TypeAdapter[Preparing | Ready] = TypeAdapter(Annotated[Preparing | Ready, Field(discriminator="message")])
ORDER: TypeAdapter[Order] = TypeAdapter(Order)

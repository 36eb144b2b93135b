"""Devices, their environments, and how they execute."""

from typing import Annotated, Literal

from pydantic import Field

from latency_tables.contract.base import (
    Contract,
    DeviceUuid,
    Exact,
    Params,
    Positive,
    Reason,
    Remark,
    Scalar,
    Size,
    Text,
)

Mode = Literal[
    "pytorch",
    "pytorch-graph",
    "pytorch-compile",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
]
"""How modules are executed; an agent has the file profiler_agent/runtimes/modes/NAME.py for each."""
Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]


class Runtime(Exact):
    """How a device executes: `threads` is for CPUs only (None on a GPU)."""

    mode: Mode = "pytorch"
    precision: Precision = "fp32"
    batch_size: Annotated[int, Field(gt=0, le=65536)] = 1
    threads: Annotated[int, Field(gt=0, le=4096)] | None = None

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return f"{self.mode} {self.precision}, batch {self.batch_size}{threads}"


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
    """Software and state of a device while it measured; hashed apart from the device.

    `libraries`: the versions of what other runtime modes execute with, by mode. A device has an environment with every
    library that is installed; measurements and tables have the one `of_mode`.
    """

    os: Text
    python: Text
    torch: Remark | None = None
    driver: Remark | None = None
    cuda: Remark | None = None
    cudnn: Remark | None = None
    tensorrt: Remark | None = None
    onnxruntime: Remark | None = None
    libraries: Params | None = None
    power_limit_w: Positive | None = None
    clock_policy: Remark | None = None
    allocator: Remark | None = None

    def of_mode(self, mode: Mode) -> "Environment":
        """Without the libraries that a mode does not load: installing one makes no table of another mode old."""
        fields: dict[str, None] = {field: None for field in ("onnxruntime", "tensorrt") if field != mode}
        libraries = tuple((name, version) for name, version in self.libraries or () if name == mode)
        return self.model_copy(update={**fields, "libraries": libraries or None})

    @property
    def named(self) -> dict[str, Scalar]:
        """What is known, by field or library."""
        fields: dict[str, Scalar] = self.model_dump(exclude={"libraries"}, exclude_none=True)
        return fields | dict(self.libraries or ())


class Capability(Contract):
    """Whether a mode can execute a precision on a device; `reason` says why not, None that it can."""

    mode: Mode
    precision: Precision
    reason: Reason | None = None


Capabilities = Annotated[tuple[Capability, ...], Field(max_length=100)]


class DeviceReport(Contract):
    """What an agent registers: its device, its environment, its own version, and what works there.

    `works` is what `profiler-agent doctor` shows; None where the agent did not look.
    """

    device: Device
    environment: Environment
    agent: Text
    works: Capabilities | None = None

"""What a runtime mode is: how it executes modules, and what is known of it without its libraries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch

from latency_tables.contract import Kernel, Precision, Runtime, Scalar
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Clock, Execute

DeviceKind = Literal["cpu", "cuda"]


class RuntimeMode(Protocol):
    """Executes modules one way on one device; it is made from a Runtime and a torch.device.

    `settings` goes into the method of every measurement; its `context` says whether a part of networks is executed
    alone (the default) or as inside a network.
    """

    @property
    def clock(self) -> Clock: ...

    @property
    def settings(self) -> Mapping[str, Scalar]: ...

    def prepare(self, subject: Subject) -> Execute:
        """Make a module ready on the device, with random inputs of its shapes; call the result to execute it once.

        What it raises is the answer to whoever posted the job: the operation cannot be measured.
        """
        ...

    def kernels(self, execute: Execute) -> tuple[Kernel, ...] | None:
        """What is executed for a prepared module, in order; None where the mode's library does not tell."""
        ...


class Ran(NamedTuple):
    """How far a mode has come on a kind of device, and what was seen of it there."""

    how: Literal["run", "built", "never run"]
    what: str


@dataclass(frozen=True)
class ModeEntry:
    """A mode, as far as it can be known without its libraries.

    `open` imports them: ImportError where one is missing, JobFailed where the mode cannot run here. `extra` is the
    extra of this distribution that installs them. `precisions` by kind of device; a kind that is not there has no such
    mode. `ran` by the same kinds, for README's table. `distributions` of its library: the version of the first one here
    belongs into the environment of a measurement, under the mode's name.
    """

    open: Callable[[Runtime, torch.device], RuntimeMode]
    extra: str
    precisions: Mapping[DeviceKind, tuple[Precision, ...]]
    ran: Mapping[DeviceKind, Ran]
    distributions: tuple[str, ...] = ()

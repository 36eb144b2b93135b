"""A run: steps from batches, which goes on from a checkpoint as if it had not been stopped. A search and a training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Generic, Protocol, TypeVar

from lgcnet_search.computing.batches import Batch, Batches, batches_from, next_batches
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import Computing


class StepOf(Protocol):
    """What a run records of a step: a dataclass."""

    @property
    def step(self) -> int: ...


Record = TypeVar("Record", bound=StepOf)


class Run(ABC, Generic[Record]):
    """A run between two steps: everything that a step changes, and the step."""

    def __init__(self, steps: int, computing: Computing, record: type[Record]) -> None:
        self.steps = steps
        self.computing = computing
        self.history: list[Record] = []
        self._record = record

    @property
    def steps_done(self) -> int:
        return len(self.history)

    @abstractmethod
    def step(self, batches: Sequence[Batch]) -> Record:
        """One update on this process's share of a global batch, added to `history`."""

    @property
    @abstractmethod
    def origin(self) -> Mapping[str, Any]:
        """What must be equal for this run to go on from a checkpoint: plain values by name."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Any]:
        """What a step changes, by name: modules, optimizers and whatever else has a state dict."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step changes; the data's position follows from the number of steps."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        return {**state, "history": [asdict(record) for record in self.history]}  # type: ignore[call-overload]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.history = [self._record(**record) for record in state["history"]]


def resume(
    run: Run[Record],
    batches: Batches,
    checkpoints: Checkpoints | None = None,
    on_step: Callable[[Record], None] | None = None,
) -> None:
    """Take the steps that are left, from the run's file in `checkpoints` where there is one.

    Raises CheckpointError for a file of another run, ValueError where batches end early.
    """
    computing = run.computing
    state = checkpoints.load(run.origin, computing.processes) if checkpoints else None
    if state:
        run.load_state_dict(state)
    source = batches_from(batches, run.steps_done * computing.accumulate)
    while run.steps_done < run.steps:
        record = run.step(next_batches(source, computing.accumulate, run.steps_done, run.steps))
        if on_step:
            on_step(record)
        if checkpoints and checkpoints.due(run.steps_done, run.steps, computing.processes):
            checkpoints.save(run.origin, run.state_dict())

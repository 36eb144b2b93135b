"""A network with exits as a list of steps, and the path that an input takes to each exit."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from adaptive_networks.core.blocks import Shape
from adaptive_networks.core.definition import Definition
from latency_tables.contract import OperationSpec, Scalar
from lgcnet_search.space.graph import INPUT, Step, multiset


class Exit(NamedTuple):
    """Names of steps: class logits, and the gate whose value is the confidence (None at the last exit)."""

    logits: str
    gate: str | None


@dataclass(frozen=True)
class Plan:
    """Steps in order of execution; exits in the order in which an input meets them.

    `beside` are steps that every path executes beside what its exits need: what decides about the path where no gate
    does, and what is made of the logits.
    """

    input_shape: Shape
    steps: tuple[Step, ...]
    exits: tuple[Exit, ...]
    beside: tuple[str, ...] = ()

    def path(self, exit: int) -> tuple[Step, ...]:
        """All that exits 0 to `exit` need, in order: earlier heads and gates have been executed, so they count.

        Raises ValueError for an exit that is none.
        """
        if not 0 <= exit < len(self.exits):
            raise ValueError(f"exit: {exit} is none of 0 to {len(self.exits) - 1}")
        needed = {name for names in (*self.exits[: exit + 1], self.beside) for name in names if name is not None}
        path = []
        for step in reversed(self.steps):
            if step.name in needed:
                needed.update(step.inputs)
                path.append(step)
        return tuple(reversed(path))

    def cut(self, exit: int) -> "Plan":
        """The plan of path `exit`."""
        return Plan(self.input_shape, self.path(exit), self.exits[: exit + 1], self.beside)

    def multiset(self, exit: int) -> Counter[OperationSpec]:
        """How often path `exit` executes each operation."""
        return multiset(self.path(exit))

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """The rows of all paths, each once."""
        return tuple(dict.fromkeys(step.operation for exit in range(len(self.exits)) for step in self.path(exit)))


class Draft:
    """Puts steps together; every step's shapes follow from those before."""

    def __init__(self, definition: Definition, input_shape: Shape) -> None:
        self._definition = definition
        self._input_shape = input_shape
        self._steps: list[Step] = []
        self._shapes: dict[str, Shape] = {INPUT: input_shape}

    def add(self, name: str, operation: str, *inputs: str, **params: Scalar) -> str:
        """A step that executes `operation` on the values of these steps; returns its name."""
        spec = self._definition.spec(operation, *(self._shapes[source] for source in inputs), **params)
        self._steps.append(Step(name, spec, inputs))
        self._shapes[name] = self._definition.output(spec)
        return name

    def shape(self, name: str) -> Shape:
        """Of a step's value, without the batch dimension."""
        return self._shapes[name]

    def plan(self, exits: list[Exit], beside: tuple[str, ...] = ()) -> Plan:
        return Plan(self._input_shape, tuple(self._steps), tuple(exits), beside)

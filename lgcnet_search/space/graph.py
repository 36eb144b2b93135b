"""The one description of a network: fixed steps, searchable edges and nodes that sum, in order of execution.

The supernet, the derived network, its multiset of operations, the keys of a latency table and the latency loss
all read the same Graph; nothing else walks the network.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from latency_tables.contract import OperationSpec
from lgcnet_search.space.candidates import ZERO, Group

INPUT = "input"


@dataclass(frozen=True)
class Step:
    """An operation that is always executed, on the values named by `inputs`."""

    name: str
    operation: OperationSpec
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Edge:
    """A searchable edge: exactly one of its candidates, applied to the value named `source`.

    `candidates` holds what each of them executes here. None executes nothing: `zero` is no edge, any other candidate
    is then the source itself.
    """

    name: str
    source: str
    group: Group
    candidates: Mapping[str, OperationSpec | None]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.candidates)


@dataclass(frozen=True)
class Node:
    """Eq. 2: the sum of those `inputs` that are no `zero`. k of them cost k - 1 additions; none cost `zeros`."""

    name: str
    inputs: tuple[str, ...]
    addition: OperationSpec
    zeros: Step | None


Part = Step | Edge | Node


@dataclass(frozen=True)
class Graph:
    """Parts in order of execution; the value of the last one is the network's output."""

    parts: tuple[Part, ...]

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(part for part in self.parts if isinstance(part, Edge))

    @cached_property
    def operations(self) -> tuple[OperationSpec, ...]:
        """Everything that some derived network executes, each once, in order of first appearance."""
        operations: list[OperationSpec] = []
        for part in self.parts:
            if isinstance(part, Step):
                operations.append(part.operation)
            elif isinstance(part, Edge):
                operations.extend(operation for operation in part.candidates.values() if operation)
            else:
                operations.extend([part.addition, *([part.zeros.operation] if part.zeros else [])])
        return tuple(dict.fromkeys(operations))

    def derive(self, choices: Mapping[str, str]) -> tuple[Step, ...]:
        """The steps of the network that takes `choices[edge.name]` for each edge.

        Edges that execute nothing leave no step behind. The last step gives the output.
        """
        steps: list[Step] = []
        values: dict[str, str | None] = {INPUT: INPUT}

        def run(step: Step) -> str:
            steps.append(step)
            return step.name

        def resolved(step: Step) -> Step:
            return replace(step, inputs=tuple(values[name] or name for name in step.inputs))

        for part in self.parts:
            if isinstance(part, Step):
                values[part.name] = run(resolved(part))
            elif isinstance(part, Edge):
                choice = choices[part.name]
                operation, source = part.candidates[choice], values[part.source]
                if operation is None or source is None:
                    values[part.name] = None if choice == ZERO else source
                else:
                    values[part.name] = run(Step(part.name, operation, (source,)))
            else:
                present = [value for name in part.inputs if (value := values[name]) is not None]
                if not present:
                    if part.zeros is None:
                        raise ValueError(f"{part.name}: all of its inputs {', '.join(part.inputs)} are zero")
                    present = [run(resolved(part.zeros))]
                total = present[0]
                for count, value in enumerate(present[1:], start=1):
                    total = run(Step(f"{part.name}.add{count}", part.addition, (total, value)))
                values[part.name] = total
        return tuple(steps)


def spent_after(steps: Iterable[Step], kept: Collection[str | None] = ()) -> dict[str, tuple[str, ...]]:
    """Step → values, its own among them, that no later step reads; those that are `kept` are never spent."""
    last_use = {name: step.name for step in steps for name in (step.name, *step.inputs)}
    spent: dict[str, tuple[str, ...]] = {}
    for name, reader in last_use.items():
        if name not in kept:
            spent[reader] = (*spent.get(reader, ()), name)
    return spent


def multiset(steps: tuple[Step, ...]) -> Counter[OperationSpec]:
    """How often each operation is executed."""
    return Counter(step.operation for step in steps)

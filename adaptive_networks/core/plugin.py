"""A system's space as a profiling agent finds it, and as jobs are posted for it: docs/search-spaces.md."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

from adaptive_networks import REQUIREMENT
from adaptive_networks.core.definition import Definition
from adaptive_networks.core.plan import Plan
from adaptive_networks.core.staged import PathNetwork, StagedNetwork, deploy
from adaptive_networks.core.train_step import PREFIX
from adaptive_networks.core.training import training_multiset, training_network
from latency_tables.contract import NetworkSpec, OperationSpec
from latency_tables.spaces import require_definition, require_equal
from lgcnet_search.space.network import seeded

Choice = tuple[int, ...]
"""What is chosen in a space: empty where there is nothing to choose."""


class Space(Protocol):
    """The fields of a setting; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def plan(self, choice: Choice = ()) -> Plan:
        """The network of a choice. Raises ValueError naming field and value."""
        ...


S = TypeVar("S", bound=Space)


@dataclass(frozen=True)
class Plugin(Generic[S]):
    """The protocol of spaces for `definition`, whose genotypes are {"space": fields, "choice": […], "exit": k}.

    That of a training step, which is of the last exit, has "train": true too. `space` makes a space from the fields of
    a genotype; lists in it are tuples.
    """

    definition: Definition
    space: Callable[..., S]

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def digest(self) -> str:
        return self.definition.digest

    @property
    def requirement(self) -> str:
        return REQUIREMENT

    def network(self, space: S, exit: int, choice: Choice = ()) -> NetworkSpec:
        """Path `exit` of a network. Raises ValueError for an exit that is none."""
        plan = space.plan(choice)
        genotype = {"space": asdict(space), "choice": choice, "exit": exit}
        return NetworkSpec.of(self.name, self.digest, genotype, plan.input_shape, plan.multiset(exit))

    def paths(self, space: S, choice: Choice = ()) -> list[NetworkSpec]:
        """The path to every exit."""
        return [self.network(space, exit, choice) for exit in range(len(space.plan(choice).exits))]

    def training_step(self, space: S, choice: Choice = ()) -> NetworkSpec:
        """One step of training all weights by the last exit's loss."""
        plan = space.plan(choice)
        genotype = {"space": asdict(space), "choice": choice, "exit": len(plan.exits) - 1, "train": True}
        operations = training_multiset(self.definition, plan)
        return NetworkSpec.of(self.name, self.digest, genotype, plan.input_shape, operations)

    def macs(self, space: S, exit: int, choice: Choice = ()) -> int:
        """Of a path, for one input."""
        steps = space.plan(choice).path(exit)
        return sum(self.definition.count(step.operation)[1] for step in steps)

    def staged(self, space: S, choice: Choice = ()) -> StagedNetwork:
        """The network to train, weights from torch's generator."""
        return StagedNetwork(space.plan(choice), self.definition.build)

    def build_operation(self, spec: OperationSpec) -> nn.Module:
        """A deployed operation, equal weights for equal specs; ValueError for a spec of another definition."""
        self._check(spec)
        with seeded(0):
            if spec.name.startswith(PREFIX):
                with torch.inference_mode(False):
                    return self.definition.build(spec)
            return deploy(self.definition.build(spec))

    def build_network(self, spec: NetworkSpec) -> nn.Module:
        """A deployed path that executes what `spec.operations` lists; ValueError if its genotype has others."""
        self._check(spec)
        genotype = json.loads(spec.genotype)
        try:
            space = self.space(**{name: _tuples(value) for name, value in genotype["space"].items()})
            choice, exit, train = tuple(genotype["choice"]), int(genotype["exit"]), genotype.get("train", False)
            expected = self.training_step(space, choice) if train else self.network(space, exit, choice)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"genotype: none of {self.name} ({type(error).__name__}: {error})") from error
        require_equal(spec, expected, f"path {exit}")
        with seeded(0):
            if train:
                with torch.inference_mode(False):
                    return training_network(self.definition, space.plan(choice), self.definition.build)
            return deploy(PathNetwork(space.plan(choice).cut(exit), self.definition.build))

    def _check(self, spec: OperationSpec | NetworkSpec) -> None:
        require_definition(spec, self.name, self.digest, self.requirement)


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value

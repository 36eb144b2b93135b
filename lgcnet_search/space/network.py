"""The derived network: what is left of the space once every edge has taken one candidate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from latency_tables.contract import NetworkSpec, OperationSpec
from lgcnet_search.space import SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.graph import INPUT, Step, multiset, spent_after
from lgcnet_search.space.operations import Operation, build_operation


class StepNetwork(nn.Module):
    """Runs steps; the last one's value is the result.

    Weights stand under the names of the steps ("cell3.i1-x1.layers.0.weight"). Every value is freed after its last
    use. Sizes are those of the genotype's space: other images raise ValueError, `Genotype.at` moves the choices.
    """

    def __init__(self, genotype: Genotype, steps: tuple[Step, ...]) -> None:
        super().__init__()
        self.genotype = genotype
        self.steps = steps
        self._runs: list[tuple[Operation, tuple[str, ...], str, tuple[str, ...]]] = []
        spent = spent_after(self.steps)
        for step in self.steps:
            operation = build_operation(step.operation)
            attach(self, step.name, operation)
            self._runs.append((operation, step.inputs, step.name, spent.get(step.name, ())))

    def forward(self, images: Tensor) -> Tensor:
        return self.execute(images)[0]

    def execute(self, images: Tensor) -> tuple[Tensor, ...]:
        """The result, and whatever else was computed that no step used: edges from a cell may all be zero."""
        expected = self.genotype.space.input_shape
        if images.shape[1:] != expected:
            raise ValueError(
                f"images: {tuple(images.shape)} given, this network takes N×{'×'.join(map(str, expected))}"
            )
        values = {INPUT: images}
        unused = []
        result = images
        for operation, inputs, name, done in self._runs:
            values[name] = result = operation(*[values[source] for source in inputs])
            for value in done:
                del values[value]
            if name in done:
                unused.append(result)
        return result, *unused[:-1]


class DerivedNetwork(StepNetwork):
    """The network of a genotype: images N×3×height×width to logits N×classes×height×width."""

    def __init__(self, genotype: Genotype) -> None:
        super().__init__(genotype, genotype.space.graph.derive(genotype.choices))

    def at(self, height: int, width: int) -> "DerivedNetwork":
        """A network for another input size with a copy of the weights, in the same mode and on the same device."""
        space = replace(self.genotype.space, height=height, width=width)
        moved = DerivedNetwork(self.genotype.at(space)).to(next(self.parameters()).device)
        moved.load_state_dict(self.state_dict())
        return moved.train(self.training)


def attach(root: nn.Module, name: str, module: nn.Module) -> None:
    """Register a module under a dotted name, with a plain container for each level."""
    *levels, leaf = name.split(".")
    for level in levels:
        if level not in root._modules:
            root.add_module(level, nn.Module())
        root = root.get_submodule(level)
    root.add_module(leaf, module)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw weights from `seed` and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def network_spec(genotype: Genotype) -> NetworkSpec:
    """What a job is posted with: the genotype and the multiset of operations that its network executes."""
    space = genotype.space
    operations = multiset(space.graph.derive(genotype.choices))
    return NetworkSpec.of(SPACE, space_digest(), genotype.to_dict(), space.input_shape, operations)


def count_parameters(steps: Sequence[Step]) -> int:
    """Learned parameters of the network that executes `steps`; nothing is allocated."""
    return sum(_parameters(step.operation) for step in steps)


@lru_cache(maxsize=4096)
def _parameters(operation: OperationSpec) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_operation(operation).parameters())

"""The search spaces of this repository, for what must hold for all of them."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from adaptive_networks.vit_resnas.plugin import space as transformers
from adaptive_networks.vit_resnas.space import DEMO, TINY
from examples.mobile_space import plugin as mobile
from examples.mobile_space.genotype import random_genotype
from examples.mobile_space.network import network_spec as mobile_spec
from examples.mobile_space.space import Space as MobileSpace
from latency_tables.contract import NetworkSpec, OperationSpec
from lgcnet_search.space import plugin as lgcnet
from lgcnet_search.space.genotype import varied_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from profiler_agent.measuring.workload import SearchSpace
from profiler_agent.runtimes.subject import Subject
from published_networks import plugin as published_plugin
from published_networks.catalogue import FROM_LIBRARIES, NETWORKS
from published_networks.plugin import operation


class RepositorySpace(NamedTuple):
    """A space as an agent finds it, its operations, and networks of it by number; None: its operations are networks."""

    plugin: SearchSpace
    operations: tuple[OperationSpec, ...]
    network: Callable[[int], NetworkSpec] | None

    @property
    def kinds(self) -> tuple[OperationSpec, ...]:
        """The last operation of each name: sizes and strides differ in numbers only."""
        return tuple({operation.name: operation for operation in self.operations}.values())

    def operation_subject(self, operation: OperationSpec) -> Subject:
        shapes = tuple((1, *shape) for shape in operation.input_shapes)
        return Subject(self.plugin.build_operation(operation), shapes, is_part=True)

    def network_subject(self, number: int) -> Subject:
        assert self.network is not None, "its operations are networks"
        spec = self.network(number)
        return Subject(self.plugin.build_network(spec), ((1, *spec.input_shape),))


def every_space(*, small: bool) -> Iterator[RepositorySpace]:
    """At the sizes of their papers, or at sizes for tests."""
    city = Space(height=65, width=129) if small else Space()
    yield RepositorySpace(lgcnet, city.operations, lambda number: network_spec(varied_genotype(city, number)))
    objects = MobileSpace(side=64 if small else 224, widths=(1.0,))
    yield RepositorySpace(mobile, objects.operations, lambda number: mobile_spec(random_genotype(objects, number)))
    tokens = DEMO if small else TINY
    yield RepositorySpace(
        transformers,
        tokens.plan().operations if small else tokens.operations,
        lambda number: transformers.network(tokens, 0, tokens.random(random.Random(number))),
    )


def published(*, small: bool) -> RepositorySpace:
    """The published networks that need no library, at one size for all."""
    names = [name for name in NETWORKS if name not in FROM_LIBRARIES]
    height, width = (64, 128) if small else (512, 1024)
    return RepositorySpace(published_plugin.space, tuple(operation(name, height, width) for name in names), None)


def random_inputs(subject: Subject) -> tuple[torch.Tensor, ...]:
    """The same for equal shapes."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in subject.input_shapes)

"""The space as a profiling agent finds it (entry-point group `profiler_agent.spaces`)."""

from collections.abc import Iterable

import torch
from torch import nn

from latency_tables.contract import NetworkSpec, OperationSpec
from latency_tables.spaces import require_definition

from .blocks import Operation, build, deploy
from .digest import REQUIREMENT, SPACE, space_digest
from .genotype import Genotype, random_genotype
from .network import chain, network_spec

name: str = SPACE
digest: str = space_digest()
requirement: str = REQUIREMENT


def build_operation(spec: OperationSpec) -> nn.Module:
    """A deployed operation, equal weights for equal specs. Raises ValueError for a spec that is not of this space."""
    require_definition(spec, name, digest, requirement)
    (operation,) = _deployed([spec])
    return operation


def build_network(spec: NetworkSpec) -> nn.Module:
    """A deployed network. ValueError if it would execute other operations than `spec.operations` lists."""
    require_definition(spec, name, digest, requirement)
    genotype = Genotype.model_validate_json(spec.genotype)
    expected = network_spec(genotype)
    for field in ("input_shape", "operations"):
        if getattr(spec, field) != getattr(expected, field):
            raise ValueError(f"{field}: not what the network of this genotype has; make it with network_spec")
    return nn.Sequential(*_deployed(chain(genotype)))


def anchor(network: NetworkSpec) -> NetworkSpec:
    """The network that others of its size are measured beside."""
    return network_spec(random_genotype(Genotype.model_validate_json(network.genotype).space, 0))


def _deployed(specs: Iterable[OperationSpec]) -> list[Operation]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return [deploy(build(spec)) for spec in specs]

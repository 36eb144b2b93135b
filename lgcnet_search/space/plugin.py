"""The LGCNet space as a profiling agent finds it (entry-point group `profiler_agent.spaces`)."""

from torch import Tensor, nn

from latency_tables.contract import NetworkSpec, OperationSpec
from latency_tables.spaces import require_definition, require_equal
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.fold import deploy
from lgcnet_search.space.genotype import Genotype, typical_genotype
from lgcnet_search.space.network import DerivedNetwork, network_spec, seeded
from lgcnet_search.space.operations import build_operation as build

name: str = SPACE
digest: str = space_digest()
requirement: str = REQUIREMENT


def build_operation(spec: OperationSpec) -> nn.Module:
    """A deployed operation (evaluation mode, BatchNorm folded), equal weights for equal specs.

    Raises ValueError for a spec that this definition of the space does not know.
    """
    require_definition(spec, name, digest, requirement)
    with seeded(0):
        return deploy(build(spec))


def build_network(spec: NetworkSpec) -> nn.Module:
    """A deployed network that executes what `spec.operations` lists; ValueError if its genotype has others."""
    require_definition(spec, name, digest, requirement)
    genotype = Genotype.from_json(spec.genotype)
    expected = network_spec(genotype)
    require_equal(spec, expected)
    with seeded(0):
        return Whole(deploy(DerivedNetwork(genotype)))


def anchor(network: NetworkSpec) -> NetworkSpec:
    """The network that those of this one's space are measured beside: half of its operations are light."""
    return network_spec(typical_genotype(Genotype.from_json(network.genotype).space, 0, (0.5, 0.5)))


class Whole(nn.Module):
    """Returns unused results beside the logits, so that no engine removes operations that Eq. 9 sums."""

    def __init__(self, network: DerivedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.network.execute(images)

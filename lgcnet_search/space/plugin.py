"""The LGCNet space as a profiling agent finds it (entry-point group `profiler_agent.spaces`)."""

from torch import Tensor, nn

from latency_tables.contract import NetworkSpec, OperationSpec
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
    _check(spec)
    with seeded(0):
        return deploy(build(spec))


def build_network(spec: NetworkSpec) -> nn.Module:
    """A deployed network that executes what `spec.operations` lists; ValueError if its genotype has others."""
    _check(spec)
    genotype = Genotype.from_json(spec.genotype)
    expected = network_spec(genotype)
    if expected.input_shape != spec.input_shape:
        raise ValueError(f"input_shape: {spec.input_shape} is not the genotype's, {expected.input_shape}")
    if expected.operations != spec.operations:
        ours = {counted.operation: counted.count for counted in expected.operations}
        theirs = {counted.operation: counted.count for counted in spec.operations}
        wrong = next(operation for operation in (*ours, *theirs) if ours.get(operation) != theirs.get(operation))
        raise ValueError(
            f"operations: {theirs.get(wrong, 0)} × {wrong} listed, the genotype executes it {ours.get(wrong, 0)} times"
        )
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


def _check(spec: OperationSpec | NetworkSpec) -> None:
    if (spec.space, spec.space_digest) != (name, digest):
        raise ValueError(
            f"space {spec.space!r} with definition {spec.space_digest[:12]}… is not the one installed here "
            f"({name!r}, {digest[:12]}…): install the same version of {requirement} on both machines"
        )

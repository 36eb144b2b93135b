"""Networks with the weights that the supernet has for their operations."""

from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.network import DerivedNetwork


def inherited(supernet: Supernet, genotype: Genotype) -> DerivedNetwork:
    """The network of a genotype at the supernet's size and channels, with copies of the supernet's weights.

    BatchNorm's statistics are those of all networks that ran in the supernet: take them anew before it is evaluated
    (`recalibrate`). Raises GenotypeError where the genotype names no network of the supernet's space.
    """
    network = DerivedNetwork(genotype.at(supernet.space))
    state = supernet.state_dict()
    candidates = {edge: f"{edge}.{candidate}." for edge, candidate in genotype.choices.items()}

    def name_there(name: str) -> str:
        """Edge "cell0.i1-x1" of the network is "cell0.i1-x1.CANDIDATE" of the supernet."""
        edge = ".".join(name.split(".")[:2])
        return name.replace(f"{edge}.", candidates[edge], 1) if edge in candidates else name

    network.load_state_dict({name: state[name_there(name)] for name in network.state_dict()})
    return network

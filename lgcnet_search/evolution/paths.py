"""Which candidate each edge takes in a step of the supernet's training: every one of them equally often."""

import numpy as np
import torch

from lgcnet_search.search.architecture import EdgeTensors
from lgcnet_search.space.candidates import Group, candidates_of
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.graph import Edge
from lgcnet_search.space.space import EDGES_PER_CELL, Space


def fair_path(space: Space, seed: int, step: int) -> Genotype:
    """The path of a step, uniform over all networks (Guo et al. 2020, "single path one-shot").

    An edge of m candidates goes through all of them, in an order drawn anew, every m steps: no candidate is trained
    more often than another by chance (Chu et al. 2021, "FairNAS"). A path follows from `seed` and `step` alone.
    """
    choices: dict[str, str] = {}
    for number, edge in enumerate(space.graph.edges):
        round_, position = divmod(step, len(edge.names))
        order = np.random.default_rng((seed, number, round_)).permutation(len(edge.names))
        choices[edge.name] = edge.names[int(order[position])]
    return Genotype.of(space, choices)


def one_hot_of(genotype: Genotype) -> EdgeTensors:
    """z that takes exactly the candidates of a genotype."""
    space, choices = genotype.space, genotype.choices
    rows = {edge.name: torch.eye(len(edge.names))[edge.names.index(choices[edge.name])] for edge in space.graph.edges}

    def stacked(edges: tuple[Edge, ...], group: Group) -> torch.Tensor:
        return torch.stack([rows[edge.name] for edge in edges]) if edges else torch.zeros(0, len(candidates_of(group)))

    return EdgeTensors(
        stacked(space.cell_edges, "cell").view(space.cells, EDGES_PER_CELL, -1),
        stacked(space.fusion_edges, "fusion"),
        stacked(space.up_edges, "up"),
    )

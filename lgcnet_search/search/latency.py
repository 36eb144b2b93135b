"""The latency of a relaxed architecture from a lookup table (Eq. 8-10)."""

import torch
from torch import Tensor, nn

from lgcnet_search.search.architecture import EdgeTensors
from lgcnet_search.space.candidates import ZERO, Group, candidates_of
from lgcnet_search.space.graph import Edge, Node
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import EDGES_PER_CELL, Space

BETA = 0.005
CEILING_WEIGHT = 1.0
"""Of log(LAT / ceiling) above a ceiling: being twice as slow as allowed costs as much as a cross-entropy of 0.7.

What counts is whether the most likely network is above it. Samples scatter: pushing every slow one down left
the network that was found a third below its ceiling, with that latency given away.
"""


class LatencyModel(nn.Module):
    """LAT(z) in microseconds, differentiable in z, of a space at the shapes it is deployed at.

    Eq. 8 and 9 sum z^m lat^m over all edges of cells and fusion cell. To that come the constant of all that is not
    searched and the expected additions: a node with incoming edges e and probabilities z⁰_e of `zero` costs
    add · (Σ_e (1 - z⁰_e) - 1 + Π_e z⁰_e) + zeros · Π_e z⁰_e. So LAT of a one-hot z is the table's sum over exactly
    the multiset that the derived network executes. Raises MissingRows if the table lacks an operation.

    With a calibrated table the latencies are those inside a network, so that the search knows already that, say, a
    pooling whose input is still warm is cheaper there than alone.
    """

    constant_us: Tensor
    cells_us: Tensor
    fusion_us: Tensor
    up_us: Tensor
    members: Tensor
    add_us: Tensor
    zeros_us: Tensor

    def __init__(self, space: Space, latencies: Latencies) -> None:
        super().__init__()
        latencies.require(space)
        cost = latencies.operation_us

        def costs(edges: tuple[Edge, ...], group: Group) -> Tensor:
            rows = [[cost(operation) for operation in edge.candidates.values()] for edge in edges]
            return torch.tensor(rows).reshape(len(edges), len(candidates_of(group)))

        rows = {edge.name: row for row, edge in enumerate(space.cell_edges)}
        searched = [part for part in space.graph.parts if isinstance(part, Node) and part.zeros is not None]
        members = torch.zeros(len(searched), len(rows), dtype=torch.bool)
        for index, node in enumerate(searched):
            members[index, [rows[name] for name in node.inputs]] = True

        self.zero = candidates_of("cell").index(ZERO)
        self.register_buffer("constant_us", torch.tensor(latencies.fixed_us(space.graph)))
        self.register_buffer("cells_us", costs(space.cell_edges, "cell").view(space.cells, EDGES_PER_CELL, -1))
        self.register_buffer("fusion_us", costs(space.fusion_edges, "fusion"))
        self.register_buffer("up_us", costs(space.up_edges, "up"))
        self.register_buffer("members", members)
        self.register_buffer("add_us", torch.tensor([cost(node.addition) for node in searched]))
        self.register_buffer("zeros_us", torch.tensor([cost(node.zeros.operation) for node in searched if node.zeros]))

    def forward(self, z: EdgeTensors) -> Tensor:
        """LAT in microseconds, a scalar."""
        edges_us = (z.cells * self.cells_us).sum() + (z.fusion * self.fusion_us).sum() + (z.up * self.up_us).sum()
        absent = z.cells[..., self.zero].flatten()
        present = (self.members * (1 - absent)).sum(dim=1)
        none = torch.where(self.members, absent, 1).prod(dim=1)
        nodes_us = self.add_us * (present - 1 + none) + self.zeros_us * none
        return self.constant_us + edges_us + nodes_us.sum()


def latency_loss(latency_us: Tensor, beta: float = BETA, exceeded_us: float | None = None) -> Tensor:
    """The latency term of Eq. 10: β log(LAT), LAT in microseconds; steeper while a ceiling of `exceeded_us` is."""
    loss = beta * torch.log(latency_us)
    return loss if exceeded_us is None else loss + CEILING_WEIGHT * torch.log(latency_us / exceeded_us)

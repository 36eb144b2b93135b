"""The architecture parameters: one row per edge, one column per candidate."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lgcnet_search.search.guide import GuidedCells
from lgcnet_search.search.gumbel import relax
from lgcnet_search.space.candidates import candidates_of
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.space import EDGES_PER_CELL, Space

INITIAL_STD = 1e-3


class EdgeTensors(NamedTuple):
    """A value for every candidate of every edge, in the order of `cell_edges`, `fusion_edges`, `up_edges`."""

    cells: Tensor
    """cells × 5 × 8"""
    fusion: Tensor
    """6 × 10"""
    up: Tensor
    """7 × 2"""

    def map(self, function: Callable[[Tensor], Tensor]) -> "EdgeTensors":
        return EdgeTensors(*(function(values) for values in self))

    def by_edge(self, space: Space) -> dict[str, Tensor]:
        """Edge name → its row."""
        edges = (*space.cell_edges, *space.fusion_edges, *space.up_edges)
        rows = [*self.cells.flatten(end_dim=1), *self.fusion, *self.up]
        return {edge.name: row for edge, row in zip(edges, rows, strict=True)}


class Architecture(nn.Module):
    """log α of all edges and, if cells are guided, the modules that guide them: what Adam optimizes.

    `forward` gives α' (Eq. 5), of which is sampled and of which the argmax is taken. Where cells are `shared`, there
    are two: one normal, one reduction (Table VI a), and a sample is the same in all cells of a kind.
    """

    kinds: Tensor
    """The row of `cells` that each cell of the space takes."""

    def __init__(self, space: Space, guide: GuidedCells | None = None, shared: bool = False) -> None:
        super().__init__()
        self.space = space
        kinds = [int(cell in space.reductions) if shared else cell for cell in range(space.cells)]
        self.register_buffer("kinds", torch.tensor(kinds), persistent=False)
        self.cells = nn.Parameter(INITIAL_STD * torch.randn(max(kinds) + 1, EDGES_PER_CELL, len(candidates_of("cell"))))
        self.fusion = nn.Parameter(INITIAL_STD * torch.randn(len(space.fusion_edges), len(candidates_of("fusion"))))
        self.up = nn.Parameter(INITIAL_STD * torch.randn(len(space.up_edges), len(candidates_of("up"))))
        self.guide = guide

    def forward(self) -> EdgeTensors:
        return self._expanded(self._rows())

    def _rows(self) -> EdgeTensors:
        """α', shared cells once each."""
        return EdgeTensors(self.guide(self.cells) if self.guide else self.cells, self.fusion, self.up)

    def _expanded(self, rows: EdgeTensors) -> EdgeTensors:
        return rows._replace(cells=rows.cells[self.kinds])

    def sample(self, temperature: float, generator: torch.Generator) -> EdgeTensors:
        """Eq. 4 for every edge. `generator` is a CPU's, so that the noise is the same on every device."""

        def relaxed(log_alpha: Tensor) -> Tensor:
            uniform = torch.rand(log_alpha.shape, generator=generator, dtype=log_alpha.dtype)
            return relax(log_alpha, uniform.to(log_alpha.device), temperature)

        return self._expanded(self._rows().map(relaxed))

    @torch.no_grad()
    def genotype(self) -> Genotype:
        """The most likely candidate of every edge."""
        best = {name: int(row.argmax()) for name, row in self().by_edge(self.space).items()}
        return Genotype.of(self.space, {edge.name: edge.names[best[edge.name]] for edge in self.space.graph.edges})

    @torch.no_grad()
    def entropies(self) -> dict[str, float]:
        """Edge name → entropy of Softmax(α'), in nats."""
        rows = self().map(lambda values: torch.special.entr(torch.softmax(values, dim=-1)).sum(dim=-1).cpu())
        return {name: float(value) for name, value in rows.by_edge(self.space).items()}

    def entropy(self) -> float:
        """Mean of `entropies`."""
        values = self.entropies().values()
        return sum(values) / len(values)

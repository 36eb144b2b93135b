"""What passes from cell to cell (Eq. 5-7): the GCN-guided module and its ablations. They exist in the search only."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Guide = Literal["none", "connected", "edge-similarity", "operation-identity"]
"""How a cell is guided (Tables VI and IX); the paper's own is edge-similarity."""

GAMMA = 0.5
DIMENSION = 64
TINY = 1e-12


class GuidedPair(nn.Module):
    """Passes what cell k-1 tends to on to cell k, both with p edges of q candidates.

    A = Softmax(α_k w1 (α_{k-1} w2)ᵀ) by row (Eq. 6), G = A X W + X with X = Φ1(α_{k-1}) (Eq. 7), and the guidance is
    Φ2(G). Φ1 (q→d) and Φ2 (d→q) are two fully connected layers each with a ReLU between them. The last layer starts
    at zero, so that the search starts at α' = α.
    """

    def __init__(self, candidates: int, dimension: int = DIMENSION) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(candidates, candidates) / math.sqrt(candidates))
        self.w2 = nn.Parameter(torch.randn(candidates, candidates) / math.sqrt(candidates))
        self.weight = nn.Parameter(torch.randn(dimension, dimension) / math.sqrt(dimension))
        self.phi1 = nn.Sequential(
            nn.Linear(candidates, dimension), nn.ReLU(inplace=True), nn.Linear(dimension, dimension)
        )
        self.phi2 = _ending_at_zero(dimension, candidates)

    def forward(self, alpha: Tensor, previous: Tensor) -> Tensor:
        """Φ2(G) of shape p×q from α_k and the raw α_{k-1}."""
        adjacency = torch.softmax((alpha @ self.w1) @ (previous @ self.w2).T, dim=-1)
        nodes = self.phi1(previous)
        guidance: Tensor = self.phi2(adjacency @ nodes @ self.weight + nodes)
        return guidance


class OperationPair(nn.Module):
    """The operation-identity graph (Table IX): each candidate of each edge is a node, A = α_k (α_{k-1})ᵀ flattened.

    A node is one number, so Φ1 is 1→d and Φ2 d→1; all else is as in `GuidedPair`.
    """

    def __init__(self, dimension: int = DIMENSION) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dimension, dimension) / math.sqrt(dimension))
        self.phi1 = nn.Sequential(nn.Linear(1, dimension), nn.ReLU(inplace=True), nn.Linear(dimension, dimension))
        self.phi2 = _ending_at_zero(dimension, 1)

    def forward(self, alpha: Tensor, previous: Tensor) -> Tensor:
        """Φ2(G) of shape p×q from α_k and the raw α_{k-1}."""
        nodes = self.phi1(previous.reshape(-1, 1))
        adjacency = torch.outer(alpha.flatten(), previous.flatten())
        guidance: Tensor = self.phi2(adjacency @ nodes @ self.weight + nodes).view(alpha.shape)
        return guidance


class ConnectedPair(nn.Module):
    """A fully connected layer in the module's place (Table VI c): the guidance is FC(α_{k-1}), over all of a cell."""

    def __init__(self, edges: int, candidates: int) -> None:
        super().__init__()
        self.layer = _from_zero(edges * candidates, edges * candidates)

    def forward(self, alpha: Tensor, previous: Tensor) -> Tensor:
        """FC(α_{k-1}) of shape p×q."""
        guidance: Tensor = self.layer(previous.flatten()).view(alpha.shape)
        return guidance


class GuidedCells(nn.Module):
    """α'_k = α_k + γ Φ2(G) (Eq. 5): a module of its own for each pair of neighbours; the first cell stays as it is.

    What reaches an edge is no stronger than what is passed on: see `limited`.
    """

    def __init__(
        self,
        cells: int,
        edges: int,
        candidates: int,
        guide: Guide = "edge-similarity",
        dimension: int = DIMENSION,
        gamma: float = GAMMA,
    ) -> None:
        super().__init__()
        self.gamma = gamma

        def pair() -> nn.Module:
            if guide == "connected":
                return ConnectedPair(edges, candidates)
            if guide == "operation-identity":
                return OperationPair(dimension)
            return GuidedPair(candidates, dimension)

        self.pairs = nn.ModuleList(pair() for _ in range(cells - 1 if guide != "none" else 0))

    def forward(self, alpha: Tensor) -> Tensor:
        """α' of all cells, of shape cells×p×q like `alpha`."""
        if not self.pairs:
            return alpha
        own, previous = alpha[1:], alpha[:-1]
        guidance = torch.stack([pair(own[cell], previous[cell]) for cell, pair in enumerate(self.pairs)])
        return torch.cat((alpha[:1], own + self.gamma * limited(guidance, previous)))


def limited(guidance: Tensor, previous: Tensor) -> Tensor:
    """What of the guidance reaches each edge: how it differs between the edges, and no more than was passed on.

    Both are of shape (…, p, q). The strength of an edge is the norm of its row's deviation from its mean, which Softmax
    ignores; the guidance of each edge, less its mean over the p edges of the cell, is scaled down to the strength of
    the same edge in the cell before. Without the limit, a bias and 64 inputs let Φ2(G) move tens of times faster under
    Adam than any edge's own α, and as one vector for all edges of a cell: all of them collapsed to one candidate within
    tens of steps. With it, an edge of which nothing is known is told nothing. What all edges of a cell have in common
    is left to their own α: passed on, it made cells alike more slowly.
    """
    guidance = guidance - guidance.mean(dim=-2, keepdim=True)
    guidance = guidance - guidance.mean(dim=-1, keepdim=True)
    strength = (previous - previous.mean(dim=-1, keepdim=True)).norm(dim=-1, keepdim=True).detach()
    share: Tensor = (strength / guidance.norm(dim=-1, keepdim=True).clamp(min=TINY)).clamp(max=1)
    return guidance * share


def _from_zero(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A layer that lets the search start at α' = α."""
    layer = nn.Linear(inputs, outputs, bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _ending_at_zero(dimension: int, outputs: int) -> nn.Sequential:
    """Without a bias behind: all edges have it in common, so `limited` takes it out, and Adam would follow noise."""
    last = _from_zero(dimension, outputs, bias=False)
    return nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(inplace=True), last)

"""The GCN-guided module between adjacent cells (Eq. 5-7). It exists during the search only."""

import math

import torch
from torch import Tensor, nn


class GuidedPair(nn.Module):
    """Passes what cell k-1 tends to on to cell k, both with p edges of q candidates.

    A = Softmax(α_k w1 (α_{k-1} w2)ᵀ) by row (Eq. 6), G = A X W + X with X = Φ1(α_{k-1}) (Eq. 7), and the result is
    α'_k = α_k + γ Φ2(G) (Eq. 5). Φ1 (q→d) and Φ2 (d→q) are two fully connected layers each with a ReLU between
    them. The last layer starts at zero, so that the search starts at α' = α.
    """

    def __init__(self, candidates: int, dimension: int = 64, gamma: float = 0.5) -> None:
        super().__init__()
        self.gamma = gamma
        self.w1 = nn.Parameter(torch.randn(candidates, candidates) / math.sqrt(candidates))
        self.w2 = nn.Parameter(torch.randn(candidates, candidates) / math.sqrt(candidates))
        self.weight = nn.Parameter(torch.randn(dimension, dimension) / math.sqrt(dimension))
        self.phi1 = nn.Sequential(
            nn.Linear(candidates, dimension), nn.ReLU(inplace=True), nn.Linear(dimension, dimension)
        )
        last = nn.Linear(dimension, candidates)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.phi2 = nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(inplace=True), last)

    def forward(self, alpha: Tensor, previous: Tensor) -> Tensor:
        """α'_k of shape p×q from α_k and the raw α_{k-1}."""
        adjacency = torch.softmax((alpha @ self.w1) @ (previous @ self.w2).T, dim=-1)
        nodes = self.phi1(previous)
        reasoned = adjacency @ nodes @ self.weight + nodes
        guided: Tensor = alpha + self.gamma * self.phi2(reasoned)
        return guided


class GuidedCells(nn.Module):
    """A module of its own for each pair of neighbours; the first cell has no predecessor and stays as it is."""

    def __init__(self, cells: int, candidates: int, dimension: int = 64, gamma: float = 0.5) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(GuidedPair(candidates, dimension, gamma) for _ in range(cells - 1))

    def forward(self, alpha: Tensor) -> Tensor:
        """α' of all cells, of shape cells×p×q like `alpha`."""
        guided = [pair(alpha[cell], alpha[cell - 1]) for cell, pair in enumerate(self.pairs, start=1)]
        return torch.stack([alpha[0], *guided])

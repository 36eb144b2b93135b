"""Eq. 5-7 against numpy, written out."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from lgcnet_search.search.architecture import Architecture
from lgcnet_search.search.guide import ConnectedPair, Guide, GuidedCells, GuidedPair, OperationPair
from tests.support.tiny_spaces import TINY


def randomize(module: nn.Module) -> None:
    """The last layer starts at zero, which would hide the rest."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def expected(pair: GuidedPair, alpha: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Φ2(G) of Eq. 6 and 7."""
    weights = {name: value.detach().numpy() for name, value in pair.state_dict().items()}

    def two_layers(name: str, x: np.ndarray) -> np.ndarray:
        hidden = np.maximum(x @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"], 0)
        return np.asarray(hidden @ weights[f"{name}.2.weight"].T + weights.get(f"{name}.2.bias", 0))

    similarity = np.einsum("pq,qr,sr->ps", alpha, weights["w1"], previous @ weights["w2"])
    adjacency = np.exp(similarity) / np.exp(similarity).sum(axis=1, keepdims=True)
    x = two_layers("phi1", previous)
    reasoned = np.stack([sum(adjacency[p, s] * x[s] for s in range(len(x))) for p in range(len(x))])
    return two_layers("phi2", reasoned @ weights["weight"] + x)


def deviation(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows - rows.mean(axis=-1, keepdims=True))


def test_pair_is_equations_5_to_7() -> None:
    pair = GuidedPair(8, 64).double()
    randomize(pair)
    alpha, previous = np.random.default_rng(0).normal(size=(2, 5, 8))
    guided = pair(torch.from_numpy(alpha), torch.from_numpy(previous)).detach().numpy()
    np.testing.assert_allclose(guided, expected(pair, alpha, previous), rtol=1e-9)
    assert {name: tuple(value.shape) for name, value in pair.named_parameters() if "." not in name} == {
        "w1": (8, 8),
        "w2": (8, 8),
        "weight": (64, 64),
    }


def test_each_cell_listens_to_the_raw_alpha_of_the_one_before() -> None:
    cells = GuidedCells(4, 5, 8).double()
    randomize(cells)
    alpha = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 5, 8)))
    guided = cells(alpha)
    torch.testing.assert_close(guided[0], alpha[0])
    for cell in (1, 2, 3):
        pair = cells.pairs[cell - 1]
        assert isinstance(pair, GuidedPair)
        guidance = expected(pair, alpha[cell].numpy(), alpha[cell - 1].numpy())
        guidance = deviation(guidance - guidance.mean(axis=0))
        strength = np.linalg.norm(deviation(alpha[cell - 1].numpy()), axis=1) / np.linalg.norm(guidance, axis=1)
        passed = 0.5 * guidance * np.minimum(1, strength)[:, None]
        np.testing.assert_allclose(guided[cell].detach().numpy(), alpha[cell].numpy() + passed, rtol=1e-9)


def test_the_search_starts_unguided_and_can_learn_to_be_guided() -> None:
    architecture = Architecture(TINY, GuidedCells(TINY.cells, 5, 8))
    torch.testing.assert_close(architecture().cells, architecture.cells)
    torch.autograd.backward((architecture().cells * torch.randn(TINY.cells, 5, 8)).sum())
    assert architecture.guide is not None
    for pair in architecture.guide.pairs:
        assert isinstance(pair, GuidedPair)
        gradient = pair.phi2[2].weight.grad
        assert isinstance(gradient, torch.Tensor)
        assert gradient.abs().max() > 0


def test_operations_are_nodes_of_the_operation_identity_graph() -> None:
    pair = OperationPair(16).double()
    randomize(pair)
    alpha, previous = np.random.default_rng(0).normal(size=(2, 5, 8))
    weights = {name: value.detach().numpy() for name, value in pair.state_dict().items()}

    def two_layers(name: str, x: np.ndarray) -> np.ndarray:
        hidden = np.maximum(x @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"], 0)
        return np.asarray(hidden @ weights[f"{name}.2.weight"].T + weights.get(f"{name}.2.bias", 0))

    x = two_layers("phi1", previous.reshape(40, 1))
    adjacency = alpha.reshape(40, 1) @ previous.reshape(1, 40)
    guidance = two_layers("phi2", adjacency @ x @ weights["weight"] + x).reshape(5, 8)
    passed = pair(torch.from_numpy(alpha), torch.from_numpy(previous)).detach().numpy()
    np.testing.assert_allclose(passed, guidance, rtol=1e-9)


def test_what_is_known_of_an_edge_reaches_that_edge() -> None:
    """Edge 2 of cell 0 tends to a candidate, and edge 2 of cell 1 is to have it: no other edge is told so."""
    torch.manual_seed(0)
    cells = GuidedCells(2, 5, 8)
    alpha = 1e-3 * torch.randn(2, 5, 8)
    alpha[0, 2, 3] = 1.0
    optimizer = torch.optim.Adam(cells.parameters(), 0.05)
    for _ in range(30):
        optimizer.zero_grad()
        torch.autograd.backward(-cells(alpha)[1, 2, 3])
        optimizer.step()
    moved = (cells(alpha) - alpha)[1].detach().norm(dim=-1)
    assert moved[2] > 0.3
    assert all(moved[edge] < 0.05 * moved[2] for edge in (0, 1, 3, 4))


def test_guidance_is_no_stronger_than_what_is_passed_on() -> None:
    alpha = torch.from_numpy(np.random.default_rng(2).normal(size=(6, 5, 8)))
    cells = GuidedCells(6, 5, 8).double()
    randomize(cells)
    guidance = (cells(alpha) - alpha)[1:]
    strength = (alpha - alpha.mean(dim=-1, keepdim=True)).norm(dim=-1)[:-1]
    assert (guidance.norm(dim=-1) <= 0.5 * strength + 1e-12).all()
    assert (guidance.norm(dim=-1) > 0.4 * strength).any(), "the limit is reached"


def test_a_connected_layer_sees_the_whole_cell_before() -> None:
    pair = ConnectedPair(5, 8).double()
    randomize(pair)
    alpha, previous = (torch.from_numpy(values) for values in np.random.default_rng(0).normal(size=(2, 5, 8)))
    jacobian = torch.autograd.functional.jacobian(lambda values: pair(alpha, values), previous)  # type: ignore[no-untyped-call]
    assert (jacobian != 0).all()
    assert pair.layer.weight.shape == (40, 40)


@pytest.mark.parametrize("guide", get_args(Guide))
def test_every_guide_starts_at_alpha_and_none_is_nothing(guide: Guide) -> None:
    cells = GuidedCells(14, 5, 8, guide, dimension=16)
    alpha = torch.randn(14, 5, 8)
    torch.testing.assert_close(cells(alpha), alpha)
    randomize(cells)
    assert len(cells.pairs) == (0 if guide == "none" else 13)
    assert torch.equal(cells(alpha), alpha) == (guide == "none")


def test_shared_cells_are_two_and_sampled_alike() -> None:
    architecture = Architecture(TINY, shared=True)
    assert architecture.cells.shape == (2, 5, 8)
    z = architecture.sample(1.0, torch.Generator().manual_seed(0)).cells
    for cell in range(TINY.cells):
        assert torch.equal(z[cell], z[1 if cell in TINY.reductions else 0])
    assert not torch.equal(z[0], z[1])
    cells_of_kinds = architecture.genotype().cells
    assert len(set(cells_of_kinds)) == 2
    assert cells_of_kinds[1] == cells_of_kinds[8]

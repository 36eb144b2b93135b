"""Eq. 2, 3 by loops, and the derived network as the supernet at one-hot z."""

import pytest
import torch
from torch import Tensor, nn

from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.candidates import candidates_of
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.space.operations import Operation
from tests.support.tiny_spaces import TINY, one_hot, random_z, unsettle, without_edges


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    net = Supernet(TINY)
    unsettle(net)
    return net


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, *TINY.input_shape, generator=torch.Generator().manual_seed(1))


def derived(supernet: Supernet, genotype: Genotype) -> DerivedNetwork:
    """The derived network with the supernet's weights: "edge." becomes "edge.candidate."."""
    network = DerivedNetwork(genotype)
    weights = supernet.state_dict()
    searched = {
        f"{step.name}.": f"{step.name}.{genotype.choices[step.name]}."
        for step in network.steps
        if step.name in genotype.choices
    }
    state = {}
    for key in network.state_dict():
        prefix = next((name for name in searched if key.startswith(name)), "")
        state[key] = weights[searched.get(prefix, "") + key.removeprefix(prefix)]
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_derived_network_equals_supernet_at_one_hot_z(
    supernet: Supernet, images: Tensor, seed: int, training: bool
) -> None:
    genotype = random_genotype(TINY, seed)
    if seed == 0:
        genotype = without_edges(genotype, 2, 8)
    network = derived(supernet, genotype).train(training)
    with torch.no_grad():
        expected = supernet.train(training)(images, one_hot(genotype))
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("cell", [0, 1, 9])
def test_nodes_are_equations_2_and_3(supernet: Supernet, images: Tensor, cell: int) -> None:
    z = random_z(TINY, 5, torch.float32)
    outputs: dict[str, Tensor] = {}
    inputs: dict[str, tuple[Tensor, ...]] = {}
    handles = []
    for name, module in supernet.named_modules():
        if name.startswith(f"cell{cell}.") and isinstance(module, Operation):

            def record(_: nn.Module, arguments: tuple[Tensor, ...], value: Tensor, name: str = name) -> None:
                outputs[name], inputs[name] = value, arguments

            handles.append(module.register_forward_hook(record))
    with torch.no_grad():
        supernet.eval()(images, z)
    for handle in handles:
        handle.remove()
    sources = {"i1": outputs[f"cell{cell}.pre1"], "i2": outputs[f"cell{cell}.pre2"]}
    edges = [("i1", "x1"), ("i2", "x1"), ("i1", "x2"), ("i2", "x2"), ("x1", "x2")]
    for row, (source, target) in enumerate(edges):
        if source == "x1":
            torch.testing.assert_close(inputs[f"cell{cell}.out"][0], sources["x1"], rtol=1e-4, atol=1e-4)
        for column, candidate in enumerate(candidates_of("cell")):
            name = f"cell{cell}.{source}-{target}.{candidate}"
            if candidate == "zero":
                assert name not in outputs
                continue
            value = outputs[name] if name in outputs else sources[source]
            sources[target] = sources.get(target, torch.zeros(())) + z.cells[cell, row, column] * value
    torch.testing.assert_close(inputs[f"cell{cell}.out"][1], sources["x2"], rtol=1e-4, atol=1e-4)


def test_every_architecture_parameter_is_reached_by_the_output(supernet: Supernet, images: Tensor) -> None:
    z = random_z(TINY, 2, torch.float32).map(lambda rows: rows.requires_grad_())
    torch.autograd.backward(supernet.train()(images, z).square().mean())
    for rows in z:
        assert rows.grad is not None
        reached = rows.grad.abs().sum(dim=-1) > 0
        assert reached.all()

"""What a derived network executes is exactly what its NetworkSpec says."""

from collections import Counter
from importlib.metadata import entry_points
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latency_tables.contract import NetworkSpec, OperationSpec
from lgcnet_search.space import plugin
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.fold import deploy
from lgcnet_search.space.genotype import GenotypeError, random_genotype, typical_genotype
from lgcnet_search.space.network import DerivedNetwork, network_spec
from lgcnet_search.space.operations import Operation
from lgcnet_search.space.space import Space, specify
from tests.support.tiny_spaces import TINY, without_edges

SMALL = Space(height=97, width=161, channels=2)


def executed(network: nn.Module, images: Tensor) -> tuple[Counter[OperationSpec], Any]:
    """The operations of a real forward pass, each checked against the shapes it was given, and what it returned."""
    count: Counter[OperationSpec] = Counter()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(module, Operation)
        assert tuple(tuple(value.shape[1:]) for value in inputs) == module.spec.input_shapes
        count[module.spec] += 1

    for module in network.modules():
        if isinstance(module, Operation):
            module.register_forward_hook(record)
    with torch.inference_mode():
        return count, network(images)


@pytest.mark.parametrize("seed", range(6))
def test_forward_executes_the_multiset_of_its_spec(seed: int) -> None:
    make = random_genotype if seed % 2 else typical_genotype
    genotype = make(SMALL, seed)
    if seed < 2:
        genotype = without_edges(genotype, 0, 8)
    spec = network_spec(genotype)
    count, (logits, *_) = executed(plugin.build_network(spec), torch.randn(1, 3, 97, 161))
    assert count == {counted.operation: counted.count for counted in spec.operations}
    assert logits.shape == (1, 19, 97, 161)


@pytest.mark.parametrize(("height", "width"), [(769, 1537), (385, 769), (512, 1024), (720, 960)])
def test_odd_and_even_sizes(height: int, width: int) -> None:
    space = Space(height=height, width=width)
    genotype = random_genotype(space, height)
    with torch.device("meta"):
        network = DerivedNetwork(genotype).eval()
        count, logits = executed(network, torch.empty(1, 3, height, width))
    assert count == {counted.operation: counted.count for counted in network_spec(genotype).operations}
    assert logits.shape == (1, 19, height, width)


def test_only_operations_of_the_space_are_executed() -> None:
    keys = set(TINY.operations)
    executed_specs: set[OperationSpec] = set()
    for seed in range(60):
        genotype = random_genotype(TINY, seed)
        executed_specs.update(
            counted.operation for counted in network_spec(without_edges(genotype, seed % 14)).operations
        )
    assert executed_specs <= keys
    assert keys <= executed_specs


def test_deployed_network_equals_the_evaluated_one() -> None:
    genotype = random_genotype(SMALL, 4)
    images = torch.randn(2, *SMALL.input_shape)
    network = DerivedNetwork(genotype)
    with torch.no_grad():
        for _ in range(3):
            network.train()(images)
        expected = network.eval()(images)
        torch.testing.assert_close(deploy(network)(images), expected, rtol=1e-3, atol=1e-4)


def test_batch_equals_single_images() -> None:
    network = plugin.build_network(network_spec(random_genotype(SMALL, 5)))
    images = torch.randn(3, *SMALL.input_shape)
    single = torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(network(images)[0], single, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_activations_of_a_fresh_network_keep_their_size(seed: int) -> None:
    """Neither denormals, which are slow, nor overflow in half precision: both would falsify a latency."""
    genotype = (random_genotype, typical_genotype)[seed % 2](Space(height=129, width=129), seed)
    network = plugin.build_network(network_spec(genotype))
    sizes: list[float] = []
    for module in network.modules():
        if isinstance(module, Operation):
            module.register_forward_hook(lambda _, __, value: sizes.append(float(value.square().mean().sqrt())))
    with torch.inference_mode():
        network(torch.randn(1, 3, 129, 129))
    assert min(size for size in sizes if size) > 1e-2  # exact zeros come from nodes without edges
    assert max(sizes) < 1e2


def test_images_of_another_size_are_refused() -> None:
    network = DerivedNetwork(random_genotype(TINY, 0))
    with pytest.raises(ValueError, match="takes N×3×65×97"):
        network(torch.zeros(1, 3, 64, 96))


def test_spec_survives_the_wire() -> None:
    spec = network_spec(random_genotype(TINY, 0))
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_plugin_is_found_by_agents() -> None:
    (entry,) = entry_points(group="profiler_agent.spaces", name="lgcnet")
    assert entry.load() is plugin
    assert (plugin.name, plugin.digest, plugin.requirement) == ("lgcnet", space_digest(), "lgcnet[search]")


def test_equal_specs_give_equal_weights_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    spec = specify("conv_3x3", (4, 9, 9), out_channels=4, stride=1)
    first, second = plugin.build_operation(spec), plugin.build_operation(spec)
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_a_network_with_other_operations_is_refused() -> None:
    spec = network_spec(random_genotype(TINY, 0))
    fewer = spec.model_copy(update={"operations": spec.operations[1:]})
    with pytest.raises(ValueError, match="operations: 0 × lgcnet/"):
        plugin.build_network(fewer)
    other = network_spec(random_genotype(TINY, 1)).model_copy(update={"genotype": spec.genotype})
    with pytest.raises(ValueError, match="operations: "):
        plugin.build_network(other)


def test_another_definition_of_the_space_is_refused() -> None:
    spec = specify("add", (4, 9, 9), (4, 9, 9)).model_copy(update={"space_digest": "0" * 64})
    with pytest.raises(ValueError, match="install the same version"):
        plugin.build_operation(spec)


def test_a_network_without_a_genotype_is_refused() -> None:
    spec = network_spec(random_genotype(TINY, 0)).model_copy(update={"genotype": "[]"})
    with pytest.raises(GenotypeError):
        plugin.build_network(spec)

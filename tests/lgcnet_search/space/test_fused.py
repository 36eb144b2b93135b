"""Kernels of a measurement, by the steps of the network that they execute."""

import pytest

from latency_tables.contract import Kernel
from lgcnet_search.space.fused import fused_share, fused_steps, step_kernels
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.space import Space


@pytest.fixture(scope="module")
def genotype() -> Genotype:
    return random_genotype(Space(height=65, width=129), seed=1)


def test_nodes_belong_to_the_step_whose_module_they_are_in(genotype: Genotype) -> None:
    first, second, third, *others = [step.name for step in genotype.space.graph.derive(genotype.choices)]
    kernels = (
        Kernel(kind="Reorder"),
        Kernel(kind="Convolution", nodes=(f"network.{first}.layers.0/Conv", f"network.{first}.layers.1/Relu")),
        Kernel(kind="Convolution", nodes=(f"network.{second}.layers.0/Conv", f"network.{third}/Add")),
        Kernel(kind="Eltwise", nodes=("network/Resize#2",)),
    )
    shown = step_kernels(kernels, genotype)
    assert [kernel.steps for kernel in shown] == [(), (first,), (second, third), ()]
    assert fused_steps(shown) == {second: (third,), third: (second,)}
    assert fused_share(kernels, genotype) == pytest.approx(2 / (3 + len(others)))


def test_a_step_is_not_taken_for_one_whose_name_begins_alike(genotype: Genotype) -> None:
    names = [step.name for step in genotype.space.graph.derive(genotype.choices)]
    assert {name for name in names if name.startswith("cell1.")}, "cell1 and cell10 begin alike"
    kernels = [Kernel(kind="Conv", nodes=(f"network.{name}.layers.0/Conv",)) for name in names]
    assert [kernel.steps for kernel in step_kernels(kernels, genotype)] == [(name,) for name in names]

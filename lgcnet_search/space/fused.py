"""Which operations of a derived network a library executed together, by the kernels of its measurement."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from latency_tables.contract import Kernel
from lgcnet_search.space.genotype import Genotype


class StepKernel(NamedTuple):
    """A kernel, with the steps of the network that it executes, whole or in part, in their order."""

    kind: str
    steps: tuple[str, ...]


def step_kernels(kernels: Sequence[Kernel], genotype: Genotype) -> list[StepKernel]:
    """The kernels of a measurement of this genotype's network, by the names of its steps ("cell3.i1-x1")."""
    names = [step.name for step in genotype.space.graph.derive(genotype.choices)]
    return [
        StepKernel(kernel.kind, tuple(dict.fromkeys(step for node in kernel.nodes if (step := _step(node, names)))))
        for kernel in kernels
    ]


def fused_steps(kernels: Sequence[StepKernel]) -> dict[str, tuple[str, ...]]:
    """Each step that shares a kernel with others, and with which."""
    partners: dict[str, dict[str, None]] = {}
    for kernel in kernels:
        for step in kernel.steps:
            others = [other for other in kernel.steps if other != step]
            if others:
                partners.setdefault(step, {}).update(dict.fromkeys(others))
    return {step: tuple(others) for step, others in partners.items()}


def fused_share(kernels: Sequence[Kernel], genotype: Genotype) -> float:
    """The share of a network's operations that were executed in one kernel with another operation."""
    steps = genotype.space.graph.derive(genotype.choices)
    return len(fused_steps(step_kernels(kernels, genotype))) / len(steps)


def _step(node: str, names: Collection[str]) -> str | None:
    """The step that a node "network.cell3.i1-x1.layers.0/Conv" belongs to: steps are submodules of their names."""
    module = node.rpartition("/")[0].removeprefix("network.")
    owners = (name for name in names if module == name or module.startswith(f"{name}."))
    return max(owners, key=len, default=None)

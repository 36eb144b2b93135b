"""The supernet: the graph of the space with every candidate of every edge (Eq. 2, 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lgcnet_search.search.architecture import EdgeTensors
from lgcnet_search.search.mixing import weighted_sum
from lgcnet_search.space.candidates import ZERO
from lgcnet_search.space.graph import INPUT, Edge, Graph, Node, Part, Step
from lgcnet_search.space.network import attach
from lgcnet_search.space.operations import Operation, build_operation
from lgcnet_search.space.space import Space


@dataclass(frozen=True)
class Stage:
    """Parts that run together (stem, a cell, the fusion cell, head), their inputs and outputs."""

    parts: tuple[Part, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class EdgeWeights:
    """z of one edge, on the device and as numbers."""

    z: Tensor
    values: tuple[float, ...]


class Supernet(nn.Module):
    """Images N×3×height×width and choices z to logits N×classes×height×width.

    A candidate whose z is 0 is not run: with one-hot z exactly the derived network runs, and a candidate whose
    relaxed z is 0 costs nothing. Weights stand under step names, and under "edge.candidate" on searched edges. With
    `recompute`, each cell keeps only its inputs for the backward pass and runs again there:
    less memory, one more forward pass (Chen et al. 2016); BatchNorm's running statistics then move twice a step.
    """

    def __init__(self, space: Space, recompute: bool = False) -> None:
        super().__init__()
        self.space = space
        self.recompute = recompute
        self._stages = _stages(space.graph)
        self._steps: dict[str, Operation] = {}
        self._edges: dict[str, list[Operation | None]] = {}
        for part in space.graph.parts:
            if isinstance(part, Step):
                self._steps[part.name] = self._build(part.name, part)
            elif isinstance(part, Edge):
                self._edges[part.name] = [
                    self._build(f"{part.name}.{name}", Step(part.name, operation, (part.source,)))
                    if operation
                    else None
                    for name, operation in part.candidates.items()
                ]
            elif part.zeros:
                self._steps[part.zeros.name] = self._build(part.zeros.name, part.zeros)

    def _build(self, name: str, step: Step) -> Operation:
        operation = build_operation(step.operation)
        attach(self, name, operation)
        return operation

    def forward(self, images: Tensor, z: EdgeTensors) -> Tensor:
        numbers = z.map(lambda rows: rows.detach().cpu()).by_edge(self.space)
        weights = {name: EdgeWeights(row, tuple(numbers[name].tolist())) for name, row in z.by_edge(self.space).items()}
        values = {INPUT: images}
        for stage in self._stages:
            inputs = [values[name] for name in stage.inputs]
            if self.recompute and torch.is_grad_enabled():
                outputs = checkpoint(self._run, stage, weights, *inputs, use_reentrant=False, preserve_rng_state=False)
            else:
                outputs = self._run(stage, weights, *inputs)
            values.update(zip(stage.outputs, outputs, strict=True))
        return values[self.space.graph.parts[-1].name]

    def _run(self, stage: Stage, weights: Mapping[str, EdgeWeights], *inputs: Tensor) -> tuple[Tensor, ...]:
        values: dict[str, Tensor | None] = dict(zip(stage.inputs, inputs, strict=True))

        def value(name: str) -> Tensor:
            tensor = values[name]
            assert tensor is not None, f"{name} is zero, and a step takes it"
            return tensor

        for part in stage.parts:
            if isinstance(part, Step):
                values[part.name] = self._steps[part.name](*map(value, part.inputs))
            elif isinstance(part, Edge):
                values[part.name] = self._mix(part, value(part.source), weights[part.name])
            else:
                present = [tensor for name in part.inputs if (tensor := values[name]) is not None]
                if part.zeros and not present:
                    present = [self._steps[part.zeros.name](*map(value, part.zeros.inputs))]
                values[part.name] = sum(present[1:], start=present[0])
        return tuple(value(name) for name in stage.outputs)

    def _mix(self, edge: Edge, source: Tensor, weights: EdgeWeights) -> Tensor | None:
        """Eq. 3: Σ_m z^m o^m(c) over the candidates with z^m > 0; None if that leaves `zero` alone."""
        terms: list[Tensor | None] = [None] * len(edge.candidates)
        for index, (name, operation) in enumerate(zip(edge.names, self._edges[edge.name], strict=True)):
            if weights.values[index] and name != ZERO:
                terms[index] = operation(source) if operation else source
        if all(term is None for term in terms):
            return None
        return weighted_sum(weights.z, weights.values, terms)


def _stages(graph: Graph) -> tuple[Stage, ...]:
    """The graph cut where the first word of the parts' names changes."""
    runs = [tuple(run) for _, run in groupby(graph.parts, lambda part: part.name.partition(".")[0])]
    stages: list[Stage] = []
    for index, run in enumerate(runs):
        names = [part.name for part in run]
        taken = dict.fromkeys(name for part in run for name in _sources(part) if name not in names)
        later = {name for other in runs[index + 1 :] for part in other for name in _sources(part)}
        outputs = tuple(name for name in names if name in later or name == graph.parts[-1].name)
        stages.append(Stage(run, tuple(taken), outputs))
    return tuple(stages)


def _sources(part: Part) -> tuple[str, ...]:
    if isinstance(part, Edge):
        return (part.source,)
    if isinstance(part, Node) and part.zeros:
        return (*part.inputs, *part.zeros.inputs)
    return part.inputs

"""The supernet: the graph of the space with every candidate of every edge (Eq. 2, 3)."""

from torch import Tensor, nn

from lgcnet_search.architecture import EdgeTensors
from lgcnet_search.network import attach
from lgcnet_search.operations import Operation, build_operation
from lgcnet_search.space import Space
from lgcnet_search.steps import INPUT, ZERO, Edge, Step


class Supernet(nn.Module):
    """Images N×3×height×width and relaxed choices z to logits N×classes×height×width.

    Weights stand under step names, and under "edge.candidate" on searched edges.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self._steps: dict[str, Operation] = {}
        self._edges: dict[str, list[Operation | None]] = {}
        for part in space.graph.parts:
            if isinstance(part, Step):
                self._steps[part.name] = self._build(part.name, part)
            elif isinstance(part, Edge):
                self._edges[part.name] = [
                    self._build(f"{part.name}.{candidate.name}", Step(part.name, candidate.operation, (part.source,)))
                    if candidate.operation
                    else None
                    for candidate in part.candidates
                ]

    def _build(self, name: str, step: Step) -> Operation:
        operation = build_operation(step.operation)
        attach(self, name, operation)
        return operation

    def forward(self, images: Tensor, z: EdgeTensors) -> Tensor:
        weights = z.by_edge(self.space)
        values = {INPUT: images}
        result = images
        for part in self.space.graph.parts:
            if isinstance(part, Step):
                result = self._steps[part.name](*[values[name] for name in part.inputs])
            elif isinstance(part, Edge):
                result = self._mix(part, values[part.source], weights[part.name])
            else:
                first, *others = (values[name] for name in part.inputs)
                result = sum(others, start=first)
            values[part.name] = result
        return result

    def _mix(self, edge: Edge, value: Tensor, z: Tensor) -> Tensor:
        """Eq. 3: Σ_m z^m o^m(c). The zero operation adds nothing and is not computed."""
        terms: list[Tensor] = [
            weight * (value if operation is None else operation(value))
            for candidate, operation, weight in zip(edge.candidates, self._edges[edge.name], z, strict=True)
            if candidate.name != ZERO
        ]
        return sum(terms[1:], start=terms[0])

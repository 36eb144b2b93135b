"""The LGCNet search space: stem, cells, fusion cell and head as one Graph (Tables II, III, Fig. 3-5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

from latency_tables.contract import OperationSpec
from lgcnet_search.space import SPACE
from lgcnet_search.space.candidates import CANDIDATES, Group, candidates_of
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.graph import INPUT, Edge, Graph, Node, Part, Step
from lgcnet_search.space.operations import Shape, output_shape

Aggregation = Literal["dense", "none", "aspp", "ppm", "mscell"]
"""How features of several scales become one (Table X); dense is the paper's dense-connected fusion cell."""

ASPP_DILATIONS = (6, 12, 18)
"""DeepLab's at output stride 16 (Chen et al. 2017)."""

PPM_BINS = (1, 2, 3, 6)
"""PSPNet's (Zhao et al. 2017)."""

EDGES_PER_CELL = 5
MAX_SIDE = 16384


@dataclass(frozen=True)
class Space:
    """What is searched, at the shapes it is deployed at.

    `height` and `width` are in pixels; a value at stride s has `channels` × s channels. `reductions` are the cells
    that halve the resolution, `fused` the three cells that the fusion cell takes (strides s, 2s and 4s); without it,
    `aggregation` says what takes the last of them (mscell: the last two). Raises ValueError naming field and value.
    """

    height: int = 769
    width: int = 1537
    channels: int = 8
    classes: int = 19
    reductions: tuple[int, ...] = (1, 8)
    fused: tuple[int, int, int] = (0, 7, 13)
    cells: int = 14
    aggregation: Aggregation = "dense"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("height", 32, MAX_SIDE),
            ("width", 32, MAX_SIDE),
            ("channels", 1, 256),
            ("classes", 1, 1000),
            ("cells", 1, 64),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name}: {value!r} is not an integer from {low} to {high}")
        for name in ("reductions", "fused"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(type(cell) is int and 0 <= cell < self.cells for cell in value):
                raise ValueError(f"{name}: {value!r} is not a tuple of cells from 0 to {self.cells - 1}")
            if list(value) != sorted(set(value)):
                raise ValueError(f"{name}: {value!r} is not in rising order")
        strides = [self.stride(cell) for cell in self.fused]
        if len(strides) != 3 or strides != [strides[0], 2 * strides[0], 4 * strides[0]]:
            raise ValueError(f"fused: {self.fused!r} have output strides {strides}; three cells at s, 2s, 4s are fused")
        if self.aggregation not in get_args(Aggregation):
            raise ValueError(f"aggregation: {self.aggregation!r} is none of {', '.join(get_args(Aggregation))}")

    def stride(self, cell: int) -> int:
        """Output stride of a cell."""
        return 4 << sum(reduction <= cell for reduction in self.reductions)

    @property
    def input_shape(self) -> Shape:
        return (3, self.height, self.width)

    @property
    def fusion_channels(self) -> int:
        """48 at 8 channels (paper); scaled with them, so that a narrow proxy is narrow throughout."""
        return 6 * self.channels

    @cached_property
    def graph(self) -> Graph:
        return _Writer(self).graph()

    @cached_property
    def cell_edges(self) -> tuple[Edge, ...]:
        """The edges of cell 0, 1, …: five each, in order of execution."""
        return tuple(edge for edge in self.graph.edges if edge.group == "cell")

    @cached_property
    def fusion_edges(self) -> tuple[Edge, ...]:
        """The edges within the branches of the fusion cell."""
        return tuple(edge for edge in self.graph.edges if edge.group == "fusion")

    @cached_property
    def up_edges(self) -> tuple[Edge, ...]:
        """The edges of the fusion cell that double the resolution."""
        return tuple(edge for edge in self.graph.edges if edge.group == "up")

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """Every key of a latency table of this space, each once."""
        return self.graph.operations


@lru_cache(maxsize=4096)
def _spec(name: str, input_shapes: tuple[Shape, ...], params: tuple[tuple[str, int], ...]) -> OperationSpec:
    return OperationSpec(space=SPACE, space_digest=space_digest(), name=name, input_shapes=input_shapes, params=params)


def specify(name: str, *input_shapes: Shape, **params: int) -> OperationSpec:
    """The spec of one of this space's operations."""
    return _spec(name, input_shapes, tuple(sorted(params.items())))


def candidate_operation(name: str, shape: Shape, **edge_params: int) -> OperationSpec | None:
    """What a candidate executes on an edge with these parameters, whose source has `shape`; None if nothing."""
    candidate = CANDIDATES[name]
    if candidate.operation is None or (candidate.only_strided and edge_params["stride"] == 1):
        return None
    params = {"out_channels": shape[0], **edge_params}
    taken = {param: params[param] for param in candidate.edge_params}
    return specify(candidate.operation, shape, **candidate.params, **taken)


class _Writer:
    """Writes a space down part by part, with the shape of every value."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parts: list[Part] = []
        self.shapes: dict[str, Shape] = {INPUT: space.input_shape}

    def graph(self) -> Graph:
        channels = self.space.channels
        value = self.step("stem.0", "conv_3x3", [INPUT], out_channels=2 * channels, stride=2)
        value = self.step("stem.1", "conv_3x3", [value], out_channels=4 * channels, stride=2)
        value = self.step("stem.2", "conv_3x3", [value], out_channels=4 * channels, stride=1)
        outputs = [value, value]
        for cell in range(self.space.cells):
            outputs.append(self.cell(cell, outputs[-2], outputs[-1]))
        low, middle, high = (outputs[2 + cell] for cell in self.space.fused)
        value = self.aggregated(low, middle, high)
        value = self.step("head.classifier", "classifier", [value], out_channels=self.space.classes)
        self.step("head.interpolate", "interpolate", [value], height=self.space.height, width=self.space.width)
        return Graph(tuple(self.parts))

    def cell(self, index: int, previous: str, current: str) -> str:
        """Cell `index` on the outputs of the two cells before it; returns the name of its output."""
        stride = 2 if index in self.space.reductions else 1
        channels = self.space.channels * self.space.stride(index)
        cell = f"cell{index}"
        if self.shapes[previous][1:] == self.shapes[current][1:]:
            i1 = self.step(f"{cell}.pre1", "conv_1x1", [previous], out_channels=channels)
        else:
            i1 = self.step(f"{cell}.pre1", "factorized_reduction", [previous], out_channels=channels, stride=2)
        i2 = self.step(f"{cell}.pre2", "conv_1x1", [current], out_channels=channels)
        into = {
            target: [
                self.edge("cell", f"{cell}.{source}-{target}", value, stride=stride)
                for source, value in (("i1", i1), ("i2", i2))
            ]
            for target in ("x1", "x2")
        }
        x1 = self.node(f"{cell}.x1", into["x1"], i2)
        x2 = self.node(f"{cell}.x2", [*into["x2"], self.edge("cell", f"{cell}.x1-x2", x1, stride=1)], i2)
        return self.step(f"{cell}.out", "concat", [x1, x2])

    def aggregated(self, low: str, middle: str, high: str) -> str:
        """Three cells' outputs, finest first, as one value (Table X); returns its name."""
        aggregation = self.space.aggregation
        if aggregation == "dense":
            return self.fusion(low, middle, high)
        if aggregation == "mscell":
            return self.multi_scale(middle, high)
        value = self.reduced("h_in", high)
        if aggregation == "none":
            return value
        branches = self.atrous(value) if aggregation == "aspp" else self.pooled(value)
        return self.reduced("reduce", self.step("fusion.concat", "concat", branches))

    def reduced(self, name: str, value: str) -> str:
        return self.step(f"fusion.{name}", "conv_1x1", [value], out_channels=self.space.fusion_channels)

    def atrous(self, value: str) -> list[str]:
        """ASPP's branches: 1×1, dilated 3×3 (separable, as DeepLabv3+ has them), the mean of the picture."""
        channels = self.space.fusion_channels
        dilated = [
            self.step(f"fusion.d{d}", "dil_conv_3x3", [value], out_channels=channels, stride=1, dilation=d)
            for d in ASPP_DILATIONS
        ]
        mean = self.step("fusion.pool1", "global_pool", [value], out_channels=channels, bins=1)
        return [self.reduced("d1", value), *dilated, mean]

    def pooled(self, value: str) -> list[str]:
        """PPM's branches, a quarter of the channels each, beside what they were pooled from."""
        channels = max(1, self.space.fusion_channels // len(PPM_BINS))
        means = [
            self.step(f"fusion.pool{bins}", "global_pool", [value], out_channels=channels, bins=bins)
            for bins in PPM_BINS
        ]
        return [value, *means]

    def multi_scale(self, middle: str, high: str) -> str:
        """The two coarser branches of the dense cell, from stride 16 to 8: features of a short range (Table X d)."""
        m_in, h_in = self.reduced("m_in", middle), self.reduced("h_in", high)
        h_mid = self.fusion_edge("h_in-h_mid", h_in)
        m_mid = self.join("m_mid", self.fusion_edge("m_in-m_mid", m_in), self.up("h_in-m_mid", h_in, like=m_in))
        h_final = self.fusion_edge("h_mid-h_final", h_mid)
        m_final = self.join("m_final", self.fusion_edge("m_mid-m_final", m_mid), self.up("h_mid-m_final", h_mid, m_in))
        return self.node("fusion.sum", [m_final, self.up("h_final-sum", h_final, like=m_in)])

    def fusion(self, low: str, middle: str, high: str) -> str:
        """Fig. 5 on three cells' outputs, finest first: 9 nodes, 13 edges; returns the name of the sum."""
        l_in, m_in, h_in = (
            self.reduced(f"{branch}_in", value) for branch, value in (("l", low), ("m", middle), ("h", high))
        )
        h_mid = self.fusion_edge("h_in-h_mid", h_in)
        m_mid = self.join("m_mid", self.fusion_edge("m_in-m_mid", m_in), self.up("h_in-m_mid", h_in, like=m_in))
        l_mid = self.join("l_mid", self.fusion_edge("l_in-l_mid", l_in), self.up("m_in-l_mid", m_in, like=l_in))
        h_final = self.fusion_edge("h_mid-h_final", h_mid)
        m_final = self.join("m_final", self.fusion_edge("m_mid-m_final", m_mid), self.up("h_mid-m_final", h_mid, m_in))
        l_final = self.join("l_final", self.fusion_edge("l_mid-l_final", l_mid), self.up("m_mid-l_final", m_mid, l_in))
        m_up = self.up("m_final-sum", m_final, like=l_in)
        h_up = self.up("h_up-sum", self.up("h_final-h_up", h_final, like=m_in), like=l_in)
        return self.node("fusion.sum", [l_final, m_up, h_up])

    def join(self, name: str, left: str, right: str) -> str:
        both = self.step(f"fusion.{name}.concat", "concat", [left, right])
        return self.reduced(f"{name}.reduce", both)

    def step(self, name: str, operation: str, inputs: Sequence[str], **params: int) -> str:
        spec = specify(operation, *(self.shapes[value] for value in inputs), **params)
        self.shapes[name] = output_shape(spec)
        self.parts.append(Step(name, spec, tuple(inputs)))
        return name

    def edge(self, group: Group, name: str, source: str, **edge_params: int) -> str:
        shape = self.shapes[source]
        candidates = {choice: candidate_operation(choice, shape, **edge_params) for choice in candidates_of(group)}
        self.parts.append(Edge(name, source, group, candidates))
        self.shapes[name] = output_shape(next(operation for operation in candidates.values() if operation))
        return name

    def fusion_edge(self, name: str, source: str) -> str:
        return self.edge("fusion", f"fusion.{name}", source, stride=1)

    def up(self, name: str, source: str, like: str) -> str:
        """An Up×2 edge that lands exactly on the height and width of `like`."""
        _, height, width = self.shapes[like]
        return self.edge("up", f"fusion.{name}", source, height=height, width=width)

    def node(self, name: str, inputs: list[str], zeros_like: str | None = None) -> str:
        shape = self.shapes[name] = self.shapes[inputs[0]]
        zeros = None
        if zeros_like is not None:
            spec = specify("zeros", self.shapes[zeros_like], height=shape[1], width=shape[2])
            zeros = Step(f"{name}.zeros", spec, (zeros_like,))
        self.parts.append(Node(name, tuple(inputs), specify("add", shape, shape), zeros))
        return name

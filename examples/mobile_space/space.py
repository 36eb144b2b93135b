"""What is searched: blocks, expansions and widths in the stages of MobileNetV2, as ProxylessNAS has them."""

from functools import cached_property
from typing import Annotated, NamedTuple

from pydantic import Field

from latency_tables.contract import Contract, OperationSpec

from .blocks import Shape
from .digest import SPACE, space_digest

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 6)
BLOCKS = tuple(f"{kernel}x{kernel}_e{expansion}" for kernel in KERNELS for expansion in EXPANSIONS)
SKIP = "skip"
"""A block that is left out; the first one of a stage never is, because it changes the shape."""

STEM_CHANNELS = 32
FIRST_CHANNELS = 16
CLASSIFIER_CHANNELS = 1280


class Stage(NamedTuple):
    """Blocks of one resolution; the first of them has the stride. `channels` are those at width 1."""

    channels: int
    blocks: int
    stride: int


STAGES = (
    Stage(32, 4, 2),
    Stage(40, 4, 2),
    Stage(80, 4, 2),
    Stage(96, 4, 1),
    Stage(192, 4, 2),
    Stage(320, 1, 1),
)
"""ProxylessNAS (Cai et al. 2019), mobile; before them a stem and a block of 16 channels without expansion."""


class Space(Contract):
    """Images 3×side×side to class logits; `depth` bounds the blocks of a stage, `widths` scale its channels."""

    side: Annotated[int, Field(ge=32, le=4096)] = 224
    classes: Annotated[int, Field(ge=1, le=100_000)] = 1000
    depth: Annotated[int, Field(ge=1, le=4)] = 4
    widths: Annotated[tuple[Annotated[float, Field(ge=0.25, le=4)], ...], Field(min_length=1)] = (0.75, 1.0, 1.25)

    @property
    def input_shape(self) -> Shape:
        return (3, self.side, self.side)

    def blocks(self, stage: int) -> int:
        """The most blocks of a stage."""
        return min(self.depth, STAGES[stage].blocks)

    @cached_property
    def operations(self) -> tuple[OperationSpec, ...]:
        """Every key of a latency table of this space, each once."""
        stem, first = head(self)
        operations = {stem: None, first: None}
        shapes = {output_shape(first)}
        for index, stage in enumerate(STAGES):
            entries = [
                block_operation(block, shape, channels(stage, width), stage.stride)
                for shape in sorted(shapes)
                for width in self.widths
                for block in BLOCKS
            ]
            shapes = {output_shape(entry) for entry in entries}
            operations.update(dict.fromkeys(entries))
            if self.blocks(index) > 1:
                operations.update(
                    (block_operation(block, shape, shape[0], 1), None) for shape in sorted(shapes) for block in BLOCKS
                )
        operations.update((classifier(self, shape), None) for shape in sorted(shapes))
        return tuple(operations)


def channels(stage: Stage, width: float) -> int:
    """Channels of a stage at a width: the nearest multiple of 8, as MobileNets round."""
    return max(8, int(stage.channels * width + 4) // 8 * 8)


def head(space: Space) -> tuple[OperationSpec, OperationSpec]:
    """The beginning of every network: the stem, and the block without expansion."""
    stem = specify("stem", space.input_shape, out_channels=STEM_CHANNELS)
    shape = output_shape(stem)
    first = specify("inverted_residual_3x3", shape, out_channels=FIRST_CHANNELS, expansion=1, stride=1)
    return stem, first


def block_operation(block: str, shape: Shape, out_channels: int, stride: int) -> OperationSpec:
    """The operation that a block of BLOCKS executes on an input of `shape`."""
    kernel, _, expansion = block.partition("_e")
    return specify(
        f"inverted_residual_{kernel}", shape, out_channels=out_channels, expansion=int(expansion), stride=stride
    )


def classifier(space: Space, shape: Shape) -> OperationSpec:
    """The end of every network."""
    return specify("classifier", shape, hidden=CLASSIFIER_CHANNELS, classes=space.classes)


def output_shape(spec: OperationSpec) -> Shape:
    """Channels, height and width of the output of a stem or a block."""
    params = {name: int(value) for name, value in spec.params}
    stride = params.get("stride", 2)
    _, height, width = spec.input_shapes[0]
    return (params["out_channels"], -(-height // stride), -(-width // stride))


def specify(name: str, shape: Shape, **params: int) -> OperationSpec:
    """The spec of one of this space's operations."""
    return OperationSpec(
        space=SPACE,
        space_digest=space_digest(),
        name=name,
        input_shapes=(shape,),
        params=tuple(sorted(params.items())),
    )

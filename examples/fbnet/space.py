"""Blocks at 22 places: the operations that a network executes, and their work."""

from collections import Counter
from functools import cache
from typing import NamedTuple

from latency_tables.contract import NetworkSpec, OperationSpec, Work, sha256

SPACE = "fbnet"
DIGEST = sha256("fbnet: CIFAR-100, 32 pixels; blocks at 22 places, skipping with a change of shape is a convolution; 1")
INPUT = (3, 32, 32)
CLASSES = 100
STEM_CHANNELS, HEAD_CHANNELS = 16, 1504
STAGES = ((1, 16, 1), (4, 24, 1), (4, 32, 2), (4, 64, 2), (4, 112, 1), (4, 184, 2), (1, 352, 1))
"""Places, channels, and the stride of the first place, of each stage (Table 1; strides for 32 pixels)."""
BLOCKS = {
    "k3_e1": (3, 1, 1),
    "k3_e1_g2": (3, 1, 2),
    "k3_e3": (3, 3, 1),
    "k3_e6": (3, 6, 1),
    "k5_e1": (5, 1, 1),
    "k5_e1_g2": (5, 1, 2),
    "k5_e3": (5, 3, 1),
    "k5_e6": (5, 6, 1),
}
"""Kernel, expansion, and groups of the 1×1 convolutions (Table 2)."""
SKIP = "skip"


class Place(NamedTuple):
    """Where a block stands: channels in and out, height and width of its input, stride."""

    channels: int
    out_channels: int
    side: int
    stride: int

    @property
    def is_identity(self) -> bool:
        """Whether a skipped block is nothing at all."""
        return self.stride == 1 and self.channels == self.out_channels


def _places() -> tuple[Place, ...]:
    places, channels, side = [], STEM_CHANNELS, INPUT[1]
    for count, out_channels, stride in STAGES:
        for number in range(count):
            places.append(Place(channels, out_channels, side, stride if number == 0 else 1))
            side //= places[-1].stride
            channels = out_channels
    return tuple(places)


PLACES = _places()


def network(name: str) -> NetworkSpec:
    """The network of 22 names with | between them. Raises ValueError."""
    choices = name.split("|")
    unknown = sorted({choice for choice in choices if choice not in (SKIP, *BLOCKS)})
    if len(choices) != len(PLACES) or unknown:
        wrong = f"{', '.join(unknown)} unknown" if unknown else f"{len(choices)} blocks"
        raise ValueError(
            f"network: {name[:80]!r} is no network of FBNet ({wrong}); give {len(PLACES)} of "
            f"{', '.join((SKIP, *BLOCKS))} with | between them"
        )
    counts = Counter({_end("stem", INPUT): 1, _end("head", (STAGES[-1][1], 4, 4)): 1})
    for place, choice in zip(PLACES, choices, strict=True):
        if choice != SKIP or not place.is_identity:
            counts[block(choice, place)] += 1
    return NetworkSpec.of(SPACE, DIGEST, name, INPUT, counts)


@cache
def block(name: str, place: Place) -> OperationSpec:
    """A block at a place, with its residual sum. Skipping is an operation where the shape changes."""
    return OperationSpec(
        space=SPACE,
        space_digest=DIGEST,
        name=name,
        input_shapes=((place.channels, place.side, place.side),),
        params=(("out_channels", place.out_channels), ("stride", place.stride)),
    )


@cache
def _end(name: str, shape: tuple[int, ...]) -> OperationSpec:
    return OperationSpec(space=SPACE, space_digest=DIGEST, name=name, input_shapes=(shape,))


def work(spec: OperationSpec) -> Work:
    """By hand; BatchNorm and ReLU are passes of their own, as eager PyTorch executes them."""
    channels, side, _ = spec.input_shapes[0]
    pixels = side * side
    if spec.name == "stem":
        weights = 27 * STEM_CHANNELS
        return Work(macs=weights * pixels, elements=(3 + 5 * STEM_CHANNELS) * pixels, weights=weights, launches=3)
    if spec.name == "head":
        convolution, classifier = channels * HEAD_CHANNELS, HEAD_CHANNELS * CLASSES
        return Work(
            macs=convolution * pixels + classifier,
            elements=(channels + 5 * HEAD_CHANNELS) * pixels + HEAD_CHANNELS,
            weights=convolution + classifier,
            launches=5,
        )
    params = dict(spec.params)
    out_channels, stride = int(params["out_channels"]), int(params["stride"])
    out_pixels = pixels // stride**2
    if spec.name == SKIP:
        weights = channels * out_channels
        elements = channels * pixels + out_channels * out_pixels
        return Work(macs=weights * out_pixels, elements=elements, weights=weights, launches=2)
    kernel, expansion, groups = BLOCKS[spec.name]
    middle = channels * expansion
    expand, depthwise, project = channels * middle // groups, middle * kernel**2, middle * out_channels // groups
    return Work(
        macs=expand * pixels + (depthwise + project) * out_pixels,
        elements=channels * pixels + 6 * middle * pixels + 6 * middle * out_pixels + 3 * out_channels * out_pixels,
        weights=expand + depthwise + project,
        launches=8 + 2 * (groups == 2),
        depthwise_macs=depthwise * out_pixels,
    )

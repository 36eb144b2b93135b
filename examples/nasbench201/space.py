"""Cells of six edges, fifteen times in three stages: the operations that a network executes, and their work."""

import re
from collections import Counter
from functools import cache

from latency_tables.contract import NetworkSpec, OperationSpec, Work, sha256

SPACE = "nasbench201"
DIGEST = sha256("nasbench201: CIFAR-10, 16 channels, 5 cells in each of 3 stages; unused operations apart; 1")
INPUT = (3, 32, 32)
CELLS = 5
STAGES = ((16, 32), (32, 16), (64, 8))
"""Channels, and height and width, of each stage."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node, in the order of an architecture's name."""
OPERATIONS = {
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "avg_pool_3x3": "avg_pool",
    "skip_connect": "skip",
}
NONE = "none"
_NAME = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
_KERNELS = {"conv_1x1": 1, "conv_3x3": 9}


def network(name: str) -> NetworkSpec:
    """The network of an architecture as NAS-Bench-201 writes it. Raises ValueError."""
    match = _NAME.fullmatch(name)
    unknown = [choice for choice in match.groups() if choice not in (NONE, *OPERATIONS)] if match else []
    if not match or unknown:
        raise ValueError(
            f"network: {name!r} is no cell of NAS-Bench-201; write it like |avg_pool_3x3~0|+|none~0|skip_connect~1|+"
            f"|none~0|none~1|skip_connect~2|, with {', '.join((NONE, *OPERATIONS))}"
        )
    choices = match.groups()
    used = _used(choices)
    counts = Counter({_around(0): 1, _around(1): 1, _around(2): 1})
    for choice, is_used in zip(choices, used, strict=True):
        if choice != NONE:
            for stage in range(len(STAGES)):
                counts[operation(OPERATIONS[choice], stage, is_used)] += CELLS
    if not any(is_used and end == 3 for is_used, (_, end) in zip(used, EDGES, strict=True)):
        counts[operation("zeros", 0, True)] += 1
    return NetworkSpec.of(SPACE, DIGEST, name, INPUT, counts)


@cache
def operation(name: str, stage: int, used: bool) -> OperationSpec:
    """An edge of one cell. `zeros` is what a cell gives whose output hangs on no input."""
    channels, side = STAGES[stage]
    return OperationSpec(
        space=SPACE,
        space_digest=DIGEST,
        name=name,
        input_shapes=((channels, side, side),),
        params=(("used", used),),
    )


@cache
def _around(stage: int) -> OperationSpec:
    """What stands before a stage: the stem, or a residual block that halves the resolution."""
    if stage == 0:
        return OperationSpec(space=SPACE, space_digest=DIGEST, name="stem", input_shapes=(INPUT,))
    channels, side = STAGES[stage - 1]
    return OperationSpec(space=SPACE, space_digest=DIGEST, name="reduction", input_shapes=((channels, side, side),))


def work(spec: OperationSpec) -> Work:
    """By hand; BatchNorm and ReLU are passes of their own, as eager PyTorch executes them.

    A pooling is no multiply-add, but it computes: nine additions count as half as many.
    """
    channels, height, width = spec.input_shapes[0]
    pixels = height * width
    if spec.name == "stem":
        macs = 27 * 16 * pixels
        return Work(macs=macs, elements=(3 + 3 * 16) * pixels, weights=27 * 16, launches=2)
    if spec.name == "reduction":
        weights = (9 * 2 + 9 * 4 + 2) * channels**2
        return Work(macs=weights * pixels // 4, elements=8 * channels * pixels, weights=weights, launches=8)
    unused = not dict(spec.params)["used"]
    if spec.name in _KERNELS:
        weights = _KERNELS[spec.name] * channels**2
        return Work(macs=weights * pixels, elements=6 * channels * pixels, weights=weights, launches=3, unused=unused)
    if spec.name == "avg_pool":
        macs = 9 * channels * pixels // 2
        return Work(macs=macs, elements=2 * channels * pixels, weights=0, launches=1, unused=unused)
    return Work(macs=0, elements=0, weights=0, launches=0, unused=unused)


def _used(choices: tuple[str, ...]) -> list[bool]:
    """Whether each edge carries something from the input to the output."""
    reached, needed = {0}, {3}
    for (start, end), choice in zip(EDGES, choices, strict=True):
        if choice != NONE and start in reached:
            reached.add(end)
    for (start, end), choice in sorted(zip(EDGES, choices, strict=True), key=lambda edge: -edge[0][0]):
        if choice != NONE and end in needed:
            needed.add(start)
    return [
        choice != NONE and start in reached and end in needed
        for (start, end), choice in zip(EDGES, choices, strict=True)
    ]

"""DDNN: residual networks cut short. A sub-net keeps the first blocks of each stage, and the stem and head of all."""

from dataclasses import dataclass
from typing import NamedTuple

from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.ddnn.operations import DEFINITION
from lgcnet_search.space.graph import INPUT


@dataclass(frozen=True)
class Space:
    """The full net: `depths` blocks of `widths` channels per stage; stages but the first begin with stride 2.

    `large` inputs are halved twice by the stem, and shortcuts are projected. Raises ValueError naming field and value.
    """

    side: int = 32
    classes: int = 10
    widths: tuple[int, ...] = (16, 32, 64)
    depths: tuple[int, ...] = (9, 9, 9)
    bottlenecks: bool = False
    large: bool = False

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.widths) or min(self.depths) < 1:
            raise ValueError(f"depths: {self.depths} given, they take at least 1 for each of widths {self.widths}")

    def plan(self, choice: Choice = ()) -> Plan:
        """The sub-net of the first `choice` blocks of each stage; () is the full net. Raises ValueError."""
        depths = choice or self.depths
        if len(depths) != len(self.depths) or not all(
            1 <= depth <= most for depth, most in zip(depths, self.depths, strict=True)
        ):
            raise ValueError(f"choice: {depths} given, the full net has {self.depths} blocks and a stage at least 1")
        draft = Draft(DEFINITION, (3, self.side, self.side))
        stem = {"kernel": 7, "stride": 2, "pool": True} if self.large else {"kernel": 3}
        x = draft.add("stem", "conv", INPUT, out_channels=self.widths[0], **stem)
        for stage, (width, depth) in enumerate(zip(self.widths, depths, strict=True), start=1):
            for block in range(depth):
                # The first block of the first stage is its repeat: equal shapes have equal rows.
                stride = {"stride": 2} if stage > 1 and block == 0 else {}
                if self.bottlenecks:
                    x = draft.add(f"stage{stage}.block{block}", "bottleneck", x, width=width, **stride)
                else:
                    projected = {"projected": True} if self.large and stride else {}
                    params = {"out_channels": width, **stride, **projected}
                    x = draft.add(f"stage{stage}.block{block}", "basic_block", x, **params)
        logits = draft.add("head", "head", x, outputs=self.classes)
        return draft.plan([Exit(logits, None)])

    def maps(self, choice: Choice) -> tuple[str, ...]:
        """The last step of every stage, whose maps are distilled."""
        return tuple(f"stage{stage}.block{depth - 1}" for stage, depth in enumerate(choice or self.depths, start=1))


class Setting(NamedTuple):
    """A full net and the sub-nets that share its weights, deepest first."""

    space: Space
    subnets: tuple[Choice, ...]

    @property
    def nets(self) -> tuple[Choice, ...]:
        return (self.space.depths, *self.subnets)


_LARGE = {"side": 224, "classes": 1000, "widths": (64, 128, 256, 512), "large": True}

SETTINGS = {
    "demo": Setting(Space(widths=(8, 16, 32), depths=(3, 3, 3)), ((2, 2, 2), (1, 1, 1))),
    "cifar10": Setting(Space(), ((7, 7, 7), (5, 5, 5), (3, 3, 3))),
    "cifar100": Setting(Space(classes=100), ((7, 7, 7), (5, 5, 5), (3, 3, 3))),
    "resnet34": Setting(Space(**_LARGE, depths=(3, 4, 6, 3)), ((2, 2, 2, 2),)),  # type: ignore[arg-type]
    "resnet101": Setting(
        Space(**_LARGE, depths=(3, 4, 23, 3), bottlenecks=True),  # type: ignore[arg-type]
        ((3, 4, 6, 3), (2, 2, 2, 2)),
    ),
}
"""By name. Which sub-nets the paper takes is not known; these are of the depths that it speaks of."""

"""DANCE: a segmentation network at several resolutions, of which an image's complexity takes one, and its widths."""

from dataclasses import dataclass

from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.dance.operations import DEFINITION
from lgcnet_search.space.graph import INPUT

RATIOS = (1.0, 0.875, 0.75, 0.625, 0.5)
"""Of the sides of the image that the network sees, for the most complex images first."""
BRANCHES = {"branch1": 1, "branch2": 2, "branch4": 4, "branch8": 8}
"""And their dilations; the first is 1×1."""
LAYERS = ("conv1", "conv2", "conv3", "conv4", "context", *BRANCHES, "merge")
"""Those with BatchNorm, whose channels may be removed."""
BEFORE = {
    "conv2": ("conv1",),
    "conv3": ("conv2",),
    "conv4": ("conv3",),
    "context": ("conv4",),
    **dict.fromkeys(BRANCHES, ("context",)),
    "merge": tuple(BRANCHES),
    "logits": ("merge",),
}
"""Whose channels a layer reads."""


@dataclass(frozen=True)
class Space:
    """`widths` are the channels of LAYERS. Raises ValueError naming field and value."""

    height: int = 360
    width: int = 480
    classes: int = 11
    widths: tuple[int, ...] = (16, 32, 64, 64, 64, 32, 32, 32, 32, 64)
    ratios: tuple[float, ...] = RATIOS

    def __post_init__(self) -> None:
        if len(self.widths) != len(LAYERS) or any(width < 1 for width in self.widths):
            raise ValueError(f"widths: {self.widths} given, they are channels of {', '.join(LAYERS)}")
        if not self.ratios or any(not 0 < ratio <= 1 for ratio in self.ratios):
            raise ValueError(f"ratios: {self.ratios} given, they take shares of the sides, up to 1")

    def size(self, ratio: float) -> tuple[int, int]:
        """Height and width that the network sees."""
        return round(ratio * self.height), round(ratio * self.width)

    def plan(self, choice: Choice = ()) -> Plan:
        """The network at ratio number choice[0]; with no choice at ratio 1, and nothing decides."""
        if len(choice) > 1 or any(not 0 <= ratio < len(self.ratios) for ratio in choice):
            raise ValueError(f"choice: {choice} given, it takes one of ratios 0 to {len(self.ratios) - 1}, or nothing")
        width = dict(zip(LAYERS, self.widths, strict=True))
        draft = Draft(DEFINITION, (3, self.height, self.width))
        deciding = tuple(draft.add("complexity", "complexity", INPUT) for _ in choice)
        height, breadth = self.size(self.ratios[choice[0]] if choice else 1.0)
        x = INPUT
        if (height, breadth) != (self.height, self.width):
            x = draft.add("downsample", "downsample", INPUT, height=height, width=breadth)
        for name in ("conv1", "conv2", "conv3"):
            x = draft.add(name, "conv", x, kernel=3, out_channels=width[name], stride=2)
        x = draft.add("conv4", "conv", x, kernel=3, out_channels=width["conv4"])
        x = draft.add("context", "dil_conv", x, out_channels=width["context"], dilation=2)
        branches = [
            draft.add(name, "conv", x, kernel=1, out_channels=width[name])
            if dilation == 1
            else draft.add(name, "dil_conv", x, out_channels=width[name], dilation=dilation)
            for name, dilation in BRANCHES.items()
        ]
        x = draft.add("concat", "concat", *branches)
        x = draft.add("merge", "conv", x, kernel=1, out_channels=width["merge"])
        x = draft.add("logits", "logits", x, classes=self.classes)
        x = draft.add("resize", "resize", x, height=self.height, width=self.width)
        return draft.plan([Exit(x, None)], deciding)


SETTINGS = {"camvid": Space(), "demo": Space(height=180, width=240, ratios=(1.0, 0.75, 0.5))}

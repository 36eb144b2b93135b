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

    def plan(self, choice: Choice = (0,)) -> Plan:
        """Of the network at ratio number choice[0]."""
        if len(choice) != 1 or not 0 <= choice[0] < len(self.ratios):
            raise ValueError(f"choice: {choice} given, it takes one of ratios 0 to {len(self.ratios) - 1}")
        width = dict(zip(LAYERS, self.widths, strict=True))
        draft = Draft(DEFINITION, (3, self.height, self.width))
        complexity = draft.add("complexity", "complexity", INPUT)
        height, breadth = self.size(self.ratios[choice[0]])
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
        return draft.plan([Exit(x, None)], (complexity,))


SETTINGS = {"camvid": Space(), "demo": Space(height=180, width=240)}

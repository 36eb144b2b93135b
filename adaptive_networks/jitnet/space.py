"""JITNet: an encoder and decoder of few channels, as wide as a multiplier says."""

from dataclasses import dataclass, replace

from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.jitnet.operations import DEFINITION
from lgcnet_search.space.graph import INPUT


@dataclass(frozen=True)
class Space:
    """`multiplier` is of all widths (the authors' code). Raises ValueError naming field and value."""

    height: int = 720
    width: int = 1280
    classes: int = 23
    multiplier: float = 0.5

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise ValueError(f"height, width: {self.height}×{self.width} given, five halvings take 32 pixels a side")
        if self.multiplier <= 0:
            raise ValueError(f"multiplier: {self.multiplier} is not above 0")

    @property
    def teacher(self) -> "Space":
        """Four times as wide (decided here)."""
        return replace(self, multiplier=4 * self.multiplier)

    def plan(self, choice: Choice = ()) -> Plan:
        if choice:
            raise ValueError(f"choice: {choice} given, there is nothing to choose")
        least = 8 if self.classes <= 8 else 16 if self.classes <= 16 else 32

        def widths(*channels: int, least: int = 8) -> list[int]:
            return [max(int(self.multiplier * each), least) for each in channels]

        draft = Draft(DEFINITION, (3, self.height, self.width))
        x = INPUT
        stem = []
        for number, width in enumerate(widths(16, 64)):
            stem.append(x := draft.add(f"conv{number + 1}", "conv", x, out_channels=width, stride=2))
        encoder = []
        for number, width in enumerate(widths(128, 128, 256)):
            encoder.append(x := draft.add(f"encoder{number + 1}", "jit_block", x, out_channels=width, stride=2))
        for number, width in zip((3, 2, 1), widths(256, 128, 64, least=least), strict=True):
            x = draft.add(f"decoder{number}", "jit_block", x, out_channels=width)
            if number > 1:
                x = draft.add(f"join{number - 1}", "resize_concat", x, encoder[number - 2])
        for name, at in (("resize2", stem[1]), ("resize1", stem[0])):
            x = self._resized(draft, name, x, draft.shape(at)[1:])
        for number, width in enumerate(widths(64, 16, least=least)):
            x = draft.add(f"last{number + 1}", "conv", x, out_channels=width)
        x = self._resized(draft, "resize0", x, (self.height, self.width))
        logits = draft.add("logits", "logits", x, classes=self.classes)
        return draft.plan([Exit(logits, None)], (draft.add("classes", "classes", logits),))

    def _resized(self, draft: Draft, name: str, x: str, size: tuple[int, ...]) -> str:
        return draft.add(name, "resize", x, height=size[0], width=size[1], corners=True)


SETTINGS = {
    "demo": Space(192, 256, 11),
    "streets": Space(193, 385, 19),
    "camvid": Space(360, 480, 11),
    "paper": Space(),
}
"""By name. The classes are the stream's."""

"""BasisNet: a preview of the image answers, or says how the last blocks' kernels are mixed for this image.

Which blocks are mixed, one softmax for each of them, and the preview's side are decided here; MACs are the paper's.
"""

from dataclasses import dataclass
from typing import NamedTuple

from adaptive_networks.basisnet.operations import DEFINITION
from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from lgcnet_search.space.graph import INPUT

STATIC: Choice = (1,)
"""The specialist alone, with kernels of its own: what BasisNet is compared with."""


class Block(NamedTuple):
    """An inverted residual."""

    kernel: int
    hidden: int
    out_channels: int
    se: bool = False
    act: str = "relu"
    stride: int = 1


class Net(NamedTuple):
    """Stem of 3×3 (channels, stride, activation), blocks, 1×1 of `last` channels (0: none), linear of `hidden`."""

    stem: tuple[int, int, str]
    blocks: tuple[Block, ...]
    last: int
    hidden: int


_ACTS = {"R": "relu", "H": "hardswish"}


def _blocks(table: str) -> tuple[Block, ...]:
    """A line for each, as the paper's tables have it: kernel, hidden, out, SE or –, activation, stride; × how often."""
    blocks: list[Block] = []
    for line in table.split(","):
        kernel, hidden, out, se, act, stride, *times = line.split()
        block = Block(int(kernel), int(hidden), int(out), se == "SE", _ACTS[act], int(stride))
        blocks += [block] * int((times or ["×1"])[0][1:])
    return tuple(blocks)


_LARGE = _blocks(
    "3 16 16 – R 1, 3 64 24 – R 2, 3 72 24 – R 1, 5 72 40 SE R 2, 5 120 40 SE R 1 ×2, 3 240 80 – H 2, 3 200 80 – H 1, "
    "3 184 80 – H 1 ×2, 3 480 112 SE H 1, 3 672 112 SE H 1, 5 672 160 SE H 2, 5 960 160 SE H 1 ×2"
)
_SMALL = _blocks(
    "3 16 16 SE R 2, 3 72 24 – R 2, 3 88 24 – R 1, 5 96 40 SE H 2, 5 240 40 SE H 1 ×2, 5 120 48 SE H 1, "
    "5 144 48 SE H 1, 5 288 96 SE H 2, 5 576 96 SE H 1 ×2"
)
_TINY = _blocks("3 16 16 – R 1, 3 48 24 – R 2, 3 72 24 – R 1, 3 72 40 – R 2, 3 160 40 – R 1, 3 160 64 – R 1")
_TINY_PREVIEW = _blocks("3 8 8 – R 1, 3 24 16 – R 2, 3 48 24 – R 2")
NETS = {
    "mobilenetv3": (Net((16, 2, "hardswish"), _SMALL, 576, 1024), Net((16, 2, "hardswish"), _LARGE, 960, 1280)),
    "tiny": (Net((8, 1, "relu"), _TINY_PREVIEW, 0, 64), Net((16, 1, "relu"), _TINY, 128, 0)),
}
"""Preview and specialist, by name: MobileNetV3-Small and -Large (Howard et al. 2019), and the demonstration's."""


@dataclass(frozen=True)
class Space:
    """`bases` kernels for each of the last `mixed` blocks. Raises ValueError naming field and value."""

    net: str = "tiny"
    side: int = 32
    preview_side: int = 16
    classes: int = 10
    bases: int = 4
    mixed: int = 3

    def __post_init__(self) -> None:
        if self.net not in NETS:
            raise ValueError(f"net: {self.net!r} is none of {', '.join(NETS)}")
        if self.preview_side < 1 or self.side % self.preview_side:
            raise ValueError(f"preview_side: {self.preview_side} does not divide side {self.side}")
        blocks = len(NETS[self.net][1].blocks)
        if not 1 <= self.mixed < blocks:
            raise ValueError(f"mixed: {self.mixed} is none of 1 to {blocks - 1}")
        if self.bases < 1:
            raise ValueError(f"bases: {self.bases} is not at least 1")

    def plan(self, choice: Choice = ()) -> Plan:
        """() is BasisNet with two exits, STATIC the specialist alone. Raises ValueError."""
        if choice not in ((), STATIC):
            raise ValueError(f"choice: {choice} is neither () nor {STATIC}")
        preview, specialist = NETS[self.net]
        draft = Draft(DEFINITION, (3, self.side, self.side))
        if choice == STATIC:
            x = self._trunk(draft, "specialist", INPUT, specialist, specialist.blocks)
            return draft.plan([Exit(self._classifier(draft, x, specialist), None)])
        x, factor = INPUT, self.side // self.preview_side
        if factor > 1:
            x = draft.add("preview.shrink", "shrink", x, factor=factor)
        x = self._last(draft, "preview", self._trunk(draft, "preview", x, preview, preview.blocks), preview)
        features = draft.add("preview.features", "features", x, outputs=preview.hidden)
        answer = draft.add("preview.logits", "logits", features, outputs=self.classes)
        gate = draft.add("preview.gate", "gate", answer)
        x = self._trunk(draft, "specialist", INPUT, specialist, specialist.blocks[: -self.mixed])
        for number, block in enumerate(specialist.blocks[-self.mixed :]):
            # Of its own for each block, and executed only where the preview is not sure.
            mixture = draft.add(f"specialist.coefficients{number}", "coefficients", features, bases=self.bases)
            x = _add(draft, f"specialist.mixed{number}", "mixed_residual", block, x, mixture)
        return draft.plan([Exit(answer, gate), Exit(self._classifier(draft, x, specialist), None)])

    def _trunk(self, draft: Draft, name: str, x: str, net: Net, blocks: tuple[Block, ...]) -> str:
        channels, stride, act = net.stem
        x = draft.add(f"{name}.stem", "conv", x, kernel=3, out_channels=channels, stride=stride, act=act)
        for number, block in enumerate(blocks):
            x = _add(draft, f"{name}.block{number}", "inverted_residual", block, x)
        return x

    def _last(self, draft: Draft, name: str, x: str, net: Net) -> str:
        if not net.last:
            return x
        return draft.add(f"{name}.last", "conv", x, kernel=1, out_channels=net.last, act=net.stem[2])

    def _classifier(self, draft: Draft, x: str, net: Net) -> str:
        x = self._last(draft, "specialist", x, net)
        return draft.add("specialist.classifier", "classifier", x, outputs=self.classes, hidden=net.hidden)


def _add(draft: Draft, name: str, kind: str, block: Block, *inputs: str) -> str:
    params = {**block._asdict()}
    kernel = params.pop("kernel")
    return draft.add(name, f"{kind}_k{kernel}", *inputs, **params)


SETTINGS = {
    "demo": Space(),
    "imagenet": Space("mobilenetv3", side=224, preview_side=224, classes=1000, bases=16, mixed=5),
}
"""By name: the demonstration's, and the paper's."""

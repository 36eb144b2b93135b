"""RANet: sub-networks of rising resolution, each reusing the coarser one's features; exits at the lowest resolution."""

from dataclasses import dataclass
from typing import NamedTuple

from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.ranet.operations import DEFINITION
from lgcnet_search.space.graph import INPUT


class _SubNetwork(NamedTuple):
    """What a finer sub-network reuses: of each block its input and what each layer gives."""

    growth: int
    width: int
    blocks: list[list[str]]


@dataclass(frozen=True)
class Space:
    """A setting in the words of the authors' code; `scales` and `factors` are of the sub-networks, coarse first.

    `factors` multiply `channels` and `growth`, and the bottleneck's width. `head` is the heads' channels, 0 for those
    that come in. `large` inputs are halved twice by the first layer. Raises ValueError naming field and value.
    """

    side: int = 32
    classes: int = 10
    channels: int = 16
    growth: int = 6
    scales: tuple[int, ...] = (1, 2, 3, 3)
    factors: tuple[int, ...] = (4, 2, 1, 1)
    blocks: int = 2
    block_step: int = 2
    layers: int = 4
    head: int = 128
    large: bool = False

    def __post_init__(self) -> None:
        if len(self.scales) != len(self.factors) or not self.scales:
            raise ValueError(f"factors: {self.factors} given, they take one for each of scales {self.scales}")
        if sorted(self.scales) != list(self.scales) or self.scales[0] < 1:
            raise ValueError(f"scales: {self.scales} do not rise from 1")
        smallest = self.side // (4 if self.large else 1) // 2 ** (self.scales[-1] - 1)
        if smallest < 4:
            raise ValueError(f"side: {self.side} leaves {smallest} pixels at the lowest resolution, heads take 4")

    def plan(self, choice: Choice = ()) -> Plan:
        if choice:
            raise ValueError(f"choice: {choice} given, there is nothing to choose")
        draft = Draft(DEFINITION, (3, self.side, self.side))
        base = self._base(draft)
        exits: list[Exit] = []
        coarser: _SubNetwork | None = None
        for number in range(len(self.scales)):
            coarser = self._sub_network(draft, number, base[number], coarser, exits)
        return draft.plan(exits)

    def _base(self, draft: Draft) -> list[str]:
        """The input of every sub-network, coarse first. The finest one's is made first."""
        name, features = INPUT, []
        finest_first = list(zip(self.scales, self.factors, strict=True))[::-1]
        for number, (scale, factor) in enumerate(finest_first):
            params = {"kernel": 3, "out_channels": self.channels * factor}
            if number == 0 and self.large:
                params |= {"kernel": 7, "stride": 2, "bias": True, "pool": True}
            elif number and scale < finest_first[number - 1][0]:
                params |= {"stride": 2}
            name = draft.add(f"base{number}", "conv", name, **params)
            features.append(name)
        return features[::-1]

    def _sub_network(
        self, draft: Draft, number: int, x: str, coarser: _SubNetwork | None, exits: list[Exit]
    ) -> _SubNetwork:
        scale, factor = self.scales[number], self.factors[number]
        ends = [0, *(self.blocks + before * self.block_step for before in range(number + 1))]
        count = ends[-1]
        growth = self.growth * factor
        transitions = {part * count // scale for part in range(1, scale)}
        downs = set(ends[:-1][1 - scale :]) if scale > 1 else set()
        made = _SubNetwork(growth, factor, [])
        for block in range(1, count + 1):
            prefix = f"sub{number}.block{block}"
            features = [x]
            fused = coarser.blocks[block - 1] if coarser and block <= ends[-2] else None
            for layer in range(self.layers):
                name, inner = f"{prefix}.layer{layer}", min(draft.shape(x)[0], factor * growth)
                if coarser is None or fused is None:
                    x = draft.add(name, "dense_layer", x, growth=growth, inner=inner)
                else:
                    up = growth // 4
                    x = draft.add(
                        name,
                        "fusion_layer",
                        x,
                        fused[layer],
                        growth=growth,
                        up=up,
                        inner=min(draft.shape(x)[0], factor * (growth - up)),
                        inner_up=min(draft.shape(fused[layer])[0], coarser.width * up),
                        stride=2 if block in downs and layer == self.layers - 1 else 1,
                    )
                features.append(x)
            made.blocks.append(features)
            if fused is not None:
                x = draft.add(f"{prefix}.end", "fusion_end", x, fused[-1], out_channels=draft.shape(x)[0] // 4)
            if block in transitions:
                x = draft.add(f"{prefix}.transition", "transition", x, out_channels=draft.shape(x)[0] // 2)
            if fused is None:
                channels = self.head or draft.shape(x)[0]
                logits = draft.add(f"{prefix}.head", "head", x, channels=channels, classes=self.classes)
                is_last = number == len(self.scales) - 1 and block == count
                exits.append(Exit(logits, None if is_last else draft.add(f"{prefix}.gate", "gate", logits)))
        return made


SETTINGS = {
    "demo": Space(scales=(1, 2, 3), factors=(4, 2, 1), blocks=1, block_step=1, layers=2),
    "cifar10": Space(),
    "cifar100": Space(classes=100),
    "imagenet": Space(
        side=224,
        classes=1000,
        channels=64,
        growth=16,
        scales=(1, 2, 3, 4),
        factors=(4, 2, 2, 1),
        layers=8,
        head=0,
        large=True,
    ),
}
"""By name: the demonstration's, and those of the authors' results."""

"""ViT-ResNAS: transformers in three stages; widths, heads, hidden units and the number of blocks are chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

from adaptive_networks.core.genes import Genes
from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.vit_resnas.operations import DEFINITION
from latency_tables.contract import OperationSpec
from lgcnet_search.space.graph import INPUT

EMBED = "embed"
HEAD = "head"
"""The first step and the last one."""

Stages = tuple[tuple[int, ...], ...]
"""Values of each stage."""


@dataclass(frozen=True)
class Space(Genes):
    """What each stage may have; `optional` are the blocks of a stage that may be missing, counted from 0.

    Genes are, for each stage, its width, and for each of its blocks: whether it is there (1) where it may be missing,
    its heads, its hidden units. Raises ValueError naming field and value.
    """

    side: int
    classes: int
    stem: int
    patch: int
    widths: Stages
    heads: Stages
    head_widths: tuple[int, ...]
    hidden: Stages
    blocks: int
    optional: tuple[int, ...]

    def __post_init__(self) -> None:
        stages = len(self.widths)
        for name in ("heads", "head_widths", "hidden"):
            if len(getattr(self, name)) != stages:
                raise ValueError(f"{name}: {getattr(self, name)} given, widths {self.widths} have {stages} stages")
        step = 2 * self.patch * 2 ** (stages - 1)
        if self.side % step:
            raise ValueError(f"side: {self.side} is no multiple of {step}, so patches cannot be halved between stages")

    @cached_property
    def genes(self) -> Mapping[str, tuple[int, ...]]:
        genes: dict[str, tuple[int, ...]] = {}
        for stage, widths in enumerate(self.widths):
            genes[f"s{stage}.width"] = widths
            for block in range(self.blocks):
                prefix = f"s{stage}.b{block}"
                genes[f"{prefix}.there"] = (0, 1) if block in self.optional else (1,)
                genes[f"{prefix}.heads"] = self.heads[stage]
                genes[f"{prefix}.hidden"] = self.hidden[stage]
        return genes

    def acts(self, gene: str, values: Mapping[str, int]) -> bool:
        block, _, kind = gene.rpartition(".")
        return kind in ("width", "there") or values[f"{block}.there"] == 1

    def plan(self, choice: Choice = ()) -> Plan:
        """The member of a choice; () is the largest. Raises ValueError."""
        values = self.values(choice or self.largest)
        draft = Draft(DEFINITION, (3, self.side, self.side))
        x = draft.add(EMBED, "patch_embed", INPUT, stem=self.stem, patch=self.patch, channels=values["s0.width"])
        for stage, head_width in enumerate(self.head_widths):
            if stage:
                name = f"stage{stage}.reduction"
                x = draft.add(name, "spatial_reduction", x, out_channels=values[f"s{stage}.width"])
            for block in range(self.blocks):
                gene, name = f"s{stage}.b{block}", f"stage{stage}.block{block}"
                if values[f"{gene}.there"]:
                    heads, hidden = values[f"{gene}.heads"], values[f"{gene}.hidden"]
                    x = draft.add(f"{name}.attention", "attention", x, heads=heads, head_width=head_width)
                    x = draft.add(f"{name}.mlp", "mlp", x, hidden=hidden)
        return draft.plan([Exit(draft.add(HEAD, "head", x, classes=self.classes), None)])

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """The rows of all members: what a block costs follows from its stage's width and its own genes."""
        found: dict[OperationSpec, None] = {}
        widths, kinds = (range(max(map(len, options))) for options in (self.widths, (*self.heads, *self.hidden)))
        # Stage by stage one width, then the other: every pair of them meets.
        for even, odd, index in product(widths, widths, kinds):
            chosen = []
            for name, values in self.genes.items():
                stage, _, gene = name.partition(".")
                wanted = (even, odd)[int(stage[1:]) % 2] if gene == "width" else index
                chosen.append(min(wanted, len(values) - 1))
            found.update(dict.fromkeys(self.plan(tuple(chosen)).operations))
        return tuple(found)


class Network(NamedTuple):
    """A member of a space that is trained alone."""

    space: Space
    choice: Choice


def network(space: Space, widths: tuple[int, ...], heads: Stages, hidden: Stages) -> Network:
    """The member with these values; of the blocks that may be missing, the last ones are."""
    values = {f"s{stage}.width": width for stage, width in enumerate(widths)}
    for stage, blocks in enumerate(zip(heads, hidden, strict=True)):
        missing = space.optional[len(space.optional) - space.blocks + len(heads[stage]) :]
        there = [f"s{stage}.b{block}" for block in range(space.blocks) if block not in missing]
        for gene, own_heads, own_hidden in zip(there, *blocks, strict=True):
            values |= {f"{gene}.there": 1, f"{gene}.heads": own_heads, f"{gene}.hidden": own_hidden}
    return Network(space, tuple(options.index(values.get(name, options[0])) for name, options in space.genes.items()))


def searched(
    widths: tuple[int, ...], heads: tuple[int, ...], head_widths: tuple[int, ...], blocks: int, **fields: int
) -> Space:
    """As the authors': widths double twice, heads once; 7 sizes of hidden layers, from 1.5 to 3 times the width."""
    doubled = [tuple(2**stage * width for width in widths) for stage in range(3)]
    return Space(
        **fields,
        widths=tuple(doubled),
        heads=(heads, *[tuple(2 * count for count in heads)] * 2),
        head_widths=head_widths,
        hidden=tuple(tuple(3 * options[-1] * part // 12 for part in range(6, 13)) for options in doubled),
        blocks=blocks,
        optional=tuple(range(1, blocks, 2)),
    )


DEMO = searched((40, 44, 48, 56, 64), (3, 4, 5, 6), (8, 12, 16), 2, side=32, classes=10, stem=12, patch=2)
_LARGE = {"side": 224, "classes": 1000, "stem": 24, "patch": 7}
TINY = searched((160, 176, 192, 224, 256), (3, 4, 5, 6), (32, 48, 64), 6, **_LARGE)
SMALL = searched((200, 220, 240, 280, 320), (5, 6, 7, 8), (32, 48, 64), 7, **_LARGE)
_BY_HAND = Space(
    **_LARGE,
    widths=((192,), (384,), (768,)),
    heads=((3,), (6,), (12,)),
    head_widths=(64, 64, 64),
    hidden=((768,), (1536,), (3072,)),
    blocks=4,
    optional=(),
)

SETTINGS: dict[str, Space | Network] = {
    "demo": DEMO,
    "tiny-space": TINY,
    "small-space": SMALL,
    "res-tiny": Network(_BY_HAND, _BY_HAND.largest),
    "tiny": network(
        TINY,
        (176, 352, 704),
        ((3, 3, 3, 4, 4), (10, 8, 8, 8, 10, 10), (10, 10, 10, 8, 8)),
        ((704, 576, 640, 576, 704), (1408, 1408, 1280, 1408, 1280, 1024), (2560, 1792, 2816, 2816, 2560)),
    ),
    "small": network(
        SMALL,
        (220, 440, 880),
        ((5, 5, 7, 5, 5, 5), (10, 10, 10, 10, 12, 12), (16, 12, 16, 12, 14)),
        ((880, 880, 800, 720, 720, 720), (1760, 1440, 1920, 1600, 1600, 1440), (3200, 3200, 2880, 2240, 2560)),
    ),
    "medium": network(
        SMALL,
        (240, 640, 880),
        ((7, 6, 7, 8, 7, 8, 6), (10, 14, 14, 16, 14, 16, 16), (16, 10, 16, 12, 16, 14)),
        (
            (960, 960, 800, 960, 880, 880, 800),
            (1120, 1760, 1920, 1760, 1440, 1760, 1920),
            (3200, 3840, 3840, 3200, 3520, 3520),
        ),
    ),
}
"""By name: spaces to search in, and networks of the authors' code, found or (res-tiny) made by hand."""

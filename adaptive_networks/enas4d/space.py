"""ENAS4D: networks in stages of width, with an exit each; resolution, depths, kernels and expansions are chosen.

A reading of the paper's abstract and of once-for-all networks: stages are slices of width, each as deep as the network.
Stage t computes its features of a layer from those of stages 1 to t of the layer before, so paths nest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from adaptive_networks.core.genes import Genes
from adaptive_networks.core.plan import Draft, Exit, Plan
from adaptive_networks.core.plugin import Choice
from adaptive_networks.enas4d.operations import DEFINITION
from latency_tables.contract import OperationSpec
from lgcnet_search.space.graph import INPUT


@dataclass(frozen=True)
class Space(Genes):
    """`widths` hold, for each unit, the channels of every stage. Raises ValueError naming field and value.

    A choice has an index for each gene, in the order of `genes`: the input's side; for each stage and unit its depth;
    for each stage, unit and layer its kernel and its expansion.
    """

    side: int = 32
    sides: tuple[int, ...] = (24, 32)
    classes: int = 10
    stem: tuple[int, ...] = (8, 8)
    stem_stride: int = 1
    strides: tuple[int, ...] = (1, 2, 2)
    widths: tuple[tuple[int, ...], ...] = ((8, 8), (16, 16), (32, 32))
    depths: tuple[int, ...] = (1, 2)
    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[int, ...] = (2, 3)
    head: int = 64

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides) or any(len(unit) != len(self.stem) for unit in self.widths):
            raise ValueError(f"widths: {self.widths} do not have {len(self.stem)} stages for each of {self.strides}")

    @cached_property
    def genes(self) -> Mapping[str, tuple[int, ...]]:
        genes: dict[str, tuple[int, ...]] = {"side": self.sides}
        stages, units = range(len(self.stem)), range(len(self.strides))
        genes.update({f"s{stage}.u{unit}.depth": self.depths for stage, unit in product(stages, units)})
        for stage, unit, layer in product(stages, units, range(max(self.depths))):
            genes[f"s{stage}.u{unit}.l{layer}.kernel"] = self.kernels
            genes[f"s{stage}.u{unit}.l{layer}.expansion"] = self.expansions
        return genes

    def acts(self, gene: str, values: Mapping[str, int]) -> bool:
        """Those of layers that are not there do not."""
        parts = gene.split(".")
        return len(parts) < 4 or int(parts[2][1:]) < values[f"{parts[0]}.{parts[1]}.depth"]

    def plan(self, choice: Choice = ()) -> Plan:
        """The member of a choice; () is the largest. Raises ValueError."""
        values = self.values(choice or self.largest)
        draft = Draft(DEFINITION, (3, self.side, self.side))
        image = INPUT
        if values["side"] != self.side:
            image = draft.add("resize", "resize", INPUT, side=values["side"])
        stages: list[list[list[str]]] = []
        exits: list[Exit] = []
        for stage, channels in enumerate(self.stem):
            stem = draft.add(
                f"stage{stage}.stem", "conv", image, kernel=3, out_channels=channels, stride=self.stem_stride
            )
            stages.append([[stem]])
            for unit, stride in enumerate(self.strides):
                features = [stages[stage][-1][-1]]
                for layer in range(values[f"s{stage}.u{unit}.depth"]):
                    # An earlier stage with fewer layers in this unit hands its last features on.
                    inputs = [earlier[unit + 1][min(layer, len(earlier[unit + 1]) - 1)] for earlier in stages[:stage]]
                    prefix, width = f"s{stage}.u{unit}.l{layer}", self.widths[unit][stage]
                    features.append(
                        draft.add(
                            f"stage{stage}.unit{unit}.layer{layer}",
                            f"stage_block_k{values[f'{prefix}.kernel']}",
                            *inputs,
                            features[-1],
                            hidden=width * values[f"{prefix}.expansion"],
                            out_channels=width,
                            stride=stride if layer == 0 else 1,
                        )
                    )
                stages[stage].append(features)
            ends = [earlier[-1][-1] for earlier in stages]
            logits = draft.add(f"stage{stage}.head", "head", *ends, channels=self.head, classes=self.classes)
            gate = f"stage{stage}.gate" if stage < len(self.stem) - 1 else None
            exits.append(Exit(logits, gate and draft.add(gate, "gate", logits)))
        return draft.plan(exits)

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """The rows of all members: sizes follow from kernel, expansion and side, whatever else is chosen."""
        found: dict[OperationSpec, None] = {}
        for side, kernel, expansion in product(*(range(len(self.genes[name])) for name in self._kinds)):
            indices = {"side": side, "depth": len(self.depths) - 1, "kernel": kernel, "expansion": expansion}
            choice = tuple(indices[name.rpartition(".")[2]] for name in self.genes)
            found.update(dict.fromkeys(self.plan(choice).operations))
        return tuple(found)

    @property
    def _kinds(self) -> tuple[str, str, str]:
        return "side", "s0.u0.l0.kernel", "s0.u0.l0.expansion"


SETTINGS = {
    "demo": Space(),
    "imagenet": Space(
        side=224,
        sides=(160, 176, 192, 208, 224),
        classes=1000,
        stem=(8, 8, 16),
        stem_stride=2,
        strides=(2, 2, 2, 1, 2),
        widths=((8, 8, 8), (8, 8, 24), (16, 24, 40), (24, 32, 56), (40, 40, 80)),
        depths=(2, 3, 4),
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        head=960,
    ),
}
"""By name. Both are decided here: widths of once-for-all's MobileNetV3 cut to ¼, ¼, ½ for the large one."""

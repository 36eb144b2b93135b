"""Weights in files that say whose they are: readable by torch.load, and checked before they are used."""

import hashlib
import io
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from latency_tables.whole_files import write_whole
from lgcnet_search.errors import Refused
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.fold import deploy
from lgcnet_search.space.genotype import Genotype, GenotypeError
from lgcnet_search.space.network import DerivedNetwork, StepNetwork

Extent = Literal["backbone", "network"]
_MEMBERS = {"genotype", "definition", "part", "folded", "state_dict", "sha256"}
_BACKBONE = ("stem.", "cell")
_HEAD = "head."


class WeightsError(Refused):
    """Weights that cannot be used; the message says why, and the way out."""


@dataclass(frozen=True)
class Weights:
    """The state of a network, or of its backbone alone, with the genotype that it belongs to.

    `folded`: the deployed form, BatchNorm folded into the convolutions, for inference only.
    """

    genotype: Genotype
    state: Mapping[str, Tensor]
    part: Extent = "network"
    folded: bool = False

    def save(self, path: Path) -> None:
        """Write genotype (JSON), definition, part, folded, state_dict and sha256 as a whole file or none."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.state.items()}
        content = {
            "genotype": self.genotype.to_json(),
            "definition": space_digest(),
            "part": self.part,
            "folded": self.folded,
            "state_dict": state,
            "sha256": _sha256(self.genotype.to_json(), state),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_whole(path, buffer.getbuffer())

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """Read what `save` wrote. Raises WeightsError, OSError."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            if _is_genotype(path):
                raise WeightsError(
                    f"{path} is a genotype, which has no weights; give the weights.pt that finetune makes of it"
                ) from error
            raise WeightsError(f"{path} is damaged or holds no weights; copy it again or train again") from error
        if not isinstance(content, dict) or content.keys() != _MEMBERS or content["part"] not in get_args(Extent):
            raise WeightsError(f"{path} is no weights file of lgcnet-search; give a weights.pt")
        if content["sha256"] != _sha256(content["genotype"], content["state_dict"]):
            raise WeightsError(f"{path} is damaged: its content has another digest; copy it again or train again")
        if content["definition"] != space_digest():
            raise WeightsError(
                f"{path} was trained with definition {content['definition'][:12]}… of the operations, here they are "
                f"{space_digest()[:12]}…; train again, or use the version that trained it"
            )
        try:
            genotype = Genotype.from_json(content["genotype"])
        except GenotypeError as error:
            raise WeightsError(f"{path}: {error}; train again") from error
        return cls(genotype, content["state_dict"], content["part"], content["folded"])

    def at(self, height: int, width: int) -> "Weights":
        """The same for another input size."""
        space = replace(self.genotype.space, height=height, width=width)
        return replace(self, genotype=self.genotype.at(space))

    def network(self) -> DerivedNetwork:
        """The network in evaluation mode, deployed where the weights are. Raises WeightsError for a backbone."""
        if self.part != "network":
            raise WeightsError("these are weights of a backbone alone; finetune it first: lgcnet-search finetune")
        network = DerivedNetwork(self.genotype).eval()
        if self.folded:
            deploy(network)
        network.load_state_dict(dict(self.state))
        return network

    def initialize(self, network: StepNetwork) -> None:
        """Start a network from these weights, as far as both have the same parts.

        A backbone leaves fusion cell and head as they are; a network of other classes leaves the head.
        Raises WeightsError naming what differs.
        """
        if self.folded:
            raise WeightsError(
                "these weights are folded for deployment; train from a weights.pt of pretrain or finetune"
            )
        self._require(network.genotype)
        own = network.state_dict()
        prefixes: tuple[str, ...] = _BACKBONE if self.part == "backbone" else (*_BACKBONE, "fusion.", _HEAD)
        if self.genotype.space.classes != network.genotype.space.classes:
            prefixes = tuple(prefix for prefix in prefixes if prefix != _HEAD)
        names = [name for name in own if name.startswith(prefixes)]
        missing = [name for name in names if name not in self.state]
        if missing:
            raise WeightsError(f"weights: {missing[0]} and {len(missing) - 1} others are missing; train again")
        network.load_state_dict({**own, **{name: self.state[name] for name in names}})

    def _require(self, genotype: Genotype) -> None:
        ours, theirs = (replace(owner.space, height=769, width=1537, classes=19) for owner in (genotype, self.genotype))
        if ours != theirs:
            raise WeightsError(f"weights: their space is {theirs}, not {ours}; give weights of this genotype")
        choices = self.genotype.choices
        differences = [
            f"{edge} is {choices[edge]} there, {name} here"
            for edge, name in genotype.choices.items()
            if choices[edge] != name
        ]
        if self.part == "backbone":
            differences = [text for text in differences if text.startswith(_BACKBONE)]
        if differences:
            raise WeightsError(
                f"weights: they are of another genotype ({len(differences)} edges differ: {'; '.join(differences[:3])}"
                f"{'; …' if len(differences) > 3 else ''}); give weights of this genotype, or train it anew"
            )


def _sha256(genotype: str, state: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(genotype.encode())
    for name in sorted(state):
        value = state[name]
        digest.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _is_genotype(path: Path) -> bool:
    with suppress(GenotypeError, OSError):
        Genotype.load(path)
        return True
    return False

"""Parameters and multiply-accumulates of modules, and how far they are from what papers claim."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from published_networks.catalogue import NETWORKS
from published_networks.facts import CLAIMS, Claim
from published_networks.networks.stdc import STDC1, STDC2, Classifier


def _classifier(modules: tuple[int, ...], classes: int, auxiliary: bool) -> nn.Module:
    del classes, auxiliary
    return Classifier(modules)


CLAIMED: Mapping[str, Callable[..., nn.Module]] = {
    **NETWORKS,
    "stdc1 classifier": partial(_classifier, STDC1),
    "stdc2 classifier": partial(_classifier, STDC2),
}
"""What claims are of, by name."""


@dataclass(frozen=True)
class Counted:
    """A claim beside our count; `macs` are of convolutions and matrix products."""

    claim: Claim
    parameters: int
    macs: int

    @property
    def parameters_rel(self) -> float | None:
        """Ours by the claim's, minus 1; None without a claim."""
        return self.parameters / self.claim.parameters - 1 if self.claim.parameters else None

    @property
    def macs_rel(self) -> float | None:
        return self.macs / self.claim.macs - 1 if self.claim.macs else None


def count(module: nn.Module, height: int, width: int, batch_norm: bool = True) -> tuple[int, int]:
    """Parameters, and MACs for one image. `batch_norm`: with BatchNorm's parameters. Counted on the meta device."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as flops:
        module(torch.empty(1, 3, height, width))
    left_out = () if batch_norm else (nn.BatchNorm1d, nn.BatchNorm2d)
    parameters = sum(
        parameter.numel()
        for part in module.modules()
        if not isinstance(part, left_out)
        for parameter in part.parameters(recurse=False)
    )
    return parameters, flops.get_total_flops() // 2


def count_network(name: str, height: int, width: int, classes: int = 19, auxiliary: bool = False) -> tuple[int, int]:
    """`count` of a name of CLAIMED as it is trained. Raises ImportError without the library that has it."""
    with torch.device("meta"):
        module = CLAIMED[name](classes, auxiliary=auxiliary).eval()
    return count(module, height, width)


def counted_claims() -> Iterator[Counted]:
    """Every claim of facts.py beside our count; those of libraries that are not installed are left out."""
    for claim in CLAIMS:
        try:
            with torch.device("meta"):
                module = CLAIMED[claim.of](claim.classes, auxiliary=claim.auxiliary).eval()
        except ImportError:
            continue
        yield Counted(claim, *count(module, claim.height, claim.width, claim.batch_norm))

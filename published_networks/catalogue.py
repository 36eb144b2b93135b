"""The networks by name, in one convention: what is folded, kept and timed is the same for all of them."""

from collections.abc import Callable, Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.libraries import DeepLabV3, LrAspp, SegFormerB0
from published_networks.networks.bisenetv2 import BiSeNetV2
from published_networks.networks.blocks import Outputs, initialize
from published_networks.networks.ddrnet import DdrNetSlim
from published_networks.networks.enet import ENet
from published_networks.networks.fast_scnn import FastScnn
from published_networks.networks.icnet import IcNet
from published_networks.networks.pidnet import PidNet
from published_networks.networks.stdc import STDC1, STDC2, StdcSeg

NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "bisenetv2": BiSeNetV2,
    "stdc1-seg": partial(StdcSeg, STDC1),
    "stdc2-seg": partial(StdcSeg, STDC2),
    "ddrnet-23-slim": DdrNetSlim,
    "pidnet-s": PidNet,
    "enet": ENet,
    "icnet": IcNet,
    "fast-scnn": FastScnn,
    "lr-aspp": LrAspp,
    "deeplabv3": DeepLabV3,
    "segformer-b0": SegFormerB0,
}
"""By the names that operations have."""

FROM_LIBRARIES = frozenset({"lr-aspp", "deeplabv3", "segformer-b0"})
"""Those with a library's own initial weights."""


class Deployed(nn.Module):
    """Images N×3×height×width to logits N×classes×height×width, or at the network's stride.

    With auxiliary heads a tuple: their logits follow, each at its own stride.
    """

    def __init__(self, network: nn.Module, upsampling: bool, keep_batch_norm: bool) -> None:
        super().__init__()
        self.network = network
        self.upsampling = upsampling
        self.keep_batch_norm = keep_batch_norm

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        logits, *auxiliary = outputs(self.network, images)
        size = images.shape[2:]
        if self.upsampling and logits.shape[2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear")
        return (logits, *auxiliary) if auxiliary else logits


def outputs(network: nn.Module, images: Tensor) -> Outputs:
    """What a network of NETWORKS gives."""
    values: Outputs = network(images)
    return values


def deployed(name: str, *, classes: int, folded: bool, auxiliary: bool, upsampling: bool) -> nn.Module:
    """A network of NETWORKS in a convention, in training mode, weights from torch's generator.

    Raises ImportError without the library that has the network, ValueError for auxiliary heads where it has none.
    """
    network = NETWORKS[name](classes, auxiliary=auxiliary)
    if name not in FROM_LIBRARIES:
        initialize(network)
    return Deployed(network, upsampling, keep_batch_norm=not folded)

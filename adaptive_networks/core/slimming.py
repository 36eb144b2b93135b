"""Channels removed from a network in training: those with the smallest scale in BatchNorm, over all layers together.

Liu et al. 2017 (network slimming); that widths stay multiples of 8 is decided here: SIMD widths, and fewer rows.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

DIVISOR = 8


def kept_channels(scales: Mapping[str, Tensor], remove: int) -> dict[str, Tensor]:
    """Indices of the channels of each layer that stay when the `remove` smallest |γ| go.

    As many as are left of each layer, rounded up to a multiple of DIVISOR. Raises ValueError where none would be left.
    """
    sizes = torch.cat([scale.detach().abs() for scale in scales.values()]).sort().values
    if not 0 <= remove < len(sizes):
        raise ValueError(f"remove: {remove} of {len(sizes)} channels")
    kept = {}
    for layer, scale in scales.items():
        left = int((scale.detach().abs() >= sizes[remove]).sum())
        count = min(len(scale), DIVISOR * max(1, -(-left // DIVISOR)))
        kept[layer] = scale.detach().abs().topk(count).indices.sort().values
    return kept


def cut(
    state: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    before: Mapping[str, tuple[str, ...]],
    widths: Mapping[str, int],
) -> dict[str, Tensor]:
    """A network's state, or anything with its names and shapes, of the channels that stay.

    `before` are the layers whose channels a layer reads, one after the other; `widths` those that layers had. The
    first part of a name is its layer.
    """
    found = {}
    for name, value in state.items():
        layer = name.partition(".")[0]
        if layer in kept and value.ndim:
            value = value[kept[layer]]
        if layer in before and value.ndim == 4:
            start, inputs = 0, []
            for earlier in before[layer]:
                inputs.append(kept[earlier] + start)
                start += widths[earlier]
            value = value[:, torch.cat(inputs)]
        found[name] = value.clone()
    return found

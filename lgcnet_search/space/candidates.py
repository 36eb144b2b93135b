"""Every candidate of an edge, in one table: what it executes, and how it is drawn (Tables II and III, Fig. 5).

A new candidate is one entry of CANDIDATES, and a builder in operations.py where its operation is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ZERO = "zero"
SKIP = "skip"

Group = Literal["cell", "fusion", "up"]
"""The edges of the cells (Table II), those within the branches of the fusion cell (Table III), and those of the
fusion cell that double the resolution (marked Up×2 in Fig. 5)."""


class Kind(NamedTuple):
    """What the legend of a picture calls a candidate, and its colour; light-weight ones are dashed (Fig. 9)."""

    name: str
    color: str
    light: bool = False


NOTHING = Kind("zero: no edge", "#a8a8a8", light=True)
IDENTITY = Kind("skip connection", "#4d4d4d", light=True)
MAXIMUM = Kind("max pooling", "#8c564b", light=True)
CONVOLUTION = Kind("convolution", "#1f6fb4")
SEPARABLE = Kind("separable convolution", "#e08214")
DILATED = Kind("dilated separable, 2", "#9467bd")
LARGE = Kind("dilated separable, 4 to 12", "#2a9d3a")
POOLING = Kind("global pooling", "#c2377f")
DECONVOLUTION = Kind("deconvolution", "#b3312c")
INTERPOLATION = Kind("interpolation", "#17a2b8")

CHANNELS = ("out_channels",)
STRIDED = ("out_channels", "stride")
SIZED = ("height", "width")


@dataclass(frozen=True)
class Candidate:
    """What an edge may be.

    `operation` is executed with `params` and with those parameters of the edge that `edge_params` names; None executes
    nothing. With `only_strided` nothing is executed either where the edge keeps the resolution: its value is its
    source. `label` stands on the edge in pictures.
    """

    groups: tuple[Group, ...]
    operation: str | None
    kind: Kind
    label: str
    params: Mapping[str, int] = field(default_factory=dict)
    edge_params: tuple[str, ...] = STRIDED
    only_strided: bool = False


def _dilated(dilation: int, kind: Kind, *groups: Group) -> Candidate:
    return Candidate(groups, "dil_conv_3x3", kind, f"dil {dilation}", {"dilation": dilation})


def _pooled(bins: int) -> Candidate:
    return Candidate(("fusion",), "global_pool", POOLING, f"pool {bins}", {"bins": bins}, CHANNELS)


CANDIDATES: dict[str, Candidate] = {
    "max_pool_3x3": Candidate(("cell",), "max_pool_3x3", MAXIMUM, "max", edge_params=("stride",)),
    SKIP: Candidate(("cell",), "factorized_reduction", IDENTITY, "skip", only_strided=True),
    "conv_1x1": Candidate(("fusion",), "conv_1x1", CONVOLUTION, "conv 1", edge_params=CHANNELS),
    "conv_3x3": Candidate(("cell", "fusion"), "conv_3x3", CONVOLUTION, "conv 3"),
    ZERO: Candidate(("cell",), None, NOTHING, "zero"),
    "sep_conv_3x3": Candidate(("cell", "fusion"), "sep_conv_3x3", SEPARABLE, "sep"),
    "dil_conv_3x3_d2": _dilated(2, DILATED, "cell", "fusion"),
    "dil_conv_3x3_d4": _dilated(4, LARGE, "cell", "fusion"),
    "dil_conv_3x3_d8": _dilated(8, LARGE, "cell", "fusion"),
    "dil_conv_3x3_d12": _dilated(12, LARGE, "fusion"),
    "global_pool_1": _pooled(1),
    "global_pool_2": _pooled(2),
    "global_pool_5": _pooled(5),
    "deconv_3x3": Candidate(("up",), "deconv_3x3", DECONVOLUTION, "deconv", edge_params=(*CHANNELS, *SIZED)),
    "interpolate": Candidate(("up",), "interpolate", INTERPOLATION, "interp", edge_params=SIZED),
}
"""By name, as genotypes have them; in the order of Tables II and III."""


def candidates_of(group: Group) -> tuple[str, ...]:
    """The names of a group's candidates: the columns of its architecture parameters."""
    return tuple(name for name, candidate in CANDIDATES.items() if group in candidate.groups)

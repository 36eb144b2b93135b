"""What is timed: one convention for all networks, and the others that papers have."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Convention:
    """How a network is deployed for timing; papers differ in each of these.

    `folded`: BatchNorm is folded into the convolution before it. `auxiliary`: heads that only training needs are kept.
    `upsampling`: logits come at the input's size (bilinear; ENet's reach it by a convolution of its own).
    """

    folded: bool = True
    auxiliary: bool = False
    upsampling: bool = True

    @property
    def params(self) -> dict[str, bool]:
        """As parameters of an operation."""
        return asdict(self)

    def __str__(self) -> str:
        return ", ".join(
            (
                "BatchNorm folded" if self.folded else "BatchNorm as trained",
                "auxiliary heads kept" if self.auxiliary else "deployed heads only",
                "logits at the input's size" if self.upsampling else "logits at the network's stride",
            )
        )

"""ICNet (Zhao et al. 2018, arXiv:1704.08545): Figs. 2 to 4, half of PSPNet50's kernels kept (section 4.3)."""

import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.networks.blocks import Outputs, area_means, bottleneck, convolution, like, resize

BINS = (1, 2, 3, 6)


class IcNet(nn.Module):
    """A cascade of a quarter, half and the whole of the image; the coarsest part runs deep. Logits at stride 4."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.medium = nn.Sequential(
            convolution(3, 32, 3, 2),
            convolution(32, 32),
            convolution(32, 64),
            nn.MaxPool2d(3, 2, 1),
            bottleneck(64, 32, 128),
            *(bottleneck(128, 32, 128) for _ in range(2)),
            bottleneck(128, 64, 256, stride=2),
        )
        self.small = nn.Sequential(
            *(bottleneck(256, 64, 256) for _ in range(3)),
            bottleneck(256, 128, 512, dilation=2),
            *(bottleneck(512, 128, 512, dilation=2) for _ in range(5)),
            bottleneck(512, 256, 1024, dilation=4),
            *(bottleneck(1024, 256, 1024, dilation=4) for _ in range(2)),
        )
        self.pooled = convolution(1024, 256, 1)
        self.large = nn.Sequential(convolution(3, 32, 3, 2), convolution(32, 32, 3, 2), convolution(32, 64, 3, 2))
        self.fusions = nn.ModuleList([Fusion(256, 256), Fusion(128, 64)])
        self.head = nn.Conv2d(128, classes, 1)
        self.auxiliary = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in ((256, 128) if auxiliary else ()))

    def forward(self, images: Tensor) -> Outputs:
        half = self.medium(halved(images))
        quarter = self.small(halved(half))
        context = quarter
        for bins in BINS:
            context = context + like(area_means(quarter, bins), quarter)
        coarse = like(self.pooled(context), half)
        middle = self.fusions[0](coarse, half)
        whole = self.large(images)
        middle = like(middle, whole)
        fine = self.fusions[1](middle, whole)
        height, width = fine.shape[2:]
        logits = self.head(resize(fine, (2 * height, 2 * width)))
        return [logits, *(part(x) for part, x in zip(self.auxiliary, (coarse, middle), strict=False))]


def halved(x: Tensor) -> Tensor:
    """Bilinear to half the height and width, rounded up."""
    height, width = x.shape[2:]
    return resize(x, ((height + 1) // 2, (width + 1) // 2))


class Fusion(nn.Module):
    """Cascade feature fusion: a dilated 3×3 on the coarse map, 1×1 on the fine one, their sum (Fig. 3)."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.coarse = convolution(coarse, 128, dilation=2, activation=None)
        self.fine = convolution(fine, 128, 1, activation=None)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return F.relu(self.coarse(coarse) + self.fine(fine))

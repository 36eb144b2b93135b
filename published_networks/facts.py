"""What papers say about real-time segmentation networks: accuracy, speed, size. Facts with their sources, no torch."""

from dataclasses import dataclass
from typing import Literal

Data = Literal["Cityscapes", "CamVid"]

CLASSES: dict[Data, int] = {"Cityscapes": 19, "CamVid": 11}
FOUND = "lgcnet"
"""The `network` of LGCNet's own entries: it is measured by its genotype, in the space of the same name."""


@dataclass(frozen=True)
class Entry:
    """A row of Figure 1 or of Tables IV and V: a network at an input size.

    `network` is the operation of space `published` that is measured for it, FOUND, or None for a network that this
    project does not build. mIoU in percent, None where the source has none; `fps` as published, with its card and
    runtime; `titan_xp_fps`: what LGCNet's Tables IV and V have for it on one card (`remeasured_with` says by which
    runtime, where it is not PyTorch).
    """

    title: str
    network: str | None
    data: Data
    height: int
    width: int
    miou_test: float | None = None
    miou_val: float | None = None
    pretraining: str = "not stated"
    fps: float | None = None
    card: str = ""
    runtime: str = ""
    titan_xp_fps: float | None = None
    remeasured_with: str = ""
    source: str = ""
    remark: str = ""

    @property
    def miou(self) -> float | None:
        """Of the test set where it is known, else of the validation set."""
        return self.miou_val if self.miou_test is None else self.miou_test

    @property
    def split(self) -> str:
        return "" if self.miou is None else "val" if self.miou_test is None else "test"

    @property
    def classes(self) -> int:
        return CLASSES[self.data]


_BISENETV2 = "Yu et al. 2021, arXiv:2004.02147"
_STDC = "Fan et al. 2021, arXiv:2104.13188"
_DDRNET = "Hong et al. 2021, arXiv:2101.06085"
_PIDNET = "Xu et al. 2023, arXiv:2206.02066"
_ENET = "Paszke et al. 2016, arXiv:1606.02147"
_ICNET = "Zhao et al. 2018, arXiv:1704.08545"
_FAST_SCNN = "Poudel et al. 2019, arXiv:1902.04502"
_MOBILENETV3 = "Howard et al. 2019, arXiv:1905.02244"
_SEGFORMER = "Xie et al. 2021, arXiv:2105.15203"
_LGCNET = "Cheng et al. 2023, arXiv:2302.08481"
_DFANET = "Li et al. 2019, arXiv:1904.02216"
_TORCHVISION = "torchvision's documentation of the model"

_CITY: Data = "Cityscapes"
_CAM: Data = "CamVid"
_1080TI = "GTX 1080 Ti"
_2080TI = "RTX 2080 Ti"
_3090 = "RTX 3090"
_TITAN_XP = "Titan Xp"
_TRT5 = "TensorRT 5"

ENTRIES: tuple[Entry, ...] = (
    Entry("BiSeNetV2", "bisenetv2", _CITY, 512, 1024, 72.6, 73.4, "none", 156.0, _1080TI, _TRT5,
          179.2, "TensorRT", _BISENETV2),
    Entry("STDC1-Seg50", "stdc1-seg", _CITY, 512, 1024, 71.9, 72.2, "ImageNet", 250.4, _1080TI, _TRT5, source=_STDC),
    Entry("STDC2-Seg50", "stdc2-seg", _CITY, 512, 1024, 73.4, 74.2, "ImageNet", 188.6, _1080TI, _TRT5, source=_STDC),
    Entry("STDC1-Seg75", "stdc1-seg", _CITY, 768, 1536, 75.3, 74.5, "ImageNet", 126.7, _1080TI, _TRT5,
          143.1, "TensorRT", _STDC),
    Entry("STDC2-Seg75", "stdc2-seg", _CITY, 768, 1536, 76.8, 77.0, "ImageNet", 97.0, _1080TI, _TRT5, source=_STDC),
    Entry("DDRNet-23-slim", "ddrnet-23-slim", _CITY, 1024, 2048, 77.4, 77.8, "ImageNet", 101.6, _2080TI, "PyTorch",
          source=_DDRNET, remark="BatchNorm folded for timing"),
    Entry("PIDNet-S", "pidnet-s", _CITY, 1024, 2048, 78.6, 78.8, "ImageNet", 93.2, _3090, "PyTorch",
          source=_PIDNET, remark="BatchNorm left out for timing, logits at stride 8"),
    Entry("ENet", "enet", _CITY, 360, 640, 58.3, None, "none", 135.4, "Titan X", "Torch7", 78.4, "", _ENET,
          "trained and scored at 512×1024, timed at 360×640"),
    Entry("ICNet", "icnet", _CITY, 1024, 2048, 69.5, 67.7, "ImageNet", 30.3, "Titan X", "Caffe", 37.7, "", _ICNET),
    Entry("Fast-SCNN", "fast-scnn", _CITY, 1024, 2048, 68.0, 68.6, "none", 123.5, _TITAN_XP, "TensorFlow",
          source=_FAST_SCNN),
    Entry("Fast-SCNN, half", "fast-scnn", _CITY, 512, 1024, 62.8, None, "none", 285.8, _TITAN_XP, "TensorFlow",
          source=_FAST_SCNN),
    Entry("LGCNet", FOUND, _CITY, 769, 1537, 72.4, None, "ImageNet", 115.2, _TITAN_XP, "PyTorch 0.4", 115.2, "",
          _LGCNET, "74.0 with the coarse labels; 205.6 FPS with TensorRT"),
    Entry("LR-ASPP MobileNetV3", "lr-aspp", _CITY, 1024, 2048, 72.6, 72.4, "none", 0.405, "Pixel 3, one core",
          "TensorFlow Lite", source=_MOBILENETV3),
    Entry("SegFormer-B0, 512", "segformer-b0", _CITY, 512, 1024, None, 71.9, "ImageNet", 47.6, "V100", "PyTorch",
          source=_SEGFORMER),
    Entry("DeepLabV3 MobileNetV3", "deeplabv3", _CITY, 520, 520, source=_TORCHVISION,
          remark="published for COCO only, without a speed"),
    Entry("BiSeNetV2", "bisenetv2", _CAM, 720, 960, 72.4, None, "none", 124.5, _1080TI, _TRT5, source=_BISENETV2),
    Entry("STDC1-Seg", "stdc1-seg", _CAM, 720, 960, 73.0, None, "ImageNet", 197.6, _1080TI, _TRT5, source=_STDC),
    Entry("STDC2-Seg", "stdc2-seg", _CAM, 720, 960, 73.9, None, "ImageNet", 152.2, _1080TI, _TRT5, source=_STDC),
    Entry("DDRNet-23-slim", "ddrnet-23-slim", _CAM, 720, 960, 74.7, None, "ImageNet", 230.0, _2080TI, "PyTorch",
          source=_DDRNET),
    Entry("PIDNet-S", "pidnet-s", _CAM, 720, 960, 80.1, None, "Cityscapes", 153.7, _3090, "PyTorch", source=_PIDNET),
    Entry("ENet", "enet", _CAM, 720, 960, 51.3, None, "none", titan_xp_fps=61.2, source=_LGCNET),
    Entry("ICNet", "icnet", _CAM, 720, 960, 67.1, None, "ImageNet", 27.8, "Titan X", "Caffe", 34.5, "", _ICNET),
    Entry("LGCNet", FOUND, _CAM, 720, 960, 73.8, None, "Cityscapes", 158.6, _TITAN_XP, "PyTorch 0.4", 158.6, "",
          _LGCNET),
)  # fmt: skip
"""What is measured, at the input size at which it was published."""


def _quoted(data: Data, *rows: tuple[str, int, int, float | None, float | None, str]) -> tuple[Entry, ...]:
    return tuple(
        Entry(title, None, data, height, width, miou, titan_xp_fps=fps, source=_LGCNET, remark=remark)
        for title, height, width, miou, fps, remark in rows
    )


QUOTED: tuple[Entry, ...] = (
    *_quoted(
        _CITY,
        ("FCN-8S", 512, 1024, 65.3, 4.4, ""),
        ("PSPNet", 713, 713, 78.4, 0.78, ""),
        ("DeepLabV3", 769, 769, 81.3, 1.3, ""),
        ("AutoDeepLab", 769, 769, 81.2, 3.3, ""),
        ("SegNet", 360, 640, 57.0, 33.0, ""),
        ("SQ", 1024, 2048, 59.8, 21.7, ""),
        ("SwiftNet", 1024, 2048, 75.1, 38.1, ""),
        ("DF1-Seg", 768, 1536, 73.0, 34.4, ""),
        ("ESPNet", 512, 1024, 60.3, 121.7, ""),
        ("ESPNetV2", 512, 1024, 66.2, 68.0, ""),
        ("ERFNet", 512, 1024, 69.7, 20.6, ""),
        ("BiSeNet-Xception39", 768, 1536, 68.4, 105.8, ""),
        ("BiSeNet-Res18", 768, 1536, 74.7, 65.5, ""),
        ("DFANet A", 1024, 1024, 71.3, 52.6, "100 FPS on a Titan X in its own paper"),
        ("ShelfNet", 768, 1536, 74.8, 59.2, ""),
        ("CAS", 768, 1536, 70.5, 108.0, "72.3 with the coarse labels"),
        ("GAS", 769, 1537, 71.8, 108.4, "73.5 with the coarse labels"),
        ("FasterSeg", 1024, 2048, 71.5, 89.8, ""),
        ("HyperSeg-M", 512, 1024, 75.8, 46.2, ""),
    ),
    *_quoted(
        _CAM,
        ("SegNet", 720, 960, 55.6, 29.4, ""),
        ("BiSeNet", 720, 960, 65.6, None, ""),
        ("DFANet A", 720, 960, 64.7, 120.0, ""),
        ("CAS", 720, 960, 71.2, 169.0, ""),
        ("FasterSeg", 720, 960, 71.1, 131.8, ""),
        ("GAS", 720, 960, 72.8, 153.1, ""),
    ),
)
"""The other rows of LGCNet's Tables IV and V, whose networks this project does not build."""


@dataclass(frozen=True)
class Claim:
    """Parameters and multiply-accumulates (for one image of height × width) that a source states.

    `of`: a name of `counting.CLAIMED`. `batch_norm`: BatchNorm's parameters are in the count. `reason`: why our count
    is more than 2 % off; empty where it is not.
    """

    of: str
    parameters: float | None
    macs: float | None
    height: int
    width: int
    source: str
    classes: int = 19
    auxiliary: bool = False
    batch_norm: bool = True
    remark: str = ""
    reason: str = ""


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "bisenetv2", None, 21.15e9, 512, 1024, _BISENETV2,
        reason="the paper does not state the head's hidden channels: 1024, as public implementations have them, are "
        "9.8 of our 24.6 G; some 660 would give the claim",
    ),
    Claim("stdc1 classifier", 8.44e6, 0.813e9, 224, 224, _STDC, remark="the backbone with its ImageNet head, Table 2"),
    Claim("stdc2 classifier", 12.47e6, 1.446e9, 224, 224, _STDC, remark="the backbone with its ImageNet head, Table 2"),
    Claim("ddrnet-23-slim", 5.7e6, 36.3e9, 1024, 2048, _DDRNET),
    Claim("pidnet-s", 7.6e6, 47.6e9, 1024, 2048, _PIDNET),
    Claim(
        "enet", 0.37e6, 3.83e9 / 2, 360, 640, _ENET,
        remark="3.83 GFLOPs, halved: the paper counts both operations (its SegNet has 286)",
        reason="convolutions are 1.72 G, BatchNorm and activations 0.04 G; how the paper counted is not stated",
    ),
    Claim(
        "icnet", 26.5e6, 28.3e9, 1024, 2048, _DFANET,
        remark="its own paper states none",
        reason="26.5 is what the weights take in MB at 4 bytes (26.5 / 4 = 6.6 M), not their number; the MACs are 3 % "
        "off, and that source does not say how it counted them",
    ),
    Claim("fast-scnn", 1.11e6, None, 1024, 2048, _FAST_SCNN, batch_norm=False,
          remark="without BatchNorm's parameters, with them 1.14 M"),
    Claim(
        "lr-aspp", 1.51e6, 9.74e9, 1024, 2048, _MOBILENETV3,
        reason="torchvision halves the last block's outputs, the paper's model also the 672 channels inside its first "
        "layer (0.24 M parameters)",
    ),
    Claim("deeplabv3", 11.029328e6, 10.45e9, 520, 520, _TORCHVISION, classes=21, auxiliary=True),
    Claim("segformer-b0", 3.8e6, None, 512, 512, _SEGFORMER, classes=150, remark="for ADE20K"),
    Claim("segformer-b0", None, 17.7e9, 512, 1024, _SEGFORMER),
)  # fmt: skip

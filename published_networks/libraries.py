"""Networks that well-kept libraries have: torchvision and transformers, with random weights (extra `networks`)."""

from torch import Tensor, nn

from published_networks.networks.blocks import Outputs

EXTRA = "pip install 'lgcnet[networks]'"


class LrAspp(nn.Module):
    """LR-ASPP on MobileNetV3-Large (Howard et al. 2019, Fig. 10) with 128 filters and half the last block's channels.

    Features at strides 8 and 16; logits at stride 8. Needs torchvision.
    """

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        _require_none(auxiliary, "LR-ASPP")
        try:
            from torchvision.models import mobilenet_v3_large
            from torchvision.models.segmentation.lraspp import LRASPPHead
        except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another build of torch
            raise _missing("torchvision", error) from error
        features = mobilenet_v3_large(weights=None, dilated=True, reduced_tail=True).features
        self.low, self.high = features[:5], features[5:]
        self.head = LRASPPHead(40, 480, classes, inter_channels=128)

    def forward(self, images: Tensor) -> Outputs:
        low = self.low(images)
        return [self.head({"low": low, "high": self.high(low)})]


class DeepLabV3(nn.Module):
    """torchvision's DeepLabV3 with ASPP on a dilated MobileNetV3-Large; logits at stride 16. Needs torchvision."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        try:
            from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large
        except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another build of torch
            raise _missing("torchvision", error) from error
        network = deeplabv3_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=classes, aux_loss=auxiliary
        )
        self.backbone, self.head, self.auxiliary = network.backbone, network.classifier, network.aux_classifier

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        logits = self.head(features["out"])
        return [logits] if self.auxiliary is None else [logits, self.auxiliary(features["aux"])]


class SegFormerB0(nn.Module):
    """SegFormer-B0 (Xie et al. 2021), which is transformers' default configuration; logits at stride 4."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        _require_none(auxiliary, "SegFormer")
        try:
            from transformers import SegformerConfig, SegformerForSemanticSegmentation
        except ImportError as error:
            raise _missing("transformers", error) from error
        config = SegformerConfig()
        config.num_labels = classes
        self.network = SegformerForSemanticSegmentation(config)
        # Side by side as attributes, they would not be folded.
        decoder: nn.Module = self.network.decode_head
        fused = nn.Sequential(decoder.get_submodule("linear_fuse"), decoder.get_submodule("batch_norm"))
        decoder.add_module("linear_fuse", fused)
        decoder.add_module("batch_norm", nn.Identity())

    def forward(self, images: Tensor) -> Outputs:
        return [self.network(images).logits]


def _missing(library: str, error: Exception) -> ImportError:
    return ImportError(f"this network comes from {library}, which cannot be imported ({error}); {EXTRA}")


def _require_none(auxiliary: bool, name: str) -> None:
    if auxiliary:
        raise ValueError(f"auxiliary: {name} has no auxiliary heads")

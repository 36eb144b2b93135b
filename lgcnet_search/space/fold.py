"""The deployed form: evaluation mode, every BatchNorm folded into the convolution before it.

The space digest covers this file too: see operations.py for why it holds no f-string.
"""

from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


def deploy(module: Module) -> Module:
    """Turn a module of operations into its deployed form, in place; outputs stay those of `module.eval()`."""
    module.eval().requires_grad_(False)
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Sequential):
                setattr(part, name, _fold(child))
    return module


def _fold(layers: nn.Sequential) -> nn.Sequential:
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = folded.pop()
            if not isinstance(convolution, (nn.Conv2d, nn.ConvTranspose2d)):
                raise TypeError("BatchNorm after " + type(convolution).__name__ + " cannot be folded")
            layer = fuse_conv_bn_eval(convolution, layer, transpose=isinstance(convolution, nn.ConvTranspose2d))
        folded.append(layer)
    return nn.Sequential(*folded)

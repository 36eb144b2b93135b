"""Every operation that an LGCNet executes, defined once for search, training and measuring.

An operation is named by an OperationSpec; `build_operation` makes its module, `output_shape` says what leaves it.
The text of this file (comments, docstrings and layout apart) is the definition that the space digest covers; it
holds no f-strings because Python versions split those into different tokens.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latency_tables.contract import OperationSpec

Shape = tuple[int, ...]


class Operation(nn.Module):
    """A module that executes one OperationSpec; the inputs of `forward` are N×C×H×W in the order of the spec."""

    spec: OperationSpec


class Convolution(Operation):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, shape: Shape, *, kernel: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class SeparableConvolution(Operation):
    """Depthwise 3×3, pointwise 1×1, BatchNorm, ReLU."""

    def __init__(self, shape: Shape, *, out_channels: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        channels = shape[0]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class FactorizedReduction(Operation):
    """Half of the channels from the even pixels, half from the odd ones: 1×1 each, BatchNorm, ReLU.

    n rows become ceil(n / 2) for even and odd n alike: where n is odd, the odd pixels are filled up with zeros.
    """

    def __init__(self, shape: Shape, *, out_channels: int, stride: int) -> None:
        super().__init__()
        if stride != 2:
            raise ValueError("stride: a factorized reduction halves the resolution, so it is 2")
        channels, height, width = shape
        half = out_channels // 2
        self.even = nn.Sequential(nn.Conv2d(channels, half, 1, stride=2, bias=False), nn.BatchNorm2d(half))
        self.odd = nn.Sequential(
            nn.Conv2d(channels, out_channels - half, 1, bias=False), nn.BatchNorm2d(out_channels - half)
        )
        self.padding = (0, width % 2, 0, height % 2)

    def forward(self, x: Tensor) -> Tensor:
        odd = x[:, :, 1::2, 1::2]
        if any(self.padding):
            odd = F.pad(odd, self.padding)
        return F.relu_(torch.cat((self.even(x), self.odd(odd)), dim=1))


class MaxPooling(Operation):
    """3×3 max pooling."""

    def __init__(self, _shape: Shape, *, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, self.stride, padding=1)


class AreaPooling(nn.Module):
    """Averages over bins × bins areas, as adaptive average pooling does (areas overlap where sizes do not divide).

    Written as two matrix products, because adaptive pooling has no form in ONNX where sizes do not divide; they are
    also quicker on a CPU.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: Shape, bins: int) -> None:
        super().__init__()
        self.register_buffer("rows", self._means(shape[1], bins), persistent=False)
        self.register_buffer("columns", self._means(shape[2], bins).T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows @ x @ self.columns

    @staticmethod
    def _means(size: int, bins: int) -> Tensor:
        """bins × size: row b averages over positions floor(b size / bins) to ceil((b + 1) size / bins) - 1."""
        first = (torch.arange(bins) * size).div(bins, rounding_mode="floor")[:, None]
        last = ((torch.arange(bins) + 1) * size + bins - 1).div(bins, rounding_mode="floor")[:, None]
        at = torch.arange(size)
        inside = ((at >= first) & (at < last)).float()
        return inside / inside.sum(dim=1, keepdim=True)


class GlobalPooling(Operation):
    """Average over bins × bins areas, 1×1 convolution, BatchNorm, ReLU, bilinear back to the input's size."""

    def __init__(self, shape: Shape, *, bins: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            AreaPooling(shape, bins),
            nn.Conv2d(shape[0], out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.size = (shape[1], shape[2])

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.layers(x), self.size, mode="bilinear", align_corners=True)


class Deconvolution(Operation):
    """3×3 transposed convolution of stride 2 that lands on height × width (2n - 1 or 2n), BatchNorm, ReLU."""

    def __init__(self, shape: Shape, *, out_channels: int, height: int, width: int) -> None:
        super().__init__()
        extra = (height - (2 * shape[1] - 1), width - (2 * shape[2] - 1))
        if not set(extra) <= {0, 1}:
            raise ValueError("height, width: a deconvolution of stride 2 reaches 2n - 1 or 2n of its input's n")
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(shape[0], out_channels, 3, 2, padding=1, output_padding=extra, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class Interpolation(Operation):
    """Bilinear to height × width; corners stay on corners, which is what sizes of 2n - 1 ask for."""

    def __init__(self, _shape: Shape, *, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, mode="bilinear", align_corners=True)


class Concatenation(Operation):
    """The channels of all inputs, one after the other."""

    def __init__(self, *_shapes: Shape) -> None:
        super().__init__()

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, dim=1)


class Addition(Operation):
    """The sum of two inputs of equal shape."""

    def __init__(self, left: Shape, right: Shape) -> None:
        super().__init__()
        if left != right:
            raise ValueError("input_shapes: an addition takes two equal shapes")

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class Zeros(Operation):
    """Zeros of the input's channels at height × width: the value of a node without incoming edges.

    They are computed from the input. Engines fold what hangs on constants only, and would leave out operations whose
    latencies Eq. 9 sums.
    """

    def __init__(self, shape: Shape, *, height: int, width: int) -> None:
        super().__init__()
        self.shape = (shape[0], height, width)

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :, :1, :1] * 0).expand(-1, *self.shape).contiguous()


class Classifier(Operation):
    """1×1 convolution with bias: class logits."""

    def __init__(self, shape: Shape, *, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(shape[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        return y


OPERATIONS: dict[str, Callable[..., Operation]] = {
    "conv_1x1": partial(Convolution, kernel=1),
    "conv_3x3": partial(Convolution, kernel=3),
    "sep_conv_3x3": SeparableConvolution,
    "dil_conv_3x3": SeparableConvolution,
    "factorized_reduction": FactorizedReduction,
    "max_pool_3x3": MaxPooling,
    "global_pool": GlobalPooling,
    "deconv_3x3": Deconvolution,
    "interpolate": Interpolation,
    "concat": Concatenation,
    "add": Addition,
    "zeros": Zeros,
    "classifier": Classifier,
}


def initialize(module: nn.Module) -> None:
    """Draw convolution weights that keep the second moment of what flows through them, also with BatchNorm folded.

    He et al. 2015 (fan in, counted per group and per output pixel): gain 2 makes up for the ReLU. Depthwise
    convolutions have none behind them, and 1×1 convolutions follow sums, which have grown: gain 1.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            strides = math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else 1
            taps = math.prod(layer.kernel_size) / strides
            gain = 1 if layer.groups > 1 or taps == 1 else 2
            nn.init.normal_(layer.weight, std=math.sqrt(gain / (taps * layer.in_channels / layer.groups)))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def build_operation(spec: OperationSpec) -> Operation:
    """Make the module of a spec, in training mode, weights drawn from torch's generator.

    Raises ValueError naming what is unknown or missing.
    """
    if spec.name not in OPERATIONS:
        raise ValueError("name: unknown operation " + spec.name + "; known are " + ", ".join(OPERATIONS))
    try:
        operation = OPERATIONS[spec.name](*spec.input_shapes, **dict(spec.params))
    except TypeError as error:
        raise ValueError("params of " + str(spec) + ": " + str(error)) from error
    operation.spec = spec
    initialize(operation)
    return operation


def output_shape(spec: OperationSpec) -> Shape:
    """Channels, height and width of what the operation returns."""
    params = {name: int(value) for name, value in spec.params}
    channels, height, width = spec.input_shapes[0]
    if spec.name == "concat":
        channels = sum(shape[0] for shape in spec.input_shapes)
    stride = params.get("stride", 1)
    return (
        params.get("out_channels", channels),
        params.get("height", -(-height // stride)),
        params.get("width", -(-width // stride)),
    )

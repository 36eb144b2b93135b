"""Does an exported or compiled module still compute what PyTorch computes?"""

from collections.abc import Sequence

import torch

from latency_tables.contract import Precision

TOLERANCE_REL: dict[Precision, float] = {"fp32": 1e-4, "tf32": 2e-2, "fp16": 2e-2, "bf16": 1e-1, "int8": 1e-1}
"""Largest error relative to the output's largest magnitude. tf32 and fp16 keep 10 bits of mantissa, bf16 keeps 7;
errors add up over a network. int8 keeps 8 bits of a range that was calibrated on random inputs."""

UNEQUAL_SHARE: dict[Precision, float] = {"fp32": 1e-3, "tf32": 2e-2, "fp16": 2e-2, "bf16": 1e-1, "int8": 1e-1}
"""Of an integer output, such as the class of each pixel, so many may differ: where two classes are nearly even."""


class Mismatch(ValueError):
    """The module computes something else in this mode; the message shows both values."""


def outputs_of(value: object) -> tuple[torch.Tensor, ...]:
    """The outputs of a module, from what it returned.

    Raises:
        TypeError: it holds something else.
    """
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(output, torch.Tensor) for output in values):
        raise TypeError("the module returns something other than tensors, which cannot be compared")
    return tuple(values)


def error_rel(output: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference relative to the largest finite magnitude of `expected`.

    Infinite where one of them is not finite and the other is something else; NaN is equal to NaN.
    """
    is_same = (output == expected) | (output.isnan() & expected.isnan())
    is_finite = output.isfinite() & expected.isfinite()
    if not bool((is_same | is_finite).all()):
        return float("inf")
    if not bool(is_finite.any()):
        return 0.0
    scale = float(expected[is_finite].abs().max()) or 1.0
    return float((output - expected)[is_finite].abs().max()) / scale


def require_agreement(
    outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], precision: Precision, mode: str
) -> None:
    """Compare outputs with those of PyTorch in fp32.

    Raises:
        Mismatch: another number or shape of outputs, or an error above the precision's tolerance.
    """
    shapes, expected_shapes = [tuple(tensor.shape) for tensor in outputs], [tuple(tensor.shape) for tensor in expected]
    if shapes != expected_shapes:
        raise Mismatch(f"{mode} gives outputs of shape {shapes}, PyTorch {expected_shapes}")
    for number, pair in enumerate(zip(outputs, expected, strict=True)):
        if not pair[1].is_floating_point():
            _require_equal(number, pair[0].detach().cpu(), pair[1].detach().cpu(), precision, mode)
            continue
        left, right = (tensor.detach().float().cpu() for tensor in pair)
        error = error_rel(left, right)
        if error > TOLERANCE_REL[precision]:
            differences = (left - right).abs().masked_fill((left == right) | (left.isnan() & right.isnan()), 0.0)
            index = int(torch.nan_to_num(differences, nan=torch.inf).argmax())
            raise Mismatch(
                f"output {number} differs by {error:.2g} of its scale (tolerance for {precision}: "
                f"{TOLERANCE_REL[precision]:g}); at flat index {index} {mode} gives "
                f"{float(left.flatten()[index]):.6g}, PyTorch {float(right.flatten()[index]):.6g}"
            )


def _require_equal(number: int, output: torch.Tensor, expected: torch.Tensor, precision: Precision, mode: str) -> None:
    unequal = float((output != expected).double().mean()) if expected.numel() else 0.0
    if unequal > UNEQUAL_SHARE[precision]:
        raise Mismatch(
            f"output {number} ({str(expected.dtype).removeprefix('torch.')}) differs in {unequal:.2%} of its elements "
            f"from PyTorch's (tolerance for {precision}: {UNEQUAL_SHARE[precision]:.1%}) in {mode}"
        )

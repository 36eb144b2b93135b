"""Numbers as people read them: with units, few digits, and thin spaces between thousands."""

from collections.abc import Sequence
from datetime import datetime

from latency_tables import plain_text
from latency_tables.contract import DeviceSelector, OperationSpec, Ratio

NARROW = "\u202f"  # a thin space that does not break
MACHINE_IN_DOUBT = "machine in doubt"


def one_decimal(value: float) -> str:
    """So that a column of them lines up: 12 345.6."""
    return f"{value:,.1f}".replace(",", NARROW)


def whole(value: int) -> str:
    return f"{value:,}".replace(",", NARROW)


def latency(value_us: float) -> str:
    """Three or four significant digits in the unit that suits: 12.3 µs, 1.23 ms, 1.2 s."""
    for limit, divisor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms")):
        if value_us < limit:
            return f"{_significant(value_us / divisor)}{NARROW}{unit}"
    return f"{_significant(value_us / 1e6)}{NARROW}s"


def ratio(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}×".replace(",", NARROW)
    return f"{value:.1f}×" if value >= 10 else f"{value:.2f}×" if value >= 0.1 else f"{value:.2g}×"


def interval(of: Ratio) -> str:
    """With as many decimals as tell its ends apart, three at most."""
    low, high = ratio(of.low), ratio(of.high)
    if low == high and of.low < 10:
        low, high = f"{of.low:.3f}×", f"{of.high:.3f}×"
    return f"{low.removesuffix('×')}–{high}"


def percent(value: float, signed: bool = False) -> str:
    text = f"{value:{'+' if signed else ''}.1%}"
    text = text.replace("-", "−") if text != "-0.0%" else "+0.0%" if signed else "0.0%"
    return text.replace("%", f"{NARROW}%")


def age(seconds: float) -> str:
    """The largest unit that it fills: 40 s, 12 min, 5 h, 3 d."""
    return plain_text.age(seconds).replace(" ", NARROW)


def tick(value: float, unit: str = "×") -> str:
    """A round number on an axis: 0.5×, 2×, 1.05×."""
    return f"{value:g}{unit}"


def latency_tick(value_us: float) -> str:
    """A round latency on an axis: 5 µs, 20 ms, 1 s."""
    for limit, divisor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms")):
        if value_us < limit:
            return tick(value_us / divisor, f"{NARROW}{unit}")
    return tick(value_us / 1e6, f"{NARROW}s")


def since(instant: datetime, now: datetime) -> str:
    return age((now - instant).total_seconds())


def memory(value: int) -> str:
    return f"{value / 2**30:.1f}{NARROW}GiB"


def shapes(operation: OperationSpec) -> str:
    return " + ".join("×".join(map(str, shape)) for shape in operation.input_shapes)


def params(operation: OperationSpec) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in operation.params)


_FIELDS = {
    "os": "System",
    "torch": "PyTorch",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT for RTX",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "power_limit_w": "Power limit, W",
}


def field(name: str) -> str:
    """The name of an environment's field or library as people write it."""
    return _FIELDS.get(name, name.replace("_", " ").capitalize())


def selector(of: DeviceSelector) -> str:
    return of.name or of.uuid or {"cuda": "any GPU", "cpu": "any CPU", None: "any device"}[of.kind]


def size(shape: Sequence[int] | None) -> str:
    """Of an input without its batch dimension: height × width, or all of it where it has none."""
    return "×".join(map(str, (shape or ())[-2:] if len(shape or ()) > 2 else shape or ()))


def doubt(warnings: Sequence[str], doubtful: int, rows: int) -> str:
    """Whether a table may be trusted, in the same words on every page; "" if nothing speaks against it."""
    row_doubt = f"{doubtful} of {rows} rows doubtful" if doubtful else ""
    return "; ".join(filter(None, (MACHINE_IN_DOUBT if warnings else "", row_doubt)))


def _significant(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"

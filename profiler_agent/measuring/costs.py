"""Parameters, multiply-adds, peak memory and work of a module, without executing it."""

import copy
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from latency_tables.contract import Costs, Work

META = torch.device("meta")


class Counted(NamedTuple):
    """What a device needs for one execution, and what it has to do."""

    costs: Costs
    work: Work


def counted(module: torch.nn.Module, input_shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Counted:
    """The costs and the work of one execution at these input shapes (with the batch dimension), run on shapes alone.

    Raises:
        NotImplementedError, RuntimeError: the module has an operator that needs the values.
    """
    shapes_only = copy.deepcopy(module).to(device=META, dtype=dtype).eval()
    inputs = [torch.empty(shape, device=META, dtype=dtype) for shape in input_shapes]
    always_alive = [*shapes_only.parameters(), *shapes_only.buffers(), *inputs]
    with FlopCounterMode(display=False) as flops, _PeakMemory() as memory, _Traffic(shapes_only) as traffic:
        shapes_only(*inputs)
    parameters = sum(parameter.numel() for parameter in shapes_only.parameters())
    macs = flops.get_total_flops() // 2
    peak_bytes = memory.peak_bytes + sum(tensor.nbytes for tensor in always_alive)
    return Counted(
        Costs(parameters=parameters, macs=macs, peak_memory_bytes=peak_bytes),
        Work(
            macs=macs,
            elements=traffic.elements,
            weights=parameters,
            launches=traffic.launches,
            depthwise_macs=traffic.depthwise_macs,
        ),
    )


class _PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes alive at once of storages that operators made under this mode."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._alive_bytes = 0
        self._storages: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for tensor in _tensors((args, kwargs or {})):
            self._storages.add(tensor.untyped_storage())
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage not in self._storages:
                self._storages.add(storage)
                self._alive_bytes += storage.nbytes()
                weakref.finalize(storage, self._free, storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, self._alive_bytes)
        return result

    def _free(self, size: int) -> None:
        self._alive_bytes -= size


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What operators under this mode read and write beside a module's weights, as an engine without fusion would."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0
        self.launches = 0
        self.depthwise_macs = 0
        self._weights = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        read = [tensor for tensor in _tensors((args, kwargs or {})) if id(tensor) not in self._weights]
        if read and not func.is_view:  # what reads nothing makes a tensor, and a view moves none
            self.launches += 1
            self.elements += sum(tensor.numel() for tensor in (*read, *_tensors(result)))
            # aten::convolution is transposed by its seventh argument; conv2d has its groups there.
            transposed = "transpose" in func.name() or (func is torch.ops.aten.convolution.default and args[6])
            if "conv" in func.name() and not transposed:
                self.depthwise_macs += _depthwise_macs(args[0], args[1], result)
        return result


def _depthwise_macs(inputs: torch.Tensor, weight: torch.Tensor, outputs: torch.Tensor) -> int:
    """Of a convolution; 0 unless it has a group for each of several channels."""
    if weight.shape[1] != 1 or inputs.shape[1] == 1 or weight.shape[0] % inputs.shape[1]:
        return 0
    return outputs.numel() * weight[0].numel()


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

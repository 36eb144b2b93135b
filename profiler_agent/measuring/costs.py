"""Parameters, multiply-adds and peak memory of a module, without executing it."""

import copy
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from latency_tables.contract import Costs

META = torch.device("meta")


def costs_of(module: torch.nn.Module, input_shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Costs:
    """The costs of one execution at these input shapes (with the batch dimension), executed on shapes alone.

    Raises:
        NotImplementedError, RuntimeError: the module has an operator that needs the values.
    """
    shapes_only = copy.deepcopy(module).to(device=META, dtype=dtype).eval()
    inputs = [torch.empty(shape, device=META, dtype=dtype) for shape in input_shapes]
    always_alive = [*shapes_only.parameters(), *shapes_only.buffers(), *inputs]
    with FlopCounterMode(display=False) as flops, _PeakMemory() as memory:
        shapes_only(*inputs)
    return Costs(
        parameters=sum(parameter.numel() for parameter in shapes_only.parameters()),
        macs=flops.get_total_flops() // 2,
        peak_memory_bytes=memory.peak_bytes + sum(tensor.nbytes for tensor in always_alive),
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


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

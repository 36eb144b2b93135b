"""The operations of one system: what builds them, and the digest of all that defines them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from adaptive_networks.core.blocks import Operation, Shape, initialize
from latency_tables.contract import OperationSpec, Scalar, sha256
from lgcnet_search.space.digest import definition


@dataclass(frozen=True, eq=False)
class Definition:
    """A space's `operations` by name, built from input shapes and params; `file` is the source that they stand in.

    `shared` are the files of this folder that hold others of them.
    """

    name: str
    operations: Mapping[str, Callable[..., Operation]]
    file: str
    shared: tuple[str, ...] = ("blocks.py",)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the definitions of the operations, of those that systems share, and of the deployed form."""
        core = resources.files("adaptive_networks.core")
        shared = [core.joinpath(name).read_text("utf-8") for name in self.shared]
        folding = resources.files("lgcnet_search.space").joinpath("fold.py")
        sources = [Path(self.file).read_text("utf-8"), *shared, folding.read_text("utf-8")]
        return sha256("\0".join(map(definition, sources)))

    def spec(self, name: str, *shapes: Shape, **params: Scalar) -> OperationSpec:
        return OperationSpec(
            space=self.name,
            space_digest=self.digest,
            name=name,
            input_shapes=shapes,
            params=tuple(params.items()),
        )

    def build(self, spec: OperationSpec) -> Operation:
        """The module of a spec, in training mode, weights drawn from torch's generator.

        Raises ValueError naming what is unknown or missing.
        """
        operation = self._make(spec)
        initialize(operation)
        return operation

    def output(self, spec: OperationSpec) -> Shape:
        """The shape of what an operation returns, without the batch dimension."""
        return _output(self, spec)

    def count(self, spec: OperationSpec) -> tuple[int, int]:
        """Learned parameters (BatchNorm's two a channel), and MACs of convolutions and matrix products."""
        return _count(self, spec)

    def on_meta(self, spec: OperationSpec) -> Operation:
        """As `build`, without values: nothing is allocated or computed."""
        with torch.device("meta"):
            return self._make(spec).eval()

    def _make(self, spec: OperationSpec) -> Operation:
        if spec.name not in self.operations:
            raise ValueError(f"name: {spec.name!r} is no operation of {self.name}: {', '.join(self.operations)}")
        try:
            return self.operations[spec.name](*spec.input_shapes, **dict(spec.params))
        except TypeError as error:
            raise ValueError(f"params of {spec}: {error}") from error


@lru_cache(maxsize=4096)
def _output(of: Definition, spec: OperationSpec) -> Shape:
    return tuple(_run(of.on_meta(spec), spec).shape[1:]) or (1,)


@lru_cache(maxsize=4096)
def _count(of: Definition, spec: OperationSpec) -> tuple[int, int]:
    module = of.on_meta(spec)
    with FlopCounterMode(display=False) as flops:
        _run(module, spec)
    return sum(parameter.numel() for parameter in module.parameters()), flops.get_total_flops() // 2


@torch.no_grad()
def _run(module: Operation, spec: OperationSpec) -> Tensor:
    result: Tensor = module(*(torch.empty(1, *shape, device="meta") for shape in spec.input_shapes))
    return result

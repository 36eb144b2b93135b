"""Which nodes of an exported model a library executes together."""

from collections.abc import Iterable, Mapping

import onnx
from onnx import ModelProto, NodeProto

from latency_tables.contract import Kernel

ADDED = "_nchwc"
"""What ONNX Runtime adds to the name of a tensor or node when it names a node in its blocked layout."""

POINTWISE = {"Add", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sub", "Tanh"}
"""What is fused into the node before it, not into the one behind."""


class ModelNodes:
    """The nodes of an exported model, by their names and by the tensors that they make."""

    def __init__(self, model: bytes) -> None:
        self._nodes = list(onnx.load_from_string(model).graph.node)
        self._by_tensor = {tensor: node for node in self._nodes for tensor in node.output}
        self._by_name = {node.name: node for node in self._nodes}
        self._users: dict[str, list[NodeProto]] = {}
        for node in self._nodes:
            for tensor in node.input:
                self._users.setdefault(tensor, []).append(node)

    def named(self, names: Iterable[str]) -> tuple[str, ...]:
        """The nodes among these names of nodes or tensors, each once."""
        nodes = (self._by_name.get(name) or self._by_tensor.get(name) for name in names)
        return tuple(dict.fromkeys(node.name for node in nodes if node))

    def kernels_of(self, optimized: ModelProto) -> tuple[Kernel, ...]:
        """The nodes of what ONNX Runtime made of this model, each with the nodes that it executes.

        ONNX Runtime names a node after one of them. The others are told by the graph: what is pointwise belongs to the
        node that makes its input last, anything else to the node that uses it.
        """
        nodes = optimized.graph.node
        owners: dict[str, int] = {}
        for number, node in enumerate(nodes):
            for name in self.named((node.name, node.name.removesuffix(ADDED), *node.output)):
                owners.setdefault(name, number)
        for node in self._nodes:
            if node.name not in owners and node.op_type not in POINTWISE:
                self._give(owners, node, self._owner_behind(owners, node))
        for node in self._nodes:
            if node.name not in owners:
                before = self._owner_before(owners, node)
                self._give(owners, node, self._owner_behind(owners, node) if before is None else before)
        members: dict[int, list[str]] = {}
        for node in self._nodes:
            if node.name in owners:
                members.setdefault(owners[node.name], []).append(node.name)
        return tuple(
            Kernel(kind=node.op_type, nodes=tuple(members.get(number, ()))) for number, node in enumerate(nodes)
        )

    @staticmethod
    def _give(owners: dict[str, int], node: NodeProto, owner: int | None) -> None:
        if owner is not None:
            owners[node.name] = owner

    def _owner_before(self, owners: Mapping[str, int], node: NodeProto) -> int | None:
        makers = (self._by_tensor[tensor].name for tensor in node.input if tensor in self._by_tensor)
        return max((owners[name] for name in makers if name in owners), default=None)

    def _owner_behind(self, owners: Mapping[str, int], node: NodeProto) -> int | None:
        """The owner of the first node on a way of single users that has one."""
        while True:
            users = [user for tensor in node.output for user in self._users.get(tensor, ())]
            if len(users) != 1:
                return None
            (node,) = users
            if node.name in owners:
                return owners[node.name]

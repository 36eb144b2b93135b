"""A search space of three small operations, installed for the tests the way any space is: as a distribution."""

import torch

from lut_server.schemas import NetworkSpec, OperationSpec, sha256

name = "toy"
digest = sha256("toy space, version 1")
requirement = "toy-space==1.0"


def operation(kind: str, side: int = 16) -> OperationSpec:
    return OperationSpec(space=name, space_digest=digest, name=kind, input_shapes=((8, side, side),))


def build_operation(spec: OperationSpec) -> torch.nn.Module:
    if spec.name == "conv":
        return torch.nn.Conv2d(8, 8, 3, padding=1)
    if spec.name == "pool":
        return torch.nn.MaxPool2d(3, 1, 1)
    raise ValueError(f"name={spec.name!r}: the toy space has conv and pool")


def build_network(spec: NetworkSpec) -> torch.nn.Module:
    counts = {item.operation.name: item.count for item in spec.operations}
    return torch.nn.Sequential(
        *(build_operation(operation(kind)) for kind, count in counts.items() for _ in range(count))
    )

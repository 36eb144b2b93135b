"""Operations and networks: the keys of latencies."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from latency_tables.contract.base import MAX_OPERATIONS, Digest, Exact, Name, Params, Shape, canonical_json

MAX_GENOTYPE_DEPTH = 32
_TOO_DEEP = f"genotype: nests deeper than {MAX_GENOTYPE_DEPTH} levels; make it flatter"


class OperationSpec(Exact):
    """One operation at one shape: the key of a latency row.

    `space_digest` covers the definitions of the operations: a changed definition is another key.
    `input_shapes` holds one shape per input, without the batch dimension.
    """

    space: Name
    space_digest: Digest
    name: Name
    input_shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=16)]
    params: Params = ()

    def __str__(self) -> str:
        shapes = " + ".join("×".join(map(str, shape)) for shape in self.input_shapes)
        params = ", ".join(f"{name}={value}" for name, value in self.params)
        return f"{self.space}/{self.name}({shapes}{'; ' + params if params else ''})"


class OperationCount(Exact):
    """How often a network executes an operation."""

    operation: OperationSpec
    count: Annotated[int, Field(gt=0, le=1_000_000)]


class NetworkSpec(Exact):
    """A network of a search space: what builds it, and the multiset of operations that it executes.

    `genotype` is canonical JSON that only the space interprets, at most MAX_GENOTYPE_DEPTH levels deep. `operations` is
    sorted by digest.
    """

    space: Name
    space_digest: Digest
    genotype: Annotated[str, StringConstraints(max_length=100_000)]
    input_shape: Shape
    operations: Annotated[tuple[OperationCount, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]

    @model_validator(mode="after")
    def _check(self) -> "NetworkSpec":
        try:
            genotype = json.loads(self.genotype)
        except RecursionError as error:
            raise ValueError(_TOO_DEEP) from error
        except ValueError as error:
            raise ValueError(f"genotype: not JSON ({error})") from error
        if _canonical(genotype) != self.genotype:
            raise ValueError("genotype: not canonical JSON; make it with latency_tables.contract.canonical_json")
        digests = [item.operation.digest for item in self.operations]
        if digests != sorted(set(digests)):
            raise ValueError("operations: each operation once, sorted by digest; make it with NetworkSpec.of")
        return self

    @classmethod
    def of(
        cls,
        space: str,
        space_digest: str,
        genotype: Any,
        input_shape: tuple[int, ...],
        operations: Mapping[OperationSpec, int],
    ) -> "NetworkSpec":
        """Put genotype and multiset into their canonical form.

        Raises:
            ValueError: the genotype is not JSON, or nests deeper than MAX_GENOTYPE_DEPTH levels.
        """
        counts = [OperationCount(operation=operation, count=count) for operation, count in operations.items()]
        return cls(
            space=space,
            space_digest=space_digest,
            genotype=_canonical(genotype),
            input_shape=input_shape,
            operations=tuple(sorted(counts, key=lambda item: item.operation.digest)),
        )


def _canonical(genotype: Any) -> str:
    """Its canonical JSON. Raises ValueError for one that nests too deep: writing it would exhaust the stack."""
    items = [genotype]
    for _ in range(MAX_GENOTYPE_DEPTH + 1):
        containers = [item for item in items if isinstance(item, (Mapping, list, tuple))]
        if not containers:
            return canonical_json(genotype)
        items = [item for part in containers for item in (part.values() if isinstance(part, Mapping) else part)]
    raise ValueError(_TOO_DEEP)

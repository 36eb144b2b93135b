"""What the plugin of a search space checks before it builds: that a spec is of its definition, and true."""

from latency_tables.contract import NetworkSpec, OperationSpec


def require_definition(spec: OperationSpec | NetworkSpec, space: str, digest: str, requirement: str) -> None:
    """Raises ValueError for a spec of another space, or of another definition of this one."""
    if (spec.space, spec.space_digest) != (space, digest):
        raise ValueError(
            f"space {spec.space!r} with definition {spec.space_digest[:12]}… is not the one installed here "
            f"({space!r}, {digest[:12]}…): install the same version of {requirement} on both machines"
        )


def require_equal(spec: NetworkSpec, expected: NetworkSpec, what: str = "the genotype") -> None:
    """Raises ValueError where a spec has another input shape, or lists other operations, than its genotype.

    `what` executes those of `expected`, which is made from the genotype.
    """
    if expected.input_shape != spec.input_shape:
        raise ValueError(f"input_shape: {spec.input_shape} is not the genotype's, {expected.input_shape}")
    if expected.operations != spec.operations:
        ours = {counted.operation: counted.count for counted in expected.operations}
        theirs = {counted.operation: counted.count for counted in spec.operations}
        wrong = next(operation for operation in (*ours, *theirs) if ours.get(operation) != theirs.get(operation))
        raise ValueError(
            f"operations: {theirs.get(wrong, 0)} × {wrong} listed, {what} executes it {ours.get(wrong, 0)} times"
        )

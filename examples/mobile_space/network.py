"""The network of a genotype: a chain of operations."""

from collections import Counter

from latency_tables.contract import NetworkSpec, OperationSpec

from .digest import SPACE, space_digest
from .genotype import Genotype
from .space import SKIP, STAGES, block_operation, channels, classifier, head, output_shape


def chain(genotype: Genotype) -> tuple[OperationSpec, ...]:
    """The operations in order of execution, each on what the one before gives. A skipped block executes nothing."""
    operations = [*head(genotype.space)]
    for stage, choice in zip(STAGES, genotype.stages, strict=True):
        for number, block in enumerate(choice.blocks):
            if block != SKIP:
                shape = output_shape(operations[-1])
                stride = 1 if number else stage.stride
                operations.append(block_operation(block, shape, channels(stage, choice.width), stride))
    return (*operations, classifier(genotype.space, output_shape(operations[-1])))


def network_spec(genotype: Genotype) -> NetworkSpec:
    """What a job is posted with: the genotype and the multiset of operations that its network executes."""
    return NetworkSpec.of(
        SPACE,
        space_digest(),
        genotype.model_dump(mode="json"),
        genotype.space.input_shape,
        Counter(chain(genotype)),
    )

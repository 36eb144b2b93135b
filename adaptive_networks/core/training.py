"""A whole training step as a network: the training steps of all blocks, executed in one piece."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation
from adaptive_networks.core.definition import Definition
from adaptive_networks.core.plan import Plan
from adaptive_networks.core.staged import PathNetwork
from adaptive_networks.core.train_step import LOSS, PREFIX, TrainStep
from latency_tables.contract import OperationSpec


def training_multiset(definition: Definition, plan: Plan) -> Counter[OperationSpec]:
    """What a training step of the last exit executes.

    What stands before the first weights only runs forward, and the first block needs no gradient of its input. What is
    executed beside the exits is left out: a loss does not need it.
    """
    count: Counter[OperationSpec] = Counter()
    learned: set[str] = set()
    for step in _learned(plan).steps:
        passes_on = not learned.isdisjoint(step.inputs)
        if passes_on or definition.count(step.operation)[0]:
            learned.add(step.name)
            count[_training_of(definition, step.operation, passes_on)] += 1
        else:
            count[step.operation] += 1
    count[_loss(definition, plan)] += 1
    return count


def training_network(definition: Definition, plan: Plan, build: Callable[[OperationSpec], Operation]) -> TrainStep:
    """One forward pass, one backward pass and one update of everything."""
    loss = build(_loss(definition, plan))
    assert isinstance(loss, TrainStep)
    return TrainStep(_WithLoss(PathNetwork(_learned(plan), build), loss.trained), input_gradient=False)


class _WithLoss(nn.Module):
    """Images to the loss of the last exit."""

    def __init__(self, network: PathNetwork, loss: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, images: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.network(images)[-1])
        return loss


def _learned(plan: Plan) -> Plan:
    """The last exit's path alone."""
    return replace(plan, beside=()).cut(len(plan.exits) - 1)


def _loss(definition: Definition, plan: Plan) -> OperationSpec:
    logits = plan.exits[-1].logits
    (last,) = (step.operation for step in plan.steps if step.name == logits)
    return definition.spec(LOSS, definition.output(last))


def _training_of(definition: Definition, operation: OperationSpec, input_gradient: bool) -> OperationSpec:
    params = dict(operation.params) | ({} if input_gradient else {"input_gradient": False})
    return definition.spec(PREFIX + operation.name, *operation.input_shapes, **params)

"""A network that runs a plan: all exits at once, or one after the other until a gate says stop."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from adaptive_networks.core.blocks import Foldable, Operation
from adaptive_networks.core.plan import Plan
from latency_tables.contract import OperationSpec
from lgcnet_search.space import fold
from lgcnet_search.space.graph import INPUT, Step, spent_after
from lgcnet_search.space.network import attach

Values = dict[str, Tensor]
Staged = TypeVar("Staged", bound="StagedNetwork")
Module = TypeVar("Module", bound=nn.Module)


def deploy(module: Module) -> Module:
    """Turn a module of operations into its deployed form, in place: evaluation mode, every BatchNorm folded."""
    fold.deploy(module)
    for part in module.modules():
        if isinstance(part, Foldable):
            part.fold()
    return module


class StagedNetwork(nn.Module):
    """Images N×3×H×W to the logits N×classes of every exit. Weights stand under the names of the steps."""

    def __init__(self, plan: Plan, build: Callable[[OperationSpec], Operation]) -> None:
        super().__init__()
        self.plan = plan
        self._build = build
        last = len(plan.exits) - 1
        done: set[str] = set()
        self.stage_steps: list[tuple[Step, ...]] = []
        for exit in range(last + 1):
            new = tuple(step for step in plan.path(exit) if step.name not in done)
            done.update(step.name for step in new)
            self.stage_steps.append(new)
        self._operations: dict[str, Operation] = {}
        for step in (step for stage in self.stage_steps for step in stage):
            self._operations[step.name] = build(step.operation)
            attach(self, step.name, self._operations[step.name])
        answers = (name for exit in plan.exits for name in exit)
        self.spent = spent_after((step for stage in self.stage_steps for step in stage), {*answers, *plan.beside})
        """Step → values that no step after it reads, but for answers and what is beside them."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The logits of every exit."""
        return tuple(logits for logits, _ in self.stages(images))

    def stages(self, images: Tensor, values: Values | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Logits and confidence (N) of one exit after the other, computing no more than is asked for.

        A value is forgotten after its last use: the next one then lies in memory that is in the cache. `values`, where
        given, gets those of the answers and beside them. Raises ValueError for images of another size.
        """
        if tuple(images.shape[1:]) != self.plan.input_shape:
            expected = "×".join(map(str, self.plan.input_shape))
            raise ValueError(f"images: {tuple(images.shape)} given, this network takes N×{expected}")
        values = {} if values is None else values
        values[INPUT] = images
        for steps, (logits, gate) in zip(self.stage_steps, self.plan.exits, strict=True):
            self.execute(steps, values, self.spent)
            yield values[logits], None if gate is None else values[gate]

    def execute(self, steps: Sequence[Step], values: Values, spent: Mapping[str, Sequence[str]] | None = None) -> None:
        """Run steps on values by name, and add theirs; forget those that are `spent` after a step."""
        spent = spent or {}
        for step in steps:
            values[step.name] = self._operations[step.name](*[values[source] for source in step.inputs])
            for name in spent.get(step.name, ()):
                del values[name]

    @torch.inference_mode()
    def classify(self, image: Tensor, thresholds: Sequence[float]) -> tuple[Tensor, int]:
        """Logits and exit of one image 1×3×H×W: the first exit whose confidence is at least its threshold.

        Raises ValueError for several images, or thresholds of another number of exits.
        """
        if len(image) != 1:
            raise ValueError(f"image: {len(image)} given; inputs of a batch leave at different exits, so give one")
        if len(thresholds) != len(self.plan.exits):
            raise ValueError(f"thresholds: {len(thresholds)} given, the network has {len(self.plan.exits)} exits")
        for exit, (logits, confidence) in enumerate(self.stages(image)):
            if confidence is None or confidence.item() >= thresholds[exit]:
                return logits, exit
        raise AssertionError("the last exit has no gate")

    def path(self, exit: int) -> "PathNetwork":
        """Path `exit` as a network of its own, with a copy of the weights that it needs."""
        path = PathNetwork(self.plan.cut(exit), self._build).train(self.training)
        state = self.state_dict()
        path.load_state_dict({name: state[name] for name in path.state_dict()})
        return path

    def deployed(self: Staged) -> Staged:
        """A copy in evaluation mode, every BatchNorm folded into the convolution before it."""
        return deploy(copy.deepcopy(self))


class PathNetwork(StagedNetwork):
    """Images to the values beside the exits, the confidence of every gate, and the logits of the last exit.

    All of them are outputs, so that no engine leaves out what they are made of.
    """

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        values: Values = {}
        stages = list(self.stages(images, values))
        beside = (values[name] for name in self.plan.beside)
        return (*beside, *(gate for _, gate in stages if gate is not None), stages[-1][0])


class Stage(nn.Module):
    """What a network executes between two exits, for engines that take a module each.

    In: the values named by `inputs`, of the image and of earlier stages. Out: those named by `outputs`; the confidence
    (where the exit has a gate) and the logits come first, then what later stages read.
    """

    def __init__(self, network: StagedNetwork, exit: int) -> None:
        super().__init__()
        self.network = network
        self.steps = network.stage_steps[exit]
        own = {step.name for step in self.steps}
        read = [source for step in self.steps for source in step.inputs]
        later = [source for steps in network.stage_steps[exit + 1 :] for step in steps for source in step.inputs]
        logits, gate = network.plan.exits[exit]
        answers = [logits] if gate is None else [gate, logits]
        self.inputs = tuple(dict.fromkeys(name for name in read if name not in own))
        self.outputs = tuple(dict.fromkeys([*answers, *(name for name in later if name in own)]))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(self.inputs, inputs, strict=True))
        self.network.execute(self.steps, values)
        return tuple(values[name] for name in self.outputs)

"""A training step as an operation: what SGD makes of a block, wherever and however often it is executed."""

import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.core.train_step import TrainStep, weighted_cross_entropy
from adaptive_networks.dance.plugin import space as dance
from adaptive_networks.dance.space import Space as Dance
from adaptive_networks.jitnet.plugin import space as jitnet
from adaptive_networks.jitnet.space import Space as Jitnet
from latency_tables.contract import NetworkSpec, OperationSpec, Runtime
from lgcnet_search.space.network import seeded
from profiler_agent.measuring.costs import counted
from profiler_agent.measuring.reasons import reason_of
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject

LR = 0.1
STEPS: dict[str, tuple[Plugin[Any], NetworkSpec]] = {
    "dance": (dance, dance.training_step(Dance(height=48, width=64, classes=5), (1,))),
    "jitnet": (jitnet, jitnet.training_step(Jitnet(height=48, width=64, classes=5))),
}
trained = pytest.mark.parametrize("system", STEPS)


def block() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize("inference", [False, True])
def test_it_is_a_step_of_sgd(inference: bool) -> None:
    """Built and executed inside inference mode as well as outside, with a batch that changes."""
    reference, batches = block(), [torch.randn(2, 3, 8, 8) for _ in range(3)]
    optimizer = torch.optim.SGD(reference.parameters(), LR, momentum=0.9)
    with torch.inference_mode(inference):
        step = TrainStep(trainable(block), lr=LR).to(torch.device("cpu")).eval()
        outputs = [step(batch.clone()) for batch in (batches[0], *batches)]
    for batch, output in zip((batches[0], *batches), outputs, strict=True):
        expected = reference(batch)
        assert torch.equal(expected, output)
        gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        expected.backward(gradient)
        optimizer.step()
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(step.trained.state_dict()[name], value)


def trainable(make: Callable[[], nn.Module]) -> nn.Module:
    """As a plugin makes modules that are trained."""
    with torch.inference_mode(False):
        return make()


def test_without_a_learning_rate_parameters_stay_and_outputs_repeat() -> None:
    step, image = TrainStep(block()), torch.randn(1, 3, 8, 8)
    before = copy.deepcopy(dict(step.named_parameters()))
    first = step(image)
    assert all(torch.equal(step(image), first) for _ in range(20))
    assert all(torch.equal(value, before[name]) for name, value in step.named_parameters())
    assert all(parameter.grad is None for parameter in step.parameters())


def test_it_leaves_nothing_for_the_garbage_collector() -> None:
    """Which is off while an agent measures."""
    step, image = TrainStep(block()), torch.randn(1, 3, 8, 8)
    step(image)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            step(image)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_first_block_computes_no_gradient_of_its_input() -> None:
    assert [forward_passes(gradient) for gradient in (True, False)] == [3, 2]


def forward_passes(input_gradient: bool) -> int:
    """As many as have the MACs of a step."""
    one = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    step = TrainStep(one, input_gradient=input_gradient)
    macs = counted(step, ((1, 4, 8, 8),), torch.float32).costs.macs
    return macs // (4 * 4 * 9 * 64)


@trained
def test_an_agent_builds_counts_and_executes_a_whole_step(system: str) -> None:
    plugin, spec = STEPS[system]
    forward = plugin.definition
    shapes = ((1, *spec.input_shape),)
    mode = open_mode(Runtime(threads=1), torch.device("cpu"))
    with torch.inference_mode():
        whole = plugin.build_network(spec)
        execute = mode.prepare(Subject(whole, shapes))
        first, second = execute(), execute()
        costs = counted(plugin.build_network(spec), shapes, torch.float32).costs
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert torch.equal(first, second), "nothing drifts"
    assert first.isfinite()
    rows = {item.operation: item.count for item in spec.operations}
    assert costs.macs == sum(count * forward.count(operation)[1] for operation, count in rows.items())
    assert sum(count for operation, count in rows.items() if "input_gradient" in dict(operation.params)) == 1


@trained
def test_an_agent_builds_and_executes_every_training_row(system: str) -> None:
    plugin, spec = STEPS[system]
    mode = open_mode(Runtime(threads=1), torch.device("cpu"))
    with torch.inference_mode():
        for operation in (item.operation for item in spec.operations):
            shapes = tuple((2, *shape) for shape in operation.input_shapes)
            execute = mode.prepare(Subject(plugin.build_operation(operation), shapes, is_part=True))
            first, second = execute(), execute()
            assert isinstance(first, Tensor)
            assert isinstance(second, Tensor)
            assert torch.equal(first, second), operation


def test_what_stands_before_the_first_weights_only_runs_forward() -> None:
    """And what decides about an image's path is known in training."""
    names = {item.operation.name for item in STEPS["dance"][1].operations}
    assert {"downsample", "train_conv", "train_concat", "train_resize", "train_loss"} <= names
    assert not {"train_downsample", "complexity", "train_complexity", "conv"} & names


@pytest.mark.process
@pytest.mark.parametrize("mode", ["onnxruntime", "pytorch-compile"])
def test_modes_that_export_or_compile_refuse_it_with_the_reason(mode: str) -> None:
    plugin, spec = STEPS["dance"]
    (operation,) = (item.operation for item in spec.operations if item.operation.name == "train_logits")
    assert "use mode pytorch" in reason(plugin, operation, mode)


def reason(plugin: Plugin[Any], operation: OperationSpec, mode: str) -> str:
    opened = open_mode(Runtime.model_validate({"mode": mode, "threads": 1}), torch.device("cpu"))
    with torch.inference_mode(), pytest.raises(Exception, match="training step") as caught:
        opened.prepare(Subject(plugin.build_operation(operation), ((1, *operation.input_shapes[0]),), is_part=True))
    return reason_of(caught.value)


@trained
def test_a_step_of_something_else_is_refused(system: str) -> None:
    plugin, spec = STEPS[system]
    forward = spec.model_copy(update={"genotype": spec.genotype.replace("true", "false")})
    with pytest.raises(ValueError, match="operations: "):
        plugin.build_network(forward)


def test_equal_weights_give_the_mean() -> None:
    logits, targets = torch.randn(2, 5, 4, 4), torch.randint(5, (2, 4, 4))
    weights = torch.full((2, 4, 4), 1 / 32)
    torch.testing.assert_close(
        weighted_cross_entropy(logits, targets, weights), nn.functional.cross_entropy(logits, targets)
    )

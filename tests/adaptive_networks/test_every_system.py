"""What must hold for every network with exits: its paths, its stages, its plugin."""

import json
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation
from adaptive_networks.core.staged import Stage, StagedNetwork
from latency_tables.contract import NetworkSpec, OperationSpec
from lgcnet_search.space.graph import INPUT, Step
from lgcnet_search.space.network import seeded
from profiler_agent.measuring.costs import counted
from tests.adaptive_networks.systems import SYSTEMS, System


@pytest.fixture(params=list(SYSTEMS), scope="module")
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]


@pytest.fixture(scope="module")
def network(system: System) -> StagedNetwork:
    """In evaluation mode, with statistics of its own: folding them must change nothing."""
    with seeded(1):
        staged = system.plugin.staged(system.space, system.choice)
        staged.train()
        with torch.no_grad():
            staged(torch.randn(8, *staged.plan.input_shape))
        return staged.eval()


def images_of(network: StagedNetwork, count: int = 2) -> Tensor:
    return torch.randn(count, *network.plan.input_shape, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_stages_the_whole_and_paths_agree_bit_for_bit(network: StagedNetwork) -> None:
    images = images_of(network)
    whole = network(images)
    stages = list(network.stages(images))
    assert len(whole) == len(stages) == len(network.plan.exits)
    for exit, (logits, confidence) in enumerate(stages):
        path = network.path(exit)
        *gates, last = path(images)[len(network.plan.beside) :]
        assert torch.equal(last, logits)
        assert torch.equal(whole[exit], logits)
        for gate, (_, earlier) in zip(gates, stages, strict=False):
            assert earlier is not None
            assert torch.equal(gate, earlier)
        if confidence is not None:
            torch.testing.assert_close(confidence, logits.softmax(1).amax(1))
            assert torch.equal(gates[-1], confidence)
        deployed = path.deployed()
        assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
        scale = float(last.abs().max())
        torch.testing.assert_close(deployed(images)[-1], last, rtol=0, atol=1e-4 * scale)


@torch.inference_mode()
def test_values_are_forgotten_after_their_last_use(network: StagedNetwork) -> None:
    """Else each would lie in memory of its own, outside the cache, and networks took up to half as long again."""
    values: dict[str, Tensor] = {}
    outputs = list(network.stages(images_of(network), values))
    answers = {name for exit in network.plan.exits for name in exit if name}
    assert set(values) == answers | {*network.plan.beside}
    assert len(outputs) == len(network.plan.exits)


@torch.inference_mode()
def test_stages_as_modules_of_their_own_agree_with_the_whole(network: StagedNetwork) -> None:
    values = {INPUT: images_of(network)}
    for exit, logits in enumerate(network(values[INPUT])):
        stage = Stage(network, exit)
        outputs = stage(*(values[name] for name in stage.inputs))
        values.update(zip(stage.outputs, outputs, strict=True))
        assert torch.equal(values[network.plan.exits[exit].logits], logits)


def test_paths_nest(network: StagedNetwork) -> None:
    plan = network.plan
    for exit in range(len(plan.exits) - 1):
        assert plan.multiset(exit) <= plan.multiset(exit + 1)
    assert plan.multiset(len(plan.exits) - 1) == Counter(step.operation for step in plan.steps)
    with pytest.raises(ValueError, match="exit: 99 is none of 0 to"):
        plan.path(99)


def executed(network: StagedNetwork) -> Counter[OperationSpec]:
    """The operations of a real forward pass, each checked against the shapes that it was given."""
    count: Counter[OperationSpec] = Counter()

    def record(step: Step, inputs: tuple[Tensor, ...]) -> None:
        assert tuple(tuple(value.shape[1:]) for value in inputs) == step.operation.input_shapes
        count[step.operation] += 1

    for step in (step for steps in network.stage_steps for step in steps):
        operation = network.get_submodule(step.name)
        assert isinstance(operation, Operation)
        operation.register_forward_hook(lambda _, inputs, __, step=step: record(step, inputs))
    with torch.inference_mode():
        network(images_of(network))
    return count


def test_a_path_executes_its_multiset(system: System) -> None:
    for spec in system.plugin.paths(system.space, system.choice):
        built = system.plugin.build_network(spec)
        assert isinstance(built, StagedNetwork)
        assert executed(built) == {item.operation: item.count for item in spec.operations}


def test_classify_stops_where_a_gate_says_so(network: StagedNetwork) -> None:
    image = images_of(network, 1)
    exits = len(network.plan.exits)
    for wanted in range(exits):
        thresholds = [float("inf")] * wanted + [float("-inf")] * (exits - wanted)
        logits, exit = network.classify(image, thresholds)
        assert exit == wanted
        torch.testing.assert_close(logits, network(image)[wanted], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=f"thresholds: {exits + 1} given"):
        network.classify(image, [0.5] * (exits + 1))
    with pytest.raises(ValueError, match="image: 2 given"):
        network.classify(images_of(network, 2), [0.5] * exits)
    with pytest.raises(ValueError, match=r"images: .* given, this network takes N×3×"):
        network.classify(torch.zeros(1, 3, 5, 5), [0.5] * exits)


def test_an_agent_counts_what_the_definition_counts(system: System) -> None:
    """On the deployed path, whose BatchNorms are folded: MACs are equal, parameters fewer."""
    definition, plan = system.plugin.definition, system.space.plan(system.choice)
    last = len(plan.exits) - 1
    built = system.plugin.build_network(system.plugin.paths(system.space, system.choice)[last])
    costs = counted(built, ((1, *plan.input_shape),), torch.float32).costs
    sizes = [definition.count(step.operation) for step in plan.path(last)]
    assert costs.macs == sum(macs for _, macs in sizes)
    assert costs.parameters <= sum(parameters for parameters, _ in sizes)


def test_a_plugin_builds_what_it_lists_and_nothing_else(system: System) -> None:
    plugin = system.plugin
    spec = plugin.paths(system.space, system.choice)[0]
    first, second = (plugin.build_network(spec).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    counts = {item.operation: item.count for item in spec.operations}
    wrong = next(iter(counts))
    changed = NetworkSpec.of(
        spec.space, spec.space_digest, json.loads(spec.genotype), spec.input_shape, {**counts, wrong: 7}
    )
    with pytest.raises(ValueError, match="operations: 7 ×"):
        plugin.build_network(changed)
    with pytest.raises(ValueError, match="is not the one installed here"):
        plugin.build_network(spec.model_copy(update={"space_digest": "0" * 64}))
    with pytest.raises(ValueError, match="genotype: none of"):
        plugin.build_network(spec.model_copy(update={"genotype": "[]"}))
    with pytest.raises(ValueError, match="input_shape:"):
        plugin.build_network(spec.model_copy(update={"input_shape": (3, 7, 7)}))
    unknown = spec.operations[0].operation.model_copy(update={"name": "unknown"})
    with pytest.raises(ValueError, match="name: 'unknown' is no operation"):
        plugin.build_operation(unknown)


def test_every_operation_of_a_path_builds_alone(system: System) -> None:
    for operation in system.space.plan(system.choice).operations:
        module = system.plugin.build_operation(operation)
        inputs = [torch.randn(2, *shape) for shape in operation.input_shapes]
        before = [value.clone() for value in inputs]
        with torch.inference_mode():
            module(*inputs)
        assert all(map(torch.equal, inputs, before)), "no operation writes to its input"

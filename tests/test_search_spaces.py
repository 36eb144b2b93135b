"""Search spaces that this project does not know: installed by pip, profiled, measured, calibrated and predicted."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from examples.mobile_space import plugin
from examples.mobile_space.blocks import Operation, build, deploy
from examples.mobile_space.digest import REQUIREMENT, SPACE, space_digest
from examples.mobile_space.genotype import Genotype, random_genotype
from examples.mobile_space.network import network_spec
from examples.mobile_space.space import SKIP, Space, specify
from latency_tables.client import LutClient
from latency_tables.contract import (
    DeviceSelector,
    Effort,
    JobRequest,
    LatencyTable,
    NetworkSpec,
    OperationCount,
    OperationSpec,
    Runtime,
)
from profiler_agent.measuring.workload import load_space
from tests.profiler_agent import conftest as processes
from tests.support.agents import Agents, wait_until
from tests.support.installing import install
from tests.support.processes import Server

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "search-spaces.md").read_text("utf-8")
server, client, agents = processes.server, processes.client, processes.agents
SMALL = Space(side=64, classes=10, depth=2)


def executed(network: nn.Module, images: Tensor) -> Counter[OperationSpec]:
    """The operations of a real forward pass, each checked against the shape it was given."""
    count: Counter[OperationSpec] = Counter()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(module, Operation)
        assert tuple(tuple(value.shape[1:]) for value in inputs) == module.spec.input_shapes
        count[module.spec] += 1

    for module in network.modules():
        if isinstance(module, Operation):
            module.register_forward_hook(record)
    with torch.inference_mode():
        assert network(images).shape == (len(images), 10)
    return count


@pytest.mark.parametrize("seed", range(4))
def test_a_network_executes_the_multiset_of_its_spec(seed: int) -> None:
    space = Space(side=(64, 75)[seed % 2], classes=10)
    spec = network_spec(random_genotype(space, seed))
    assert executed(plugin.build_network(spec), torch.randn(2, *space.input_shape)) == {
        item.operation: item.count for item in spec.operations
    }
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("space", [SMALL, Space(side=64, depth=1, widths=(0.5, 1.0))])
def test_the_table_has_every_operation_of_every_network_and_no_other(space: Space) -> None:
    keys = set(space.operations)
    found: set[OperationSpec] = set()
    for seed in range(900):
        found.update(item.operation for item in network_spec(random_genotype(space, seed)).operations)
    assert found == keys


def test_a_skipped_block_executes_nothing() -> None:
    genotype = random_genotype(Space(side=64), 3)
    fewest = genotype.model_copy(
        update={
            "stages": tuple(
                stage.model_copy(update={"blocks": (stage.blocks[0], *[SKIP] * (len(stage.blocks) - 1))})
                for stage in genotype.stages
            )
        }
    )
    assert sum(item.count for item in network_spec(fewest).operations) == 3 + len(genotype.stages)


def test_a_deployed_operation_equals_the_trained_one() -> None:
    for spec in SMALL.operations[::12]:
        operation = build(spec).train()
        images = torch.randn(4, *spec.input_shapes[0])
        with torch.no_grad():
            for _ in range(3):
                operation(images)
            expected = operation.eval()(images)
            deployed = deploy(operation)
            assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
            torch.testing.assert_close(deployed(images), expected, rtol=1e-4, atol=1e-4)


def test_activations_of_a_fresh_network_keep_their_size() -> None:
    network = plugin.build_network(network_spec(random_genotype(Space(side=64), 5)))
    sizes: list[float] = []
    for module in network.modules():
        if isinstance(module, Operation):
            module.register_forward_hook(lambda _, __, value: sizes.append(float(value.square().mean().sqrt())))
    with torch.inference_mode():
        network(torch.randn(1, 3, 64, 64))
    assert min(sizes) > 1e-2
    assert max(sizes) < 1e2


def test_equal_specs_give_equal_weights_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (plugin.build_operation(SMALL.operations[5]) for _ in range(2))
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_a_network_with_another_multiset_is_refused() -> None:
    spec = network_spec(random_genotype(SMALL, 0))
    twice = OperationCount(operation=spec.operations[0].operation, count=spec.operations[0].count + 1)
    for wrong in (spec.operations[1:], (twice, *spec.operations[1:])):
        with pytest.raises(ValueError, match="operations: not what the network of this genotype has"):
            plugin.build_network(spec.model_copy(update={"operations": wrong}))


def test_what_is_not_of_the_space_is_refused_by_name() -> None:
    spec = network_spec(random_genotype(SMALL, 0))
    other = SMALL.operations[0].model_copy(update={"space_digest": "0" * 64})
    with pytest.raises(ValueError, match=r"install the same version of mobile-space==1\.0"):
        plugin.build_operation(other)
    with pytest.raises(ValueError, match="unknown operation 'inverted_residual_9x9'; known are stem"):
        plugin.build_operation(specify("inverted_residual_9x9", (8, 8, 8), out_channels=8, expansion=3, stride=1))
    with pytest.raises(ValueError, match=r"params of mobile/stem.*colour"):
        plugin.build_operation(specify("stem", (3, 64, 64), out_channels=8, colour=1))
    for text, named in (
        (spec.genotype.replace("3x3_e3", "9x9_e3").replace("5x5_e3", "9x9_e3"), "'9x9_e3' is none of 3x3_e3"),
        (spec.genotype.replace('"width":1.0', '"width":3.0'), r"stages\[.\].width: 3.0 is none of"),
    ):
        assert text != spec.genotype
        with pytest.raises(ValueError, match=named):
            Genotype.model_validate_json(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mobile space, and the one of the document, installed."""
    folder = tmp_path_factory.mktemp("spaces")
    site = folder / "site"
    install(ROOT / "examples" / "mobile_space", site)
    for path, text in files(DOCUMENT).items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, "utf-8")
    install(folder / "chains", site)
    (site / "measure.py").write_text(files(DOCUMENT)["measure.py"], "utf-8")
    return site


def files(document: str) -> dict[str, str]:
    """The files that a document shows, each introduced by its path."""
    return dict(re.findall(r"^`([\w/.-]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", document, re.DOTALL | re.MULTILINE))


def test_the_installed_space_is_the_one_here(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    space = load_space(SPACE, space_digest(), REQUIREMENT)
    assert str(site) in str(sys.modules[type(space.build_operation(SMALL.operations[0])).__module__].__file__)
    assert (space.name, space.digest, space.requirement) == (plugin.name, plugin.digest, plugin.requirement)


@pytest.mark.process
def test_a_second_space_goes_the_whole_way(server: Server, client: LutClient, agents: Agents) -> None:
    space = Space(side=64, classes=10, depth=2, widths=(1.0,))
    networks = [network_spec(random_genotype(space, seed)) for seed in range(6)]
    measured, unseen = networks[:4], networks[4:]
    runtime = Runtime(threads=1)

    def job(operations: tuple[OperationSpec, ...] = (), networks: tuple[NetworkSpec, ...] = ()) -> JobRequest:
        return JobRequest(
            device=DeviceSelector(kind="cpu"),
            runtime=runtime,
            space=SPACE,
            space_digest=space_digest(),
            requirement=REQUIREMENT,
            operations=operations,
            networks=networks,
            effort=Effort(min_blocks=6, budget_s=2),
        )

    executed = {item.operation for network in networks for item in network.operations}
    profiling = client.submit_job(job(operations=tuple(key for key in space.operations if key in executed)))
    measuring = client.submit_job(job(networks=tuple(measured)))
    assert agents.once(server.url) == 0, agents.log().read_text()

    table_id = client.wait_for_job(profiling.id).table_id
    assert table_id is not None
    assert client.wait_for_job(measuring.id).state == "done"
    table = client.table(table_id)
    assert {row.operation for row in table.rows} == executed
    calibration = client.calibration(table_id)
    assert {one.network for one in calibration.evidence} == {network.digest for network in measured}
    assert calibration.card.networks == 4
    kinds = {coefficient.kind for coefficient in calibration.coefficients}
    assert kinds == {item.operation.name for network in measured for item in network.operations}
    for network in measured:
        (result,) = client.network(network.digest).results
        assert result.raw_us == pytest.approx(_sum_us(table, network))
        assert result.predicted_us is not None
        # Rows and networks are of one unit; how near they come is a matter of the benchmarks.
        assert 1e-2 < result.predicted_us / result.measured_us < 1e2
    for network, said in zip(unseen, client.predict(unseen, table.device.uuid, runtime), strict=True):
        assert (said.network, said.calibration_id) == (network.digest, calibration.id)
        assert said.raw_us == pytest.approx(_sum_us(table, network))
        assert said.low_us is not None
        assert said.predicted_us is not None
        assert said.high_us is not None
        assert said.low_us < said.predicted_us < said.high_us


def _sum_us(table: LatencyTable, network: NetworkSpec) -> float:
    rows = [(table[item.operation], item.count) for item in network.operations]
    whole = all(row.normalized_us is not None for row, _ in rows)
    return sum(
        count * (row.normalized_us if whole and row.normalized_us else row.latency.median_us) for row, count in rows
    )


@pytest.mark.process
def test_the_example_of_the_document_goes_the_whole_way(
    server: Server, client: LutClient, agents: Agents, site: Path
) -> None:
    agents.start(server.url)
    wait_until(client.devices)
    script = site / "measure.py"
    text = script.read_text("utf-8").replace("http://127.0.0.1:8000", server.url)
    small = text.replace("Effort()", "Effort(min_blocks=6, budget_s=2)")
    assert small.count(server.url) == 1
    assert "min_blocks=6" in small
    done = subprocess.run(
        [sys.executable, "-c", small],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"8 networks, mean error [\d.]+%(, (of which measuring|no more than measuring's own) [\d.]+%)? "
        r"\(uncalibrated [\d.]+%\)",
        done.stdout,
    )
    assert len(re.findall(r"^\[.*\]: [\d.]+ µs, 90 % between", done.stdout, re.MULTILINE)) == 3

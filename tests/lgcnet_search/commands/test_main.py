"""The commands against a real server; an agent of the test answers with made-up latencies."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest
import uuid6

from latency_tables.client import LutClient
from latency_tables.contract import Completion, Latency, NetworkResult, Quality, Runtime
from lgcnet_search.__main__ import main
from lgcnet_search.commands.measuring import show
from lgcnet_search.jobs import AgentError, find_device
from lgcnet_search.space import plugin
from lgcnet_search.space.genotype import Genotype, random_genotype, typical_genotype
from lgcnet_search.space.network import DerivedNetwork, network_spec
from lgcnet_search.space.space import Space
from lgcnet_search.training.weights import Weights
from tests.support import factories
from tests.support.processes import serving

SIZE = ["--height", "65", "--width", "97", "--channels", "1"]
SPACE = Space(height=65, width=97, channels=1)
PROFILE = ["profile", "--calibrate", 0]
AGENT = factories.report(uuid="cpu-7", name="Test CPU")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture
def agent(server: str) -> Iterator[None]:
    """Measures whatever it is given: operations 10 µs, networks the sum of theirs and a tenth more."""
    stop = threading.Event()

    def work() -> None:
        with LutClient(server) as client:
            client.register_device(AGENT)
            while not stop.is_set():
                lease = client.claim(factories.lease_request(AGENT, wait_s=0.2))
                if lease is None:
                    continue
                networks = {network.digest: network for network in lease.job.request.networks}
                for key in lease.remaining:
                    latency_us = 11.0 * sum(item.count for item in networks[key].operations) if networks else 10.0
                    client.put_measurement(factories.measurement(lease, key, AGENT, latency_us))
                client.complete(lease.id, lease.token, Completion())

    with LutClient(server) as client:
        client.register_device(AGENT)
    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["lgcnet-search", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_profile_search_and_measure(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at = ["--server", server, "--device", "test cpu"]
    assert run(monkeypatch, "profile", *at, *SIZE) == 0
    said = capsys.readouterr().out
    assert f"65×97, pytorch fp32, batch 1 on Test CPU: {len(SPACE.operations)} operations, 0 of them doubtful" in said
    lines = said.splitlines()
    table = lines[0].split()[-1]
    assert "calibrated by 8 networks" in lines[1]
    assert "(raw sum: 9.1%)" in lines[1]

    out = tmp_path / "found"
    light = ["--steps", 2, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    assert run(monkeypatch, "search", *at, *SIZE, *light, "--proxy-channels", 2, "--table", table, "--out", out) == 0
    genotype = Genotype.from_json((out / "genotype.json").read_text())
    assert genotype.space == SPACE
    executed = sum(item.count for item in network_spec(genotype).operations)
    history = json.loads((out / "history.json").read_text())
    assert history["table_id"] == table
    assert history["predicted_us"] == pytest.approx(11.0 * executed, rel=0.02), "as inside a network"
    assert history["proxy"]["channels"] == 2
    assert len(history["history"]) == 2
    assert {path.name for path in out.glob("*.png")} == {"cells.png", "fusion.png", "search.png", "table.png"}

    assert any((out / "tensorboard").iterdir())
    alone = tmp_path / "alone"
    isolated = [*light, "--proxy-channels", 2, "--isolated", "--out", alone]
    assert run(monkeypatch, "search", *at, *SIZE, *isolated) == 0
    counts = network_spec(Genotype.from_json((alone / "genotype.json").read_text())).operations
    predicted_us = json.loads((alone / "history.json").read_text())["predicted_us"]
    assert predicted_us == pytest.approx(10.0 * sum(item.count for item in counts))
    again = ["search", *at, *SIZE, *light, "--proxy-channels", 2, "--table", table, "--out", out]
    assert run(monkeypatch, *again) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert run(monkeypatch, *again, "--resume", "--beta", 0.1) == 2
    assert "settings.beta: 0.005 there, 0.1 now" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *again, "--resume") == 0
    assert json.loads((out / "history.json").read_text()) == history

    capsys.readouterr()
    assert run(monkeypatch, "measure", out / "genotype.json", *at) == 0
    said = capsys.readouterr().out
    assert f"{11e-3 * executed:.2f} ms on Test CPU" in said
    assert f"{1e6 / 11 / executed:.1f} FPS" in said
    assert f"{10e-3 * executed:.2f} ms by table {table} (-9.1%)" in said
    assert "ms inside a network (90 %: " in said

    other = random_genotype(SPACE, 9)
    (tmp_path / "other.json").write_text(other.to_json())
    assert run(monkeypatch, "measure", out / "genotype.json", tmp_path / "other.json", *at) == 0
    first, second = capsys.readouterr().out.split(str(tmp_path / "other.json"))
    assert first.startswith(str(out / "genotype.json"))
    assert f"{11e-3 * executed:.2f} ms on Test CPU" in first
    assert f"{11e-3 * sum(item.count for item in network_spec(other).operations):.2f} ms on Test CPU" in second


def test_a_table_is_calibrated_afterwards_and_by_more_networks(
    server: str,
    agent: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = ["--height", 97, "--width", 65, "--channels", 1, "--classes", 4]
    assert run(monkeypatch, "profile", "--server", server, *size, "--calibrate", 0) == 0
    table = capsys.readouterr().out.split()[-1]
    for networks in (4, 12):
        assert run(monkeypatch, "calibrate", "--server", server, *size, "--networks", networks) == 0
        assert f"table {table}: calibrated by" in capsys.readouterr().out
    with LutClient(server) as client:
        calibration = client.calibration(UUID(table))
        assert calibration.card.networks >= 12
        assert calibration.card.calibrated.mape < 0.01 < calibration.card.raw.mape
        assert calibration == client.stored_calibration(calibration.id)


def test_a_search_keeps_under_a_ceiling(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at = ["--server", server]
    light = ["--steps", 1, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    command = ["search", *at, *SIZE, *light, "--proxy-channels", 2]
    assert run(monkeypatch, "profile", *at, *SIZE) == 0
    assert run(monkeypatch, *command, "--out", tmp_path / "free") == 0
    free_us = json.loads((tmp_path / "free" / "history.json").read_text())["predicted_us"]
    ceiling = ["--ceiling-ms", 0.8e-3 * free_us, "--quantile", 0.95]
    assert run(monkeypatch, *command, "--out", tmp_path / "fast", *ceiling) == 0
    assert json.loads((tmp_path / "fast" / "history.json").read_text())["predicted_us"] < 0.8 * free_us
    capsys.readouterr()
    assert run(monkeypatch, *command, "--out", tmp_path / "none", "--ceiling-ms", 1e-6) == 2
    assert "raise the ceiling" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *command, "--out", tmp_path / "unsure", "--isolated", *ceiling) == 2
    assert "no calibration" in capsys.readouterr().err.replace("\n", " ")


def test_a_sweep_makes_a_table_of_each_combination_and_measures_shared_shapes_once(
    server: str,
    agent: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = [(161, 225), (162, 226)]
    spaces = [Space(height=height, width=width, channels=1) for height, width in sizes]
    each = [option for height, width in sizes for option in ("--size", f"{height}x{width}")]
    swept = [*each, "--mode", "pytorch", "--mode", "onnxruntime", "--batch-size", 1, "--batch-size", 2]
    assert run(monkeypatch, *PROFILE, "--server", server, "--channels", "1", *swept) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" on ")[0] for line in lines] == [
        f"{height}×{width}, {mode} fp32, batch {batch}"
        for mode in ("pytorch", "onnxruntime")
        for batch in (1, 2)
        for height, width in sizes
    ]
    with LutClient(server) as client:
        tables = [client.table(UUID(line.split()[-1])) for line in lines]
        jobs = {job.table_id: job for job in client.jobs("done")}
        measured = [len(client.measurements(job_id=jobs[table.id].id)) for table in tables]
    for table in tables:
        table.require(spaces[tables.index(table) % 2].operations)
    first, second = ({operation.digest for operation in space.operations} for space in spaces)
    assert first & second, "odd and even sizes meet at half their resolution"
    assert measured == [len(first), len(second - first)] * 4


def test_several_targets_are_searched_by_several_processes(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    at = ["--server", server, "--device", "Test CPU"]
    assert run(monkeypatch, *PROFILE, *at, *SIZE) == 0
    capsys.readouterr()
    out = tmp_path / "found"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    light = ["--steps", 1, "--crop", "33x65", "--batch", 4, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    wanted = ["--sampling", "hard", "--proxy-channels", 1, "--beta", "0.001,0.02", "--isolated", "--out", out]
    command = [*torchrun, "lgcnet_search", "search", *at, *SIZE, *light, *wanted]
    subprocess.run(list(map(str, command)), check=True, timeout=120)
    summary = json.loads((out / "summary.json").read_text())
    assert [line["beta"] for line in summary] == [0.001, 0.02]
    for line, name in zip(summary, ("test-cpu-beta0.001", "test-cpu-beta0.02"), strict=True):
        assert line["folder"] == str(out / name)
        genotype = Genotype.from_json((out / name / "genotype.json").read_text())
        executed = sum(item.count for item in network_spec(genotype).operations)
        assert line["predicted_us"] == pytest.approx(10.0 * executed)


def test_a_table_that_lacks_rows_is_named_before_data_are_made(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(monkeypatch, *PROFILE, "--server", server, *SIZE) == 0
    table = capsys.readouterr().out.split()[-1]
    bigger = ["--height", "97", "--width", "129", "--channels", "1"]
    assert run(monkeypatch, "search", "--server", server, *bigger, "--table", table) == 2
    message = capsys.readouterr().err.strip()
    assert "has no row for" in message
    assert "Profile them first" in message
    assert not list((tmp_path / "cache").glob("lgcnet/street-scenes*"))


def test_pictures_of_network_table_accuracy_and_predictions(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = ["--server", server, "--device", "Test CPU", "--out", tmp_path]
    assert run(monkeypatch, *PROFILE, *at[:4], *SIZE) == 0
    for seed, folder in enumerate((tmp_path / "first", tmp_path / "second")):
        genotype = random_genotype(SPACE, 100 + seed)
        folder.mkdir()
        (folder / "genotype.json").write_text(genotype.to_json())
        (folder / "scores.json").write_text(json.dumps({"miou": 0.5 + seed / 10, "trained_on": seed == 1}))
        Weights(genotype, DerivedNetwork(genotype).state_dict()).save(folder / "weights.pt")
    assert run(monkeypatch, "draw", "network", tmp_path / "first" / "genotype.json", "--out", tmp_path) == 0
    assert run(monkeypatch, "draw", "table", *at) == 0
    assert run(monkeypatch, "measure", tmp_path / "first" / "genotype.json", *at[:4]) == 0
    capsys.readouterr()
    assert run(monkeypatch, "draw", "accuracy", tmp_path / "first", tmp_path / "second", *at) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    executed = [
        sum(item.count for item in network_spec(random_genotype(SPACE, seed)).operations) for seed in (100, 101)
    ]
    assert first.endswith(f"50.00 % at {11e-3 * executed[0]:.2f} ms, measured")
    assert "60.00 % (trained on) at " in second
    assert second.endswith(" ms, predicted")
    # By sum, or calibrated where other tests had enough networks measured.
    assert 9e-3 * executed[1] < float(second.split()[-3]) < 12e-3 * executed[1]
    assert run(monkeypatch, "draw", "predictions", *at) == 0
    drawn = {"cells.png", "fusion.png", "table.png", "accuracy.png", "predictions.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == drawn

    (tmp_path / "second" / "scores.json").write_text("{}")
    assert run(monkeypatch, "draw", "accuracy", tmp_path / "second", *at) == 2
    assert "holds no mIoU" in capsys.readouterr().err
    assert run(monkeypatch, "draw", "predictions", *at, "--threads", 3) == 2
    assert "run lgcnet-search profile and measure" in capsys.readouterr().err


def test_random_writes_a_genotype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "genotype.json"
    assert run(monkeypatch, "random", "--seed", 3, "--typical", "--out", path) == 0
    assert Genotype.from_json(path.read_text()) == typical_genotype(Space(), 3)
    assert "M parameters" in capsys.readouterr().out
    assert run(monkeypatch, "random", "--seed", 3, "--typical") == 0
    assert Genotype.from_json(capsys.readouterr().out) == typical_genotype(Space(), 3)


def test_space_lists_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "space", *SIZE) == 0
    said = capsys.readouterr().out
    assert f"{len(SPACE.operations)} operations" in said
    assert plugin.digest in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["space", "--height", "3"], "height: 3"),
        (["space", "--width", "0"], "width: 0"),
        (["random", "--channels", "0"], "channels: 0"),
        (["search", "--crop", "12"], "crop: '12'"),
        (["search", "--proxy-channels", "0"], "proxy-channels: channels: 0"),
        (["search", "--steps", "0"], "steps: 0"),
        (["search", "--train-on", "abacus"], "train-on: 'abacus'"),
        (["search", "--device", "abacus"], "device 'abacus': no device"),
        (["search", "--precision", "fp7"], "precision: "),
        (["search", "--beta", "0.1,few"], "beta: 'few'"),
        (["search", "--beta", "0.1,-1"], "beta: -1.0"),
        (["search", "--batch", "5", "--accumulate", "2"], "batch: 5 images in 2 parts"),
        (["search", "--sampling", "firm"], "sampling: 'firm'"),
        (["profile", "--mode", "slow"], "mode: "),
        (["profile", "--size", "65x97", "--size", "65"], "size: '65'"),
        (["profile", "--size", "65x0"], "width: 0"),
        (["profile", "--batch-size", "0"], "batch_size: "),
        (["profile", "--ablation", "table-5"], "ablation: 'table-5' is unknown; there are table-6"),
        (["ablate", "table-5"], "ablation: 'table-5' is unknown; there are table-6"),
        (["ablate", "table-6", "--seeds", "0"], "seeds: 0"),
        (["ablate", "table-6", "--scale", "large"], "scale: 'large'"),
        (["ablate", "table-6", "--train-steps", "0"], "train_steps: 0"),
        (["ablate", "table-6", "--crop", "64"], "crop: '64'"),
        (["ablate", "table-6", "--sampling", "firm"], "sampling: 'firm'"),
        (["ablate", "table-6", "--fps-floor", "3"], "fps_floor: table-6 has none"),
        (["ablate", "table-7", "--fps-floor", "-3"], "fps_floor: -3.0"),
        (["ablate", "table-6", *SIZE, "--threads", "64"], "table"),
        (["search", *SIZE, "--threads", "64"], "table"),
        (["ablate", "table-6", "--crop", "16x16"], "crop: height: 16 is not"),
        (["ablate", "table-6", "--proxy-channels", "300"], "proxy_channels: channels: 300 is not"),
        (["ablate", "table-6", "--input-size", "99999x64"], "input_size: height: 99999 is not"),
        (["profile", "--calibrate", "2"], "networks: 2 given, a calibration takes from 3 to 200"),
        (["profile", "--calibrate", "201"], "networks: 201 given"),
        (["calibrate", "--networks", "2"], "networks: 2 given"),
        (["calibrate", "--networks", "201"], "networks: 201 given"),
        (["measure", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    server: str,
    agent: None,  # noqa: ARG001
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = [] if arguments[0] in ("space", "random") else ["--server", server]
    assert run(monkeypatch, *arguments, *at) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_missing_data_folder_is_named(
    server: str,
    agent: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *PROFILE, "--server", server, *SIZE) == 0
    missing = tmp_path / "cityscapes"
    assert run(monkeypatch, "search", "--server", server, *SIZE, "--data", missing, "--out", tmp_path) == 2
    assert f"{missing} does not exist" in capsys.readouterr().err
    other = [*SIZE, "--classes", "11"]
    assert run(monkeypatch, *PROFILE, "--server", server, *other) == 0
    assert run(monkeypatch, "search", "--server", server, *other, "--data", missing, "--out", tmp_path) == 2
    assert "classes: 11 given" in capsys.readouterr().err


def test_a_malformed_genotype_is_refused_before_the_server_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "genotype.json"
    path.write_text('{"cells": []')
    (tmp_path / "good.json").write_text(random_genotype(SPACE, 0).to_json())
    assert run(monkeypatch, "measure", tmp_path / "good.json", path, "--server", "http://127.0.0.1:9") == 2
    assert f"{path}: the genotype is not JSON" in capsys.readouterr().err
    path.write_bytes(b"PK\x03\x04\xff")
    assert run(monkeypatch, "measure", path, "--server", "http://127.0.0.1:9") == 2
    assert f"{path} is no text" in capsys.readouterr().err


def test_what_is_measured_stands_beside_what_it_is_compared_with(capsys: pytest.CaptureFixture[str]) -> None:
    """The percentages are of the standard state, not of the median."""
    result = NetworkResult(
        device=AGENT.device,
        environment=AGENT.environment.digest,
        runtime=Runtime(threads=1),
        measured=Latency.of([12_500.0] * 6),
        measured_us=10_000.0,
        quality=Quality(converged=True),
        measurement_id=uuid6.uuid7(),
        measured_at=datetime.now(timezone.utc),
        table_id=uuid6.uuid7(),
        raw_us=9_000.0,
    )
    show(result)
    measured, ran, raw = capsys.readouterr().out.splitlines()
    assert measured == "measured     10.00 ms on Test CPU, 100.0 FPS"
    assert ran == "as it ran    12.50 ms, the median (95 %: 12.50 to 12.50)"
    assert raw.startswith("raw sum       9.00 ms")
    assert raw.endswith("(-10.0%)")


def test_devices_go_by_uuid_or_name(server: str, agent: None) -> None:  # noqa: ARG001
    with LutClient(server) as client:
        assert find_device(client) == find_device(client, "TEST CPU") == find_device(client, "cpu-7") == AGENT.device
        with pytest.raises(AgentError, match=r"Test CPU \(cpu-7\)"):
            find_device(client, "GPU-1")

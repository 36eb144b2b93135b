"""The commands against a real server; an agent of the test answers with made-up latencies."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lgcnet_search import plugin
from lgcnet_search.__main__ import main
from lgcnet_search.genotype import Genotype, typical_genotype
from lgcnet_search.jobs import AgentError, find_device
from lgcnet_search.network import network_spec
from lgcnet_search.space import Space
from lut_server.client import LutClient
from lut_server.schemas import Completion
from tests.lut_server import factories

SIZE = ["--height", "65", "--width", "97", "--channels", "1"]
SPACE = Space(height=65, width_px=97, width=1)
AGENT = factories.report(uuid="cpu-7", name="Test CPU")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    ready = folder / "url"
    command = ["-m", "lut_server", "serve", "--port", "0", "--data-dir", str(folder), "--ready-file", str(ready)]
    with subprocess.Popen([sys.executable, *command]) as process:
        while not (ready.exists() and ready.read_text().strip()):
            assert process.poll() is None, "the server did not start"
            time.sleep(0.05)
        yield ready.read_text().strip()
        process.terminate()


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
                network = lease.job.request.network
                latency_us = 11.0 * sum(item.count for item in network.operations) if network else 10.0
                for key in lease.remaining:
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
    assert f"{len(SPACE.operations)} operations on Test CPU, 0 of them doubtful" in said
    table = said.split()[-1]

    out = tmp_path / "found"
    light = ["--steps", 2, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    assert run(monkeypatch, "search", *at, *SIZE, *light, "--proxy-width", 2, "--table", table, "--out", out) == 0
    genotype = Genotype.from_json((out / "genotype.json").read_text())
    assert genotype.space == SPACE
    executed = sum(item.count for item in network_spec(genotype).operations)
    history = json.loads((out / "history.json").read_text())
    assert history["table_id"] == table
    assert history["predicted_us"] == pytest.approx(10.0 * executed)
    assert history["proxy"]["width"] == 2
    assert len(history["history"]) == 2
    assert {path.name for path in out.glob("*.png")} == {"cells.png", "fusion.png", "search.png", "table.png"}

    assert any((out / "tensorboard").iterdir())
    again = ["search", *at, *SIZE, *light, "--proxy-width", 2, "--table", table, "--out", out]
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
    assert run(monkeypatch, "profile", *at, *SIZE) == 0
    capsys.readouterr()
    out = tmp_path / "found"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    light = ["--steps", 1, "--crop", "33x65", "--batch", 4, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    wanted = ["--sampling", "hard", "--proxy-width", 1, "--beta", "0.001,0.02", "--out", out]
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
    assert run(monkeypatch, "profile", "--server", server, *SIZE) == 0
    table = capsys.readouterr().out.split()[-1]
    bigger = ["--height", "97", "--width", "129", "--channels", "1"]
    assert run(monkeypatch, "search", "--server", server, *bigger, "--table", table) == 2
    message = capsys.readouterr().err.strip()
    assert "has no row for" in message
    assert "Profile them first" in message
    assert not list((tmp_path / "cache").glob("lgcnet/street-scenes*"))


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
        (["search", "--proxy-width", "0"], "proxy-width: width: 0"),
        (["search", "--steps", "0"], "steps: 0"),
        (["search", "--train-on", "abacus"], "train-on: 'abacus'"),
        (["search", "--device", "abacus"], "device 'abacus': no device"),
        (["search", "--precision", "fp7"], "precision: "),
        (["search", "--beta", "0.1,few"], "beta: 'few'"),
        (["search", "--beta", "0.1,-1"], "beta: -1.0"),
        (["search", "--batch", "5", "--accumulate", "2"], "batch: 5 images in 2 parts"),
        (["search", "--sampling", "firm"], "sampling: 'firm'"),
        (["profile", "--mode", "slow"], "mode: "),
        (["search", *SIZE, "--threads", "64"], "table"),
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
    assert run(monkeypatch, "profile", "--server", server, *SIZE) == 0
    missing = tmp_path / "cityscapes"
    assert run(monkeypatch, "search", "--server", server, *SIZE, "--data", missing, "--out", tmp_path) == 2
    assert f"{missing} does not exist" in capsys.readouterr().err
    other = [*SIZE, "--classes", "11"]
    assert run(monkeypatch, "profile", "--server", server, *other) == 0
    assert run(monkeypatch, "search", "--server", server, *other, "--data", missing, "--out", tmp_path) == 2
    assert "classes: 11 given" in capsys.readouterr().err


def test_a_malformed_genotype_is_refused_before_the_server_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "genotype.json"
    path.write_text('{"cells": []')
    assert run(monkeypatch, "measure", path, "--server", "http://127.0.0.1:9") == 2
    assert "the genotype is not JSON" in capsys.readouterr().err


def test_devices_go_by_uuid_or_name(server: str, agent: None) -> None:  # noqa: ARG001
    with LutClient(server) as client:
        assert find_device(client) == find_device(client, "TEST CPU") == find_device(client, "cpu-7") == AGENT.device
        with pytest.raises(AgentError, match=r"Test CPU \(cpu-7\)"):
            find_device(client, "GPU-1")

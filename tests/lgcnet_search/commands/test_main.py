"""Commands that ask no server, and what all of them say to bad input."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
import uuid6

from latency_tables.contract import Latency, NetworkResult, Quality, Runtime
from lgcnet_search.commands.evaluation import show_scores
from lgcnet_search.commands.measuring import show
from lgcnet_search.space import plugin
from lgcnet_search.space.genotype import Genotype, random_genotype, typical_genotype
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores
from tests.support.commands import AGENT, SIZE, SPACE, run


def test_random_writes_a_genotype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "genotype.json"
    assert run(monkeypatch, "random", "--seed", 3, "--typical", "--out", path) == 0
    assert Genotype.from_json(path.read_text()) == typical_genotype(Space(), 3)
    assert "M parameters" in capsys.readouterr().out
    assert run(monkeypatch, "random", "--out", path) == 2
    assert f"out: {path} is there already" in capsys.readouterr().err
    assert Genotype.from_json(path.read_text()) == typical_genotype(Space(), 3), "nothing is lost"
    assert run(monkeypatch, "random", "--seed", 3, "--typical") == 0
    assert Genotype.from_json(capsys.readouterr().out) == typical_genotype(Space(), 3)


def test_space_lists_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "space", *SIZE) == 0
    output = capsys.readouterr().out
    assert f"{len(SPACE.operations)} operations" in output
    assert plugin.digest in output


@pytest.mark.process
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
        (["search", "--precision", "fp7"], "'fp7' is not one of 'fp32', 'tf32'"),
        (["search", "--beta", "0.1,few"], "beta: 'few'"),
        (["search", "--beta", "0.1,-1"], "beta: -1.0"),
        (["search", "--batch", "5", "--accumulate", "2"], "batch: 5 images in 2 parts"),
        (["search", "--sampling", "firm"], "'firm' is not one of 'soft', 'hard'"),
        (["profile", "--mode", "slow"], "mode: "),
        (["profile", "--size", "65x97", "--size", "65"], "size: '65'"),
        (["profile", "--size", "65x0"], "width: 0"),
        (["profile", "--batch-size", "0"], "batch_size: "),
        (["profile", "--ablation", "table-5"], "'table-5' is not one of 'table-6'"),
        (["ablate", "table-5"], "'table-5' is not one of 'table-6'"),
        (["ablate", "table-6", "--seeds", "0"], "seeds: 0"),
        (["ablate", "table-6", "--scale", "large"], "'large' is not one of 'paper', 'small'"),
        (["ablate", "table-6", "--train-steps", "0"], "train_steps: 0"),
        (["ablate", "equal-latency", "--supernet-steps", "0"], "supernet_steps: 0"),
        (["ablate", "equal-latency", "--population", "1"], "population: 1"),
        (["ablate", "equal-latency", "--ceiling-ms", "-3"], "ceiling_ms: -3.0"),
        (["ablate", "table-6", "--ceiling-ms", "60"], "only equal-latency"),
        (["rank", "--supernet-steps", "0"], "supernet_steps: 0"),
        (["ablate", "table-6", "--crop", "64"], "crop: '64'"),
        (["ablate", "table-6", "--sampling", "firm"], "'firm' is not one of 'soft', 'hard'"),
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
        (["calibrate", "--target-mape", "0"], "target_mape: 0 given, a mean error is a share between 0 and 1"),
        (["calibrate", "--target-mape", "1.5"], "target_mape: 1.5 given"),
        (["calibrate", "--target-mape", "nan"], "target_mape: nan given"),
        (["measure", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    server: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = [] if arguments[0] in ("space", "random") else ["--server", server]
    assert run(monkeypatch, *arguments, *at) == 2
    output = capsys.readouterr().err.strip()
    assert message in output
    assert len(output.splitlines()) == 1


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


def result(**changes: object) -> NetworkResult:
    return NetworkResult.model_validate(
        {
            "device": AGENT.device,
            "environment": AGENT.environment.digest,
            "runtime": Runtime(threads=1),
            "measured": Latency.of([12_500.0] * 6),
            "measured_us": 10_000.0,
            "quality": Quality(converged=True),
            "measurement_id": uuid6.uuid7(),
            "measured_at": datetime.now(timezone.utc),
            "table_id": uuid6.uuid7(),
            "raw_us": 9_000.0,
            **changes,
        }
    )


def test_what_the_clock_said_comes_first_and_the_quiet_speed_with_its_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Predictions are of the quiet speed, and compared with it."""
    show(result())
    measured, quiet, raw = capsys.readouterr().out.splitlines()
    assert measured == "measured     12.50 ms on Test CPU, 80.0 FPS (the median as it ran, 95 %: 12.50 to 12.50)"
    assert quiet == "quiet        10.00 ms at this machine's quiet speed: it ran 25.0% slower"
    assert raw.startswith("raw sum       9.00 ms")
    assert raw.endswith("(-10.0% of the quiet speed)")


def test_a_network_without_a_quiet_speed_has_one_latency_and_its_doubts(capsys: pytest.CaptureFixture[str]) -> None:
    show(result(measured_us=12_500.0, quality=Quality(converged=False, noisy=True), raw_us=None, table_id=None))
    measured, doubtful, predicted = capsys.readouterr().out.splitlines()
    assert measured.startswith("measured     12.50 ms")
    assert doubtful == "doubtful: not converged, noisy; --again measures it again, best on a quieter machine"
    assert predicted.startswith("predicted: no table")


def test_a_class_that_is_nowhere_is_absent_and_not_zero(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores(Scores(miou=0.5, pixel_accuracy=0.5, iou={"road": 0.5, "bicycle": None, "train": 0.0}, images=1))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["road", "50.0"],
        ["train", "0.0"],
        ["absent:", "bicycle"],
    ]

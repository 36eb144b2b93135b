"""Two quickstarts side by side and one after the other lose nothing of each other's."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import loop, quickstart
from deploy.loop import main
from deploy.services import ServiceDied, service
from latency_tables.contract import DeviceReport
from tests.support.factories import operation, profile
from tests.support.lut import Lut


def test_what_was_installed_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make test`, `make run` would install the project anew beside whatever runs in that environment."""
    ran: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(quickstart, "VENV", tmp_path)
    monkeypatch.setattr(quickstart, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(subprocess, "run", run)
    quickstart.install("dev")
    assert [command[-1] for command in ran] == ["torch", f"{quickstart.ROOT}[dev]"]
    quickstart.install("dev")
    quickstart.install(quickstart.EXTRAS)
    assert len(ran) == 2, "dev has what make run needs"
    (tmp_path / ".installed-dev").write_text("of other requirements")
    quickstart.install(quickstart.EXTRAS)
    quickstart.install(quickstart.EXTRAS)
    assert len(ran) == 4


def test_a_second_run_in_a_folder_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("the first run's log\n")
    (tmp_path / "server.url").write_text("http://127.0.0.1:8000\n")
    with (
        loop._sole_in(tmp_path),
        pytest.raises(SystemExit, match=r"already runs in .*, at http://127.0.0.1:8000; use it, .* --folder"),
    ):
        main(["--folder", str(tmp_path), "--port", "8000"])
    assert (tmp_path / "server.log").read_text() == "the first run's log\n"
    assert (tmp_path / "server.url").exists()
    assert not (tmp_path / "results").exists()
    with loop._sole_in(tmp_path):
        pass


def test_every_run_has_a_folder_of_its_own_for_its_results(tmp_path: Path) -> None:
    folders = [loop._new_folder(tmp_path / "results") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.process
def test_a_log_is_added_to_and_its_end_is_this_runs_own(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"of an earlier run\n")
    program = r"import sys; sys.stdout.buffer.write(b'\0' * 99 + b'\x1b[31mlut_0123456789 in use\n'); sys.exit(3)"
    with service("server", [sys.executable, "-c", program], log) as running:
        running.process.wait()
        with pytest.raises(ServiceDied) as caught:
            running.check()
    assert log.read_bytes().startswith(b"of an earlier run\n")
    message = str(caught.value)
    assert "exit code 3" in message
    assert message.endswith("lut_… in use")
    assert "\0" not in message
    assert "\x1b" not in message
    assert "earlier" not in message


def test_ending_what_was_kept_up_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []

    def check(services: Any) -> None:
        ended.append(services)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_check", check)
    loop._keep_up((), SimpleNamespace(print=ended.append))  # type: ignore[arg-type]
    assert ended == ["server and agent stay up; Ctrl-C stops them", ()]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_that_is_stopped_says_whether_anything_is_kept(
    lut: Lut, device: DeviceReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "run", interrupted)
    folder = tmp_path / "quickstart"

    def stopped() -> str:
        with pytest.raises(SystemExit) as ended:
            main(["--folder", str(folder)])
        return str(ended.value)

    assert stopped() == "quickstart: stopped before anything was measured"
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path)
    assert stopped() == "quickstart: stopped before anything was measured", "a server was there, and no result"
    lut.build_table(profile(operation()), device)
    assert stopped() == "quickstart: stopped; what was measured is kept and not measured again"

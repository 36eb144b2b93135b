"""What people see of jobs: what waits for what, how far it is, and how to end it; and what a dry run says."""

import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from typer import rich_utils

from latency_tables.contract import DeviceSelector, Forecast, Job, Progress, Waiting
from lgcnet_search import jobs
from lgcnet_search.commands.following import Interrupted, following, left, words
from lgcnet_search.commands.queue import selector, task
from tests.support import factories
from tests.support.commands import AGENT, SIZE, SPACE, run
from tests.support.lut import Lut

NOW = datetime(2025, 6, 1, 12, tzinfo=timezone.utc)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def job(state: str, **changes: object) -> Job:
    queued = factories.leased_job(factories.profile(factories.operation(8), factories.operation(16)))
    return queued.model_copy(update={"state": state, **changes})


def waiting(**changes: object) -> Waiting:
    fields = {"position": 2, "device": "AMD EPYC", "seen_at": NOW - timedelta(seconds=5), **changes}
    return Waiting.model_validate(fields)


def expected(starts_in_s: float) -> Forecast:
    return Forecast(missing=2, takes_s=170, starts_in_s=starts_in_s)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (job("queued"), "queued, waiting for an agent"),
        (
            job(
                "queued",
                waiting=waiting(busy_with="measures 6 networks", busy_since=NOW - timedelta(minutes=4)),
            ),
            "second in the queue of AMD EPYC, which is busy: measures 6 networks (for 4 min)",
        ),
        (job("queued", waiting=waiting(position=1)), "next in the queue of AMD EPYC, which is free"),
        (
            job("queued", waiting=waiting(position=7, seen_at=NOW - timedelta(days=3))),
            "number 7 in the queue of AMD EPYC, last heard of 3 d ago: is its agent running?",
        ),
        (
            job("queued", waiting=waiting(device=None, seen_at=None)),
            "second in the queue of any of several devices, from which no agent was ever heard",
        ),
        (job("leased"), "0 of 2 measured"),
        (
            job(
                "leased",
                progress=Progress(done=1, total=2, share=0.75, stage="round 12, 1 keys open"),
                started_at=NOW - timedelta(minutes=3),
            ),
            "1 of 2 measured, round 12, 1 keys open, about 1 min left",
        ),
        (
            job("leased", started_at=NOW - timedelta(seconds=30), forecast=expected(starts_in_s=0)),
            "0 of 2 measured, about 2 min left",
        ),
        (
            job("queued", waiting=waiting(position=1), forecast=expected(starts_in_s=90)),
            "next in the queue of AMD EPYC, which is free, starts in about 1 min, takes about 2 min",
        ),
        (job("failed"), "failed"),
    ],
)
def test_a_wait_says_what_it_waits_for_and_since_when(given: Job, text: str) -> None:
    assert words(given, NOW) == text


def test_a_job_that_has_just_begun_has_no_estimate() -> None:
    started = job("leased", progress=Progress(done=0, total=2, share=0.01), started_at=NOW - timedelta(seconds=9))
    assert left(started, NOW) is None


def test_without_a_terminal_every_change_is_a_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    queued = job("queued", waiting=waiting(position=1))
    with following("1 table", [queued]) as on_job:
        on_job(queued)
        leased = queued.model_copy(update={"state": "leased", "waiting": None})
        on_job(leased)
        for share in (0.1, 0.2):
            on_job(leased.model_copy(update={"progress": Progress(done=0, total=2, share=share)}))
        on_job(leased.model_copy(update={"state": "done"}))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].split(" in ")[0] for line in lines] == ["next", "0 of 2 measured", "done"]
    assert all(line.startswith(f"job {queued.id}") for line in lines)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_waiting_is_told_what_stays_and_how_to_end_it(how: signal.Signals) -> None:
    queued = job("queued")
    before = signal.getsignal(signal.SIGTERM)
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it

    def wait() -> None:
        with following("1 table", [queued]):
            signal.raise_signal(how)
            pytest.fail("the waiting went on")

    with pytest.raises(Interrupted, match=f"job {queued.id} stays queued: `lgcnet-search jobs cancel {queued.id}`"):
        wait()
    signal.signal(signal.SIGINT, ours)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_job_is_described_with_its_input_size() -> None:
    named = job("queued", largest_input=(3, 769, 1537))
    assert task(named) == "2 operations of small at 769×1537, pytorch"
    for asked, text in ((DeviceSelector(name="Xeon"), "Xeon"), (DeviceSelector(kind="cuda"), "any GPU")):
        request = named.request.model_copy(update={"device": asked})
        assert selector(named.model_copy(update={"request": request})) == text


Command = Callable[..., str]


@pytest.fixture
def command(lut: Lut, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command against the server that must succeed; what it printed."""
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 200)
    monkeypatch.setenv("COLUMNS", "250")

    def output(*arguments: object, code: int = 0) -> str:
        assert run(monkeypatch, *arguments, "--server", lut.url) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return output


@ON_SQLITE
def test_jobs_are_listed_shown_and_cancelled(lut: Lut, command: Command) -> None:
    lut.client.register_device(AGENT)
    assert command("jobs", "list") == "no jobs are measured or queued (--all lists those that ended)\n"
    queued = [lut.client.submit_job(factories.profile(factories.operation(side))) for side in (8, 16)]
    listed = command("jobs", "list")
    assert [str(one.id) in listed for one in queued] == [True, True]
    assert "1 operation of small" in listed
    assert f"job: {queued[0].id}" in command("jobs", "show", str(queued[0].id)[-12:])
    assert f"job: {queued[1].id}" in command("jobs", "show", f"{str(queued[1].id)[:-4]}…")
    assert f"job {queued[0].id} is cancelled" in command("jobs", "cancel", queued[0].id)
    assert str(queued[0].id) not in command("jobs", "list")
    assert "cancelled" in command("jobs", "list", "--all")
    assert "no job has this id; lgcnet-search jobs list" in command("jobs", "cancel", "abc", code=2)


@ON_SQLITE
def test_a_dry_run_says_what_is_known_and_why_a_near_table_is_not_used(lut: Lut, command: Command) -> None:
    lut.client.register_device(AGENT)
    dry = ["profile", *SIZE, "--calibrate", 0, "--dry-run"]
    total = len(SPACE.operations)
    first = command(*dry)
    assert f"{total} operations, 0 known, {total} to measure" in first
    assert "at most (no job of its kind was measured there before)" in first
    assert lut.client.jobs() == []

    def profile() -> None:
        lut.client.submit_job(jobs.profile_request(SPACE.operations[:-1], AGENT.device, factories.CPU))
        lut.finish(lut.claim(AGENT), AGENT)

    profile()
    lines = command(*dry).splitlines()
    assert f"{total} operations, {total - 1} known, 1 to measure" in lines[0]
    assert lines[1] == "  that takes about 0 s, as jobs like it did"
    assert "not used" not in "".join(lines)
    lut.client.register_device(
        AGENT.model_copy(update={"environment": AGENT.environment.model_copy(update={"torch": "9.9", "tensorrt": "1"})})
    )
    lut.client.submit_job(factories.profile(factories.operation()))
    output = command(*dry)
    assert f"0 known, {total} to measure" in output
    assert f"({total - 1} rows) is not used: torch {AGENT.environment.torch} → 9.9\n" in output
    assert "after 1 job that Test CPU has before it" in output
    assert "threads 1, not 2" in command(*dry, "--threads", 2)

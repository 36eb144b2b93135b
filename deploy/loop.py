"""The whole loop on one machine: profile, search with the table, derive, measure what was found.

Starts a server and an agent of its own, as `make run` (deploy/quickstart.py) does. Everything it makes lies in one
folder; what that folder's database holds is not measured again.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from uuid import UUID

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.services import Service, ServiceDied, service, wait_for_file
from latency_tables.client import LutClient, LutError, ServerUnavailable
from latency_tables.contract import Device, Effort, Job, MissingRows
from lgcnet_search import jobs
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.sources import generated_scenes, search_batches
from lgcnet_search.search.report import draw_result, write_result
from lgcnet_search.search.search import SearchError, SearchSettings, StepRecord, search
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

BIN = Path(sys.executable).parent
REGISTRATION_S = 120.0
SERVER_S = 10.0
BATCH = 4
# The paper's 0.001 is for thousands of steps; a hundred would leave α where it began.
ALPHA_LR = 0.05


class UsageError(Exception):
    """A value on the command line that cannot be."""


REFUSALS = (
    UsageError,
    ServiceDied,
    TimeoutError,
    LutError,
    jobs.AgentError,
    MissingRows,
    SearchError,
    DataError,
    OSError,
)

Watched = Callable[[], None]


@dataclass(frozen=True)
class Summary:
    """What `--json` writes."""

    device: str
    mode: str
    keys: int
    keys_measured: int
    doubtful_keys: int
    profile_s: float
    search_s: float
    measure_s: float
    networks: int
    raw_us: float
    predicted_us: float | None
    low_us: float | None
    high_us: float | None
    measured_us: float
    raw_error_rel: float
    error_rel: float | None
    fps: float
    genotype: str
    pictures: list[str]
    database: str
    docs_url: str


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description="The whole loop of LGCNet on this machine.")
    parser.add_argument("--device", default="auto", help="cpu, cuda:N, or auto: a GPU if there is one (default)")
    parser.add_argument("--height", type=int, default=769, help="input height in pixels (default 769)")
    parser.add_argument("--width", type=int, default=1537, help="input width in pixels (default 1537)")
    parser.add_argument("--steps", type=int, default=100, help="updates of the search (default 100)")
    parser.add_argument("--images", type=int, default=64, help="street scenes to generate (default 64)")
    parser.add_argument("--crop", type=int, nargs=2, default=(128, 256), metavar=("H", "W"), help="the search's crop")
    parser.add_argument("--proxy-channels", type=int, default=4, help="channels of the supernet (default 4)")
    parser.add_argument("--budget", type=float, metavar="S", help="time for profiling in seconds (default: none)")
    parser.add_argument("--networks", type=int, default=6, help="networks to calibrate with (default 6; 0: none)")
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it (default 0)")
    parser.add_argument("--port", type=int, default=0, help="port of the server (default: a free one)")
    parser.add_argument("--folder", type=Path, default=Path("runs/quickstart"), help="where everything is kept")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the summary here too")
    parser.add_argument("--keep", action="store_true", help="leave server and agent up until Ctrl-C")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(options, Console(stderr=True, highlight=False))
    except KeyboardInterrupt:
        sys.exit("quickstart: stopped; what was measured is kept and not measured again")
    except REFUSALS as error:
        sys.exit(f"quickstart: {error}")


def run(options: argparse.Namespace, console: Console) -> None:
    """Walk the whole way and print the summary. Raises one of REFUSALS."""
    try:
        space = Space(height=options.height, width=options.width)
        proxy = replace(space, height=options.crop[0], width=options.crop[1], channels=options.proxy_channels)
        settings = SearchSettings(steps=options.steps, seed=options.seed, alpha_lr=ALPHA_LR)
        effort = Effort(budget_s=options.budget)
    except ValueError as error:
        raise UsageError(str(error)) from error
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        url, services = _start(running, folder, options.device, options.port)
        client = running.enter_context(LutClient(url, retry_for_s=SERVER_S))

        def watch() -> None:
            for each in services:
                each.check()

        running.enter_context(_explained(watch))
        device = _registered(client, watch)
        runtime = jobs.runtime_on(device)
        console.print(f"server and agent are up: {device.name}, docs at {url}/docs", soft_wrap=True)

        with _stage(console, f"profiling {len(space.operations)} operations") as profiling:
            on_job = _Follower(profiling.advance, watch)
            job = jobs.submit_profile(client, space.operations, device, runtime, effort)
            table = jobs.finished_table(client, job, on_job)
        keys_measured = len(client.measurements(job_id=on_job.job_id)) if on_job.job_id else 0

        latencies = Latencies(table)
        if options.networks:
            with _stage(console, f"calibrating with {options.networks} networks") as calibrating:
                on_job = _Follower(calibrating.advance, watch)
                latencies = Latencies(table, jobs.calibrate(client, space, table, options.networks, on_job))

        with _stage(console, "drawing street scenes") as drawing:
            scenes = generated_scenes(options.images, drawing.advance)
        with _stage(console, "searching") as searching:

            def on_step(record: StepRecord) -> None:
                watch()
                searching.advance(record.step + 1, settings.steps)

            batches = search_batches(scenes, space, proxy, BATCH, options.seed, 1)
            computing = Computing(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
            found = search(space, proxy, latencies, batches, settings, computing, on_step)
        genotype = write_result(found, latencies, folder)
        pictures = draw_result(found, table, folder)

        with _stage(console, "measuring the derived network") as measuring:
            on_job = _Follower(measuring.advance, watch)
            job = jobs.submit_measurement(client, [found.genotype], device, runtime)
            (result,) = jobs.measured(client, job, [found.genotype], device, runtime, on_job)
        assert result.raw_us is not None, "the table that was just searched with has every row"
        summary = Summary(
            device=device.name,
            mode=runtime.mode,
            keys=len(table.rows),
            keys_measured=keys_measured,
            doubtful_keys=sum(not row.quality.sound for row in table.rows),
            profile_s=profiling.seconds,
            search_s=searching.seconds,
            measure_s=measuring.seconds,
            networks=options.networks,
            raw_us=result.raw_us,
            predicted_us=result.predicted_us,
            low_us=result.low_us,
            high_us=result.high_us,
            measured_us=result.measured_us,
            raw_error_rel=result.raw_us / result.measured_us - 1,
            error_rel=None if result.predicted_us is None else result.predicted_us / result.measured_us - 1,
            fps=1e6 / result.measured_us,
            genotype=str(genotype),
            pictures=[str(picture) for picture in pictures],
            database=str(folder / "data"),
            docs_url=f"{url}/docs",
        )
        _show(summary, options.keep)
        if options.json:
            options.json.write_text(json.dumps(asdict(summary), indent=1) + "\n")
        if options.keep:
            console.print("server and agent stay up; Ctrl-C stops them")
            while True:
                watch()
                time.sleep(1)


def _start(running: ExitStack, folder: Path, device: str, port: int) -> tuple[str, list[Service]]:
    """Server and agent, with their logs and data in `folder`; the server's URL."""
    ready = folder / "server.url"
    ready.unlink(missing_ok=True)
    data = folder / "data"
    serve = ["serve", "--port", str(port), "--data-dir", str(data), "--ready-file", str(ready)]
    server = running.enter_context(service("server", [str(BIN / "lut-server"), *serve], folder / "server.log"))
    url = wait_for_file(ready, [server])
    agent = ["run", "--server", url, "--device", device, "--state-dir", str(folder / "agent")]
    return url, [
        server,
        running.enter_context(service("agent", [str(BIN / "profiler-agent"), *agent], folder / "agent.log")),
    ]


@contextmanager
def _explained(watch: Watched) -> Iterator[None]:
    """Where the server does not answer because it has died, say that."""
    try:
        yield
    except ServerUnavailable:
        watch()
        raise


def _registered(client: LutClient, watch: Watched) -> Device:
    """The device whose agent has just registered. Raises ServiceDied, or TimeoutError."""
    begun = datetime.now(timezone.utc)
    deadline = time.monotonic() + REGISTRATION_S
    while time.monotonic() < deadline:
        watch()
        fresh = [record.device for record in client.devices() if record.heartbeat_at >= begun]
        if fresh:
            return fresh[0]
        time.sleep(0.2)
    raise TimeoutError(f"the agent did not register within {REGISTRATION_S:.0f} s")


class _Follower:
    """Shows a job's progress, and remembers which job it was."""

    def __init__(self, advance: Callable[[int, int], None], watch: Watched) -> None:
        self._advance = advance
        self._watch = watch
        self.job_id: UUID | None = None

    def __call__(self, job: Job) -> None:
        self._watch()
        self.job_id = job.id
        self._advance(job.progress.done, job.progress.total)


@dataclass
class _Stage:
    """A part of the way: how far it is, and when it is over how long it took."""

    advance: Callable[[int, int], None]
    seconds: float = 0.0


@contextmanager
def _stage(console: Console, what: str) -> Iterator[_Stage]:
    """Time a part of the way; a progress bar on a terminal, a line elsewhere."""
    if not console.is_terminal:
        console.print(what)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        stage = _Stage(lambda done, total: progress.update(task, completed=done, total=total))
        yield stage
    stage.seconds = time.monotonic() - started


def _show(summary: Summary, keep: bool) -> None:
    rows = Table(box=None, show_header=False)
    rows.add_row("device", f"{summary.device}, mode {summary.mode}")
    doubt = f", {summary.doubtful_keys} of them doubtful" if summary.doubtful_keys else ""
    rows.add_row(
        "table", f"{summary.keys} keys{doubt}; {summary.keys_measured} measured now in {summary.profile_s:.0f} s"
    )
    rows.add_row("search", f"{summary.search_s:.0f} s")
    rows.add_row("raw sum", f"{summary.raw_us / 1000:.2f} ms: the table's rows, as measured alone")
    if summary.predicted_us is not None and summary.low_us is not None and summary.high_us is not None:
        interval = f"{summary.low_us / 1000:.2f} to {summary.high_us / 1000:.2f} ms"
        known = f"90 %: {interval}, calibrated by {summary.networks} networks"
        rows.add_row("predicted", f"{summary.predicted_us / 1000:.2f} ms ({known})")
    rows.add_row(
        "measured",
        f"{summary.measured_us / 1000:.2f} ms end to end in {summary.measure_s:.0f} s, {summary.fps:.1f} FPS",
    )
    errors = [f"raw sum {summary.raw_error_rel:+.1%}"]
    if summary.error_rel is not None:
        errors.append(f"predicted {summary.error_rel:+.1%}")
    rows.add_row("difference", ", ".join(errors))
    rows.add_row("genotype", summary.genotype)
    rows.add_row("pictures", "\n".join(summary.pictures))
    rows.add_row("database", summary.database)
    rows.add_row("docs page", summary.docs_url + ("" if keep else " (with --keep)"))
    Console(highlight=False, soft_wrap=True).print(rows)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

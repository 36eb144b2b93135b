"""The whole loop on one machine: profile, search with the table, derive, measure what was found.

Starts a server and an agent of its own, as `make run` (deploy/quickstart.py) does. Everything it makes lies in one
folder, which one run at a time uses, each run's results in a folder of their own there; what the database holds is not
measured again.
"""

import argparse
import json
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from filelock import FileLock, Timeout
from rich.console import Console

from deploy.services import Service, ServiceDied, service, wait_for_file
from deploy.stages import Advance, Stages
from deploy.summary import Summary, show
from latency_tables.client import LutClient, LutError, ServerUnavailable
from latency_tables.contract import Device, Effort, Job, LatencyTable, MissingRows, NetworkResult, Runtime
from latency_tables.plain_text import plain
from lgcnet_search import jobs
from lgcnet_search.commands.following import share
from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.loading import endless, in_order
from lgcnet_search.data.sources import DataFolder, generated_scenes
from lgcnet_search.evolution import pictures
from lgcnet_search.evolution.choosing import choose
from lgcnet_search.evolution.inherited import InheritedAccuracy
from lgcnet_search.known import look_up
from lgcnet_search.search.ceiling import CeilingTooLow
from lgcnet_search.search.findings import DRAWN, findings
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.search.report import draw_result, write_result
from lgcnet_search.search.search import SearchError, SearchResult, SearchSettings, StepRecord, rates_for, search
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

BIN = Path(sys.executable).parent
OTHERS = Path(__file__).parent / "tables"
REGISTRATION_S = 120.0
SERVER_S = 10.0
BATCH = 4
HELD_OUT = 16
# Of the random networks, those that the found one is to be among, unless a ceiling is asked for.
FASTEST_SHARE = 0.25
# Random networks of the found one's latency (within 3 %), as many as there is time for, but LEAST_COMPARED.
RANDOM_NETWORKS = 8
LEAST_COMPARED = 3
LIKE_LATENCY = 0.03
# Seconds of measuring and searching; a stage takes up to 15 more for starting processes and building its table. On two
# shared cores the stages are to stay under 120, 90 and 150, and all others together under 60.
PROFILING_S = 105.0
CALIBRATING_S = 75.0
SEARCHING_S = 110.0
CHOOSING_S = 30.0
COMPARING_S = 25.0
MEASURING_S = 25.0
LEAST_BLOCKS = 6
# Networks that the search chooses among at the end, if there is time.
DRAWS = 48
PACE_STEPS = 4


class UsageError(Exception):
    """A value on the command line that cannot be."""


class OthersError(Exception):
    """The tables of other machines could not be imported."""


REFUSALS = (
    UsageError,
    OthersError,
    ServiceDied,
    TimeoutError,
    LutError,
    jobs.AgentError,
    MissingRows,
    SearchError,
    CeilingTooLow,
    DataError,
    OSError,
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description="The whole loop of LGCNet on this machine.")
    parser.add_argument("--device", default="auto", help="cpu, cuda:N, or auto: a GPU if there is one (default)")
    parser.add_argument("--height", type=int, default=769, help="input height in pixels (default 769)")
    parser.add_argument("--width", type=int, default=1537, help="input width in pixels (default 1537)")
    parser.add_argument("--steps", type=int, default=400, help="updates of the search, at most (default 400)")
    parser.add_argument(
        "--ceiling-ms", type=float, metavar="MS", help="what the network may take (default: the fastest quarter does)"
    )
    parser.add_argument("--images", type=int, default=64, help="street scenes to generate (default 64)")
    parser.add_argument("--crop", type=int, nargs=2, default=(128, 256), metavar=("H", "W"), help="the search's crop")
    parser.add_argument("--proxy-channels", type=int, default=4, help="channels of the supernet (default 4)")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="S",
        default=PROFILING_S,
        help=f"seconds for profiling (default {PROFILING_S:g})",
    )
    parser.add_argument("--networks", type=int, default=6, help="networks to calibrate with (default 6; 0: none)")
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it (default 0)")
    parser.add_argument("--port", type=int, default=0, help="port of the server (default: a free one)")
    parser.add_argument("--folder", type=Path, default=Path("runs/quickstart"), help="where everything is kept")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the summary here too")
    parser.add_argument(
        "--with-others", action="store_true", help="also the tables of other machines in deploy/tables, to compare with"
    )
    parser.add_argument("--keep", action="store_true", help="leave server and agent up until Ctrl-C")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(options, Console(stderr=True, highlight=False))
    except KeyboardInterrupt:
        sys.exit(f"quickstart: {_stopped(options.folder)}")
    except REFUSALS as error:
        sys.exit(plain(f"quickstart: {error}", lines=True))


def _stopped(folder: Path) -> str:
    """What a run leaves that was stopped."""
    database = folder / "data" / "lut.sqlite"
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as kept:
        if kept.execute("SELECT 1 FROM measurements LIMIT 1").fetchone():
            return "stopped; what was measured is kept and not measured again"
    return "stopped before anything was measured"


def run(options: argparse.Namespace, console: Console) -> None:
    """Walk the whole way and print the summary. Raises one of REFUSALS."""
    plan = _plan(options)
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stages = Stages(console)
    with ExitStack() as running:
        running.enter_context(_sole_in(folder))
        results = _new_folder(folder / "results")
        with stages("starting", "starting server and agent"):
            if options.with_others:
                import_others(folder / "data")
            url, services = _start(running, folder, options.device, options.port)
            client = running.enter_context(LutClient(url, retry_for_s=SERVER_S))
            running.enter_context(_explained(services))
            device = _registered(client, services)
        console.print(f"server and agent are up: {device.name}, docs at {url}/docs", soft_wrap=True)
        target = _Target(client, device, jobs.runtime_on(device), services)
        table, keys_measured = _profile(target, plan, stages, console)
        latencies = _calibrate(target, plan, table, stages)
        scenes = _scenes(plan, stages)
        result = _choose(plan, latencies, _search(target, plan, latencies, scenes, stages), scenes, stages)
        accuracy, of_random = _compare(plan, latencies, result, scenes, stages)
        network = _measure(target, plan, result, stages)
        with stages("pictures", "drawing the network and the search"):
            found = findings(result, latencies)
            genotype = write_result(result, latencies, found, results)
            drawings = draw_result(result, latencies, found, results, network.measured_us)
        assert result.settings.ceiling_us is not None, "the search was given one"
        assert network.raw_us is not None, "the table that was just searched with has every row"
        own = set(plan.space.operations)
        rows = [row for row in table.rows if row.operation in own]  # a table has other input sizes too
        summary = Summary(
            device=device.name,
            mode=target.runtime.mode,
            keys=len(rows),
            keys_measured=keys_measured,
            doubtful_keys=sum(not row.quality.sound for row in rows),
            networks=len(latencies.calibration.evidence) if latencies.calibration else 0,
            steps=result.settings.steps,
            ceiling_us=result.settings.ceiling_us,
            candidates_per_cell=found.candidates_per_cell,
            latency_percentile=found.latency_percentile,
            warnings=list(found.warnings),
            chosen_among=list(found.chosen_among),
            accuracy=accuracy,
            random_accuracies=of_random,
            random_accuracy_median=statistics.median(of_random) if of_random else None,
            raw_us=network.raw_us,
            predicted_us=network.predicted_us,
            low_us=network.low_us,
            high_us=network.high_us,
            measured_us=network.measured_us,
            ran_us=network.measured.median_us,
            measured_doubts=list(network.quality.doubts),
            raw_error_rel=network.raw_us / network.measured_us - 1,
            error_rel=None if network.predicted_us is None else network.predicted_us / network.measured_us - 1,
            fps=1e6 / network.measured.median_us,
            genotype=str(genotype),
            pictures=[str(drawing) for drawing in drawings],
            database=str(folder / "data"),
            docs_url=f"{url}/docs",
            stages_s=stages.seconds,
            total_s=stages.total_s,
        )
        show(summary, options.keep)
        if options.json:
            options.json.write_text(json.dumps(asdict(summary), indent=1) + "\n")
        if options.keep:
            _keep_up(services, console)


def _keep_up(services: Sequence[Service], console: Console) -> None:
    """Until Ctrl-C, which is how it is to end and no failure."""
    console.print("server and agent stay up; Ctrl-C stops them")
    with suppress(KeyboardInterrupt):
        while True:
            _check(services)
            time.sleep(1)


def _plan(options: argparse.Namespace) -> "_Plan":
    try:
        space = Space(height=options.height, width=options.width)
        rates = rates_for(options.steps)
        return _Plan(
            space=space,
            proxy=replace(space, height=options.crop[0], width=options.crop[1], channels=options.proxy_channels),
            settings=SearchSettings(
                steps=options.steps,
                ceiling_us=None if options.ceiling_ms is None else 1000 * options.ceiling_ms,
                seed=options.seed,
                sampling="hard",
                alpha_lr=rates.alpha_lr,
                weight_lr=rates.weight_lr,
            ),
            budget_s=options.budget,
            networks=options.networks,
            images=options.images,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class _Plan:
    """What is to be done, checked before anything starts."""

    space: Space
    proxy: Space
    settings: SearchSettings
    budget_s: float
    networks: int
    images: int

    def __post_init__(self) -> None:
        self.effort(PROFILING_S)

    def effort(self, stage_s: float) -> Effort:
        """That of a stage which gets `stage_s` where profiling gets PROFILING_S."""
        return Effort(min_blocks=LEAST_BLOCKS, budget_s=self.budget_s * stage_s / PROFILING_S)


@dataclass(frozen=True)
class _Target:
    """The device that is measured and searched for, and the way to it."""

    client: LutClient
    device: Device
    runtime: Runtime
    services: Sequence[Service]

    def following(self, advance: Advance) -> Callable[[Job], None]:
        """Shows a job's progress, and notices when server or agent have died."""

        def on_job(job: Job) -> None:
            _check(self.services)
            advance(round(100 * share(job)), 100)  # per cent, with the blocks of what is not measured whole

        return on_job


def _profile(target: _Target, plan: _Plan, stages: Stages, console: Console) -> tuple[LatencyTable, int]:
    """The table of the whole space, and how many of its keys were measured just now."""
    operations = plan.space.operations
    request = jobs.profile_request(operations, target.device, target.runtime, plan.effort(PROFILING_S))
    for line in look_up(target.client, target.device, request).outdated:
        console.print(plain(line), markup=False, soft_wrap=True)
    with stages("profiling", f"profiling {len(operations)} operations") as advance:
        job = target.client.submit_job(request)
        table = jobs.finished_table(target.client, job, target.following(advance))
    return table, len(target.client.measurements(job_id=job.id))


def _calibrate(target: _Target, plan: _Plan, table: LatencyTable, stages: Stages) -> Latencies:
    """What operations cost, inside a network where networks are to be measured."""
    if not plan.networks:
        return Latencies(table)
    with stages("calibrating", f"calibrating with {plan.networks} networks") as advance:
        effort = plan.effort(CALIBRATING_S)
        return Latencies(
            table,
            jobs.calibrate(target.client, plan.space, table, plan.networks, target.following(advance), effort=effort),
        )


def _scenes(plan: _Plan, stages: Stages) -> Path:
    """The folder of generated street scenes: those to search with, and as many more to compare with as are held out."""
    with stages("scenes", "drawing street scenes") as advance:
        return generated_scenes(plan.images, advance, held_out=min(HELD_OUT, plan.images))


def _search(target: _Target, plan: _Plan, latencies: Latencies, scenes: Path, stages: Stages) -> SearchResult:
    """The search under a ceiling, in as many of its steps as its time allows."""
    computing = Computing(torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def searched(settings: SearchSettings, on_step: Callable[[StepRecord], None]) -> SearchResult:
        crops = pictures.trained_on(DataFolder(scenes), plan.space, plan.proxy, settings.seed)
        batches = endless(crops, BATCH, seed=settings.seed, workers=1)
        return search(plan.space, plan.proxy, latencies, batches, settings, computing, on_step)

    with stages("searching", "searching") as advance:
        settings = _affordable(_under_ceiling(plan, latencies), searched)

        def on_step(record: StepRecord) -> None:
            _check(target.services)
            advance(record.step + 1, settings.steps)

        return searched(settings, on_step)


def _under_ceiling(plan: _Plan, latencies: Latencies) -> SearchSettings:
    """The settings with a ceiling: the fastest quarter of random networks stays under it, unless another is given."""
    if plan.settings.ceiling_us is not None:
        return plan.settings
    drawn_us = RandomSearch(plan.space, latencies).latencies_us(DRAWN, seed=0)
    return replace(plan.settings, ceiling_us=float(np.quantile(drawn_us, FASTEST_SHARE)))


def _choose(plan: _Plan, latencies: Latencies, result: SearchResult, scenes: Path, stages: Stages) -> SearchResult:
    """The result with the most accurate of the networks that α draws, as many as its time allows to judge."""
    data = DataFolder(scenes)
    accuracy = _accuracy(plan, result, pictures.judged(data, plan.proxy, BATCH, ALONE), data)
    with stages("choosing", "choosing among networks that the search draws") as advance:
        until = time.monotonic() + CHOOSING_S
        return choose(
            result,
            latencies,
            accuracy,
            DRAWS,
            lambda done: advance(done, DRAWS),
            enough=lambda: time.monotonic() > until,
        )


def _compare(
    plan: _Plan, latencies: Latencies, result: SearchResult, scenes: Path, stages: Stages
) -> tuple[float, list[float]]:
    """mIoU (0 to 1) on held-out scenes with the supernet's weights: the found network's, and of random ones as fast.

    The list is shorter where the space has no other networks of this latency, as at a ceiling that few stay under, and
    where judging them all would take too long.
    """
    networks = RandomSearch(plan.space, latencies)
    data = DataFolder(scenes)
    held_out = data.whole("val", (plan.proxy.height, plan.proxy.width), full_labels=False)
    accuracy = _accuracy(plan, result, list(in_order(held_out, BATCH)), data)
    genotypes = [result.genotype]
    band = ((1 + LIKE_LATENCY) * result.predicted_us, (1 - LIKE_LATENCY) * result.predicted_us)
    with suppress(TooFast):
        genotypes += [networks.draw(seed, *band) for seed in range(RANDOM_NETWORKS)]
    mious = []
    with stages("comparing", "comparing with random networks as fast") as advance:
        until = time.monotonic() + COMPARING_S
        for done, genotype in enumerate(genotypes):
            if done > LEAST_COMPARED and time.monotonic() > until:
                break
            advance(done, len(genotypes))
            mious.append(accuracy(genotype).miou)
    return mious[0], mious[1:]


def _accuracy(plan: _Plan, result: SearchResult, judged: Sequence[Batch], data: DataFolder) -> InheritedAccuracy:
    """On these pictures, with the supernet's weights."""
    statistics_of = pictures.statistics(data, plan.proxy, BATCH, plan.settings.seed, ALONE)
    return InheritedAccuracy(result.supernet, statistics_of, judged, data.labels)


def _affordable(
    settings: SearchSettings, searched: Callable[[SearchSettings, Callable[[StepRecord], None]], object]
) -> SearchSettings:
    """The settings with as many steps as SEARCHING_S allows, by the time that a few steps take on this machine."""
    if settings.steps <= PACE_STEPS:
        return settings
    ends: list[float] = []
    started = time.monotonic()
    searched(replace(settings, steps=PACE_STEPS), lambda _: ends.append(time.monotonic()))
    step_s = (ends[-1] - ends[0]) / (PACE_STEPS - 1)  # the first one also allocates and warms up
    left_s = SEARCHING_S - 2 * (ends[0] - started) - step_s * PACE_STEPS
    return replace(settings, steps=max(1, min(settings.steps, int(left_s / step_s))))


def _measure(target: _Target, plan: _Plan, result: SearchResult, stages: Stages) -> NetworkResult:
    """The derived network, end to end, by the agent that made the table."""
    with stages("measuring", "measuring the derived network") as advance:
        effort = plan.effort(MEASURING_S)
        job = jobs.submit_measurement(target.client, [result.genotype], target.device, target.runtime, effort)
        (network,) = jobs.measured(
            target.client, job, [result.genotype], target.device, target.runtime, target.following(advance)
        )
    return network


@contextmanager
def _sole_in(folder: Path) -> Iterator[None]:
    """For the time that a run uses its folder. Raises UsageError where another run does."""
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        url = folder / "server.url"
        where = f", at {url.read_text().strip()}" if url.exists() else ""
        raise UsageError(
            f"folder: a quickstart already runs in {folder}{where}; use it, end it, or name another --folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _new_folder(parent: Path) -> Path:
    """A folder of this run's own, named after the time: results of earlier runs stay as they are."""
    name = f"{datetime.now():%Y-%m-%dT%H-%M-%S}"
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError("count() does not end")


def import_others(data: Path) -> None:
    """Store the tables that come with the project. Raises OthersError."""
    command = [str(BIN / "lut-server"), "import", str(OTHERS), "--data-dir", str(data)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OthersError(f"the tables of {OTHERS} could not be imported: {done.stderr.strip()}")


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


def _check(services: Sequence[Service]) -> None:
    for running in services:
        running.check()


@contextmanager
def _explained(services: Sequence[Service]) -> Iterator[None]:
    """Where the server does not answer because it has died, say that."""
    try:
        yield
    except ServerUnavailable:
        _check(services)
        raise


def _registered(client: LutClient, services: Sequence[Service]) -> Device:
    """The device whose agent has just registered. Raises ServiceDied, or TimeoutError."""
    begun = datetime.now(timezone.utc)
    deadline = time.monotonic() + REGISTRATION_S
    while time.monotonic() < deadline:
        _check(services)
        fresh = [record.device for record in client.devices() if record.heartbeat_at >= begun]
        if fresh:
            return fresh[0]
        time.sleep(0.2)
    raise TimeoutError(f"the agent did not register within {REGISTRATION_S:.0f} s")


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

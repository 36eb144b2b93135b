"""Networks of unseen devices, from a few of their networks and the published latencies of other devices.

Runs the protocols of HELP and NASFLAT on their data with what the server runs: published lines become publications, a
transfer learns from them and from the target's networks, and predicts all others. `--data` is a folder with
help_nasbench201 and help_fbnet, each with its latency_ms.csv (a network per line, a column per device).
"""

import argparse
import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks._common import finish, show
from benchmarks._new_device_tasks import HELP_FBNET, HELP_NASBENCH201, NASFLAT_FBNET, NASFLAT_NASBENCH201, Task
from examples.fbnet import space as fbnet
from examples.nasbench201 import space as nasbench201
from latency_tables.calibration import TimedNetwork
from latency_tables.contract import NetworkSpec, OperationSpec, Work
from latency_tables.kendall import kendall_tau
from latency_tables.transfer.learned import Learned, PublishedSource
from latency_tables.transfer.published import Line, publications
from lut_server.analysis.ranking import spearman_rho

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PARTS = ("help_nb201", "nasflat_nb201", "help_fbnet", "nasflat_fbnet")
POOL = 400
"""Random networks that some are chosen from."""
LARGEST_TAU = 1500
"""Networks that Kendall's τ is taken over, at most."""


@dataclass(frozen=True)
class Data:
    """A space with its published latencies in µs (NaN where none is), by device."""

    names: list[str]
    networks: list[NetworkSpec]
    works: dict[str, Work]
    latencies_us: dict[str, Floats]
    runs: npt.NDArray[np.bool_]
    """Networks that could be deployed."""


class Score(NamedTuple):
    """Of predictions beside measured latencies; errors as shares."""

    rho: float
    tau: float
    mape: float
    within_10: float
    coverage90: float


class Protocol(NamedTuple):
    """Which networks the sources publish, which a target may measure, and which are predicted (by their latencies)."""

    published: Indices
    pool: Callable[[Floats], Indices]
    asked: Callable[[Floats], Indices]


@dataclass(frozen=True)
class Result:
    """Scores of a task: by device, then by way ("10 random"), one for each draw."""

    task: Task
    scores: Mapping[str, Mapping[str, Sequence[Score]]]

    def mean(self, way: str, field: str = "rho") -> float:
        """Over draws, then over devices."""
        return float(
            np.mean([np.mean([getattr(score, field) for score in ways[way]]) for ways in self.scores.values()])
        )

    def spread(self, way: str) -> float:
        """Standard deviation over draws of ρ, mean over devices."""
        return float(np.mean([np.std([score.rho for score in ways[way]]) for ways in self.scores.values()]))


def main() -> None:
    options = _parsed()
    result: dict[str, Any] = {}
    if options.data is None:
        print("give the folder of published latencies with --data")
        finish(result)
        return
    results: list[Result] = []
    ways = ["10 random", "10 chosen", "20 chosen"]

    cells = _read(options.data / "help_nasbench201", nasbench201.network, nasbench201.work)
    if "help_nb201" in options.part:
        helped = _run(HELP_NASBENCH201, cells, _as_help(900, range(900, 1900)), ways[:2], options)
        _show_devices(helped)
        results.append(helped)
        result["help_nb201"] = round(helped.mean("10 random"), 4)
        result["help_nb201_chosen"] = round(helped.mean("10 chosen"), 4)
    if "nasflat_nb201" in options.part:
        tasks = [_run(task, cells, _shuffled(cells, 512), ways, options) for task in NASFLAT_NASBENCH201]
        _show_tasks("NASFLAT's tasks, NAS-Bench-201 (published: 20 networks)", tasks, ways)
        results += tasks
        result["nasflat_nb201"] = round(tasks[0].mean("20 chosen"), 4)
        result["nasflat_nb201_tasks"] = {task.task.name: round(task.mean("20 chosen"), 4) for task in tasks}

    blocks = _read(options.data / "help_fbnet", fbnet.network, fbnet.work)
    if "help_fbnet" in options.part:
        helped = _run(HELP_FBNET, blocks, _as_help(4000, range(4000, 5000)), ways[:2], options)
        _show_devices(helped)
        results.append(helped)
        result["help_fbnet"] = round(helped.mean("10 random"), 4)
        result["help_fbnet_chosen"] = round(helped.mean("10 chosen"), 4)
    if "nasflat_fbnet" in options.part:
        tasks = [_run(task, blocks, _shuffled(blocks, 800), ways, options) for task in NASFLAT_FBNET]
        _show_tasks("NASFLAT's tasks, FBNet (published: 20 networks)", tasks, ways)
        results += tasks
        result["nasflat_fbnet"] = round(float(np.mean([task.mean("20 chosen") for task in tasks])), 4)
        result["nasflat_fbnet_10"] = round(float(np.mean([task.mean("10 chosen") for task in tasks])), 4)

    ten = {one.task.name: [one.mean(way, "coverage90") for way in ways[:2]] for one in results}
    result["coverage90"] = round(float(np.mean(list(ten.values()))), 4)
    result["coverage90_of_tasks"] = {name: round(float(np.mean(inside)), 3) for name, inside in ten.items()}
    result["ms_per_prediction"] = round(_ms_per_prediction(blocks), 4)
    finish(result)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder with help_nasbench201 and help_fbnet; left out: nothing is run"
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="which protocols (all)")
    parser.add_argument("--draws", type=int, default=30, help="draws of random networks (default 30)")
    parser.add_argument("--pools", type=int, default=5, help="pools that networks are chosen from (default 5)")
    parser.add_argument("--asked", type=int, default=4000, help="networks to predict, at most (default 4000)")
    return parser.parse_args()


def _read(folder: Path, network: Callable[[str], NetworkSpec], work: Callable[[OperationSpec], Work]) -> Data:
    names, latencies_us = _columns(folder / "latency_ms.csv")
    for path in folder.glob("desktop_*.csv"):  # fewer networks, by their index
        latencies_us[path.stem] = np.full(len(names), np.nan)
        with path.open(encoding="utf-8") as file:
            for row in list(csv.reader(file))[1:]:
                latencies_us[path.stem][int(row[0])] = 1000 * float(row[2])
    networks = [network(name) for name in names]
    operations = {item.operation.digest: item.operation for spec in networks for item in spec.operations}
    runs = np.array([all(item.operation.name != "zeros" for item in spec.operations) for spec in networks])
    works = {digest: work(operation) for digest, operation in operations.items()}
    return Data(names, networks, works, latencies_us, runs)


def _columns(path: Path) -> tuple[list[str], dict[str, Floats]]:
    with path.open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = {
        device: np.array([1000 * float(row[column]) if row[column] else np.nan for row in rows])
        for column, device in enumerate(header)
        if column > 1
    }
    return [row[1] for row in rows], columns


def _as_help(published: int, asked: range) -> Protocol:
    """Ten of the published ones, and the rest, each without its fastest and its slowest tenth."""
    first = np.arange(published)
    return Protocol(first, lambda us: _inner(first, us), lambda us: _inner(np.array(asked), us))


def _shuffled(data: Data, published: int) -> Protocol:
    """Random networks of the sources; any other is measured or predicted on the target."""
    order = np.random.default_rng(5).permutation(len(data.names))
    rest = order[published:]
    return Protocol(order[:published], lambda us: _known(rest, us), lambda us: _known(rest, us))


def _known(rows: Indices, latencies_us: Floats) -> Indices:
    return rows[latencies_us[rows] > 0]


def _inner(rows: Indices, latencies_us: Floats) -> Indices:
    ordered = rows[np.argsort(latencies_us[rows], kind="stable")]
    return ordered[int(0.1 * len(rows)) : int(0.9 * len(rows))]


def _learned(data: Data, devices: Sequence[str], rows: Indices) -> Learned:
    """As the server does it: lines, publications, sources."""
    by_name = {data.names[row]: data.networks[row] for row in rows}
    lines = [
        Line(device, data.names[row], float(data.latencies_us[device][row]), 1, "published", date(2021, 6, 16), number)
        for device in devices
        for number, row in enumerate(rows)
        if data.latencies_us[device][row] > 0
    ]
    by_digest = {network.digest: network for network in by_name.values()}
    sources = [
        PublishedSource(
            publication.device,
            [TimedNetwork(by_digest[item.network], item.latency_us) for item in publication.latencies],
        )
        for publication in publications(lines, by_name, data.works)
    ]
    return Learned(sources, (), data.works)


def _run(task: Task, data: Data, protocol: Protocol, ways: Sequence[str], options: argparse.Namespace) -> Result:
    draw = np.random.default_rng(11)
    learned = _learned(data, task.sources, protocol.published)
    counts = learned.counts(data.networks)
    scores: dict[str, dict[str, list[Score]]] = {}
    for device in task.targets:
        us = data.latencies_us[device]
        pool, asked = protocol.pool(us), protocol.asked(us)
        asked = asked if len(asked) <= options.asked else draw.choice(asked, options.asked, replace=False)
        scores[device] = {way: [] for way in ways}
        for way in ways:
            count, how = int(way.split()[0]), way.split()[1]
            for _ in range(options.draws if how == "random" else options.pools):
                taken = (
                    draw.choice(pool, count, replace=False)
                    if how == "random"
                    else _chosen(learned, data, pool, count, draw)
                )
                device_learned = learned.new_device([TimedNetwork(data.networks[row], float(us[row])) for row in taken])
                mean, std = device_learned.moments(counts[asked])
                scores[device][way].append(_score(mean, std, us[asked]))
    return Result(task, scores)


def _chosen(learned: Learned, data: Data, pool: Indices, count: int, draw: np.random.Generator) -> Indices:
    deployable = pool[data.runs[pool]]
    candidates = draw.choice(deployable, min(POOL, len(deployable) // 2), replace=False)
    by_digest = {data.networks[row].digest: row for row in candidates}
    chosen = learned.choose([data.networks[row] for row in candidates], count)
    return np.array([by_digest[network.digest] for network in chosen])


def _score(mean_us: Floats, std_us: Floats, measured_us: Floats) -> Score:
    off = np.abs(mean_us / measured_us - 1)
    some = slice(0, LARGEST_TAU)
    return Score(
        rho=spearman_rho(mean_us.tolist(), measured_us.tolist()) or 0.0,
        tau=kendall_tau(mean_us[some].tolist(), measured_us[some].tolist()) or 0.0,
        mape=float(off.mean()),
        within_10=float((off < 0.1).mean()),
        coverage90=float((np.abs(mean_us - measured_us) < 1.6449 * std_us).mean()),
    )


def _show_devices(result: Result) -> None:
    published = "; ".join(f"{name} {rho:.3f}" for name, rho in result.task.published.items())
    rows = []
    for way in next(iter(result.scores.values())):
        for device, ways in result.scores.items():
            rho = np.array([score.rho for score in ways[way]])
            means = np.mean([score[1:] for score in ways[way]], axis=0)
            rows.append(_row(f"{device}, {way}", float(rho.mean()), float(rho.std()), *map(float, means)))
        fields = [result.mean(way, field) for field in ("tau", "mape", "within_10", "coverage90")]
        rows.append(_row(f"mean, {way}", result.mean(way), result.spread(way), *fields))
    show(
        f"{result.task.name} (mean ρ published: {published})",
        ["device, networks", "rho", "± draws", "tau", "MAPE", "within 10 %", "in 90 %"],
        rows,
    )


def _row(
    name: str, rho: float, spread: float, tau: float, mape: float, within_10: float, coverage90: float
) -> list[str]:
    return [name, f"{rho:.3f}", f"{spread:.3f}", f"{tau:.3f}", f"{mape:.1%}", f"{within_10:.0%}", f"{coverage90:.0%}"]


def _show_tasks(title: str, results: Sequence[Result], ways: Sequence[str]) -> None:
    others = ("HELP", "MultiPredict", "NASFLAT")
    show(
        title,
        ["task", *others, *(f"ours, {way} (in 90 %)" for way in ways)],
        [
            [
                result.task.name + (f" ({result.task.partial})" if result.task.partial else ""),
                *(f"{result.task.published[name]:.3f}" if name in result.task.published else "" for name in others),
                *(
                    f"{result.mean(way):.3f} ± {result.spread(way):.3f} ({result.mean(way, 'coverage90'):.0%})"
                    for way in ways
                ),
            ]
            for result in results
        ],
    )


def _ms_per_prediction(data: Data) -> float:
    """With its interval, from a network's operations on; a thousand at once, ten measured networks, nine sources."""
    learned = _learned(data, HELP_FBNET.sources, np.arange(200))
    us = data.latencies_us["fpga"]
    device = learned.new_device([TimedNetwork(data.networks[row], float(us[row])) for row in range(200, 210)])
    began_s = time.perf_counter()
    device.predict(learned.counts(data.networks[1000:2000]))
    return (time.perf_counter() - began_s) / 1000 * 1000


if __name__ == "__main__":
    main()

"""Published networks on this CPU: sizes against the papers' claims, Figure 1, and Tables IV and V.

The agent measures every network in every mode, and compares its outputs with PyTorch's before. Measurements are stored
in `--folder` and not repeated. After `--minutes` nothing new is begun: what is left is measured by the next run, and
missing from the figures of this one.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from latency_tables.contract import Effort, Measurement, Mode, NetworkSpec, OperationSpec, Runtime, TableRow
from latency_tables.kendall import kendall_tau
from latency_tables.latencies import latency_us
from lgcnet_search.commands.figure_1 import DATA, found
from lgcnet_search.commands.options import size_of
from lgcnet_search.data.views import Size
from lgcnet_search.plots.published import SpeedPoint, accuracy_against_speed
from lgcnet_search.space import REQUIREMENT as LGCNET_REQUIREMENT
from lgcnet_search.space.network import network_spec
from profiler_agent.errors import JobFailed
from published_networks.convention import Convention
from published_networks.counting import Counted, count_network, counted_claims
from published_networks.facts import ENTRIES, FOUND, Entry
from published_networks.plugin import operation, space
from published_networks.standing import Standing, key_of, keyed, markdown, number, once, standings

TOLERANCE_REL = 0.02
MODES: tuple[Mode, ...] = ("pytorch", "onnxruntime", "openvino")
CONVENTIONS = {
    "as deployed": Convention(),
    "BatchNorm not folded": Convention(folded=False),
    "without upsampling": Convention(upsampling=False),
    "auxiliary heads": Convention(auxiliary=True),
}
COMPARED = (
    ("bisenetv2", 256, 512),
    ("stdc1-seg", 256, 512),
    ("ddrnet-23-slim", 256, 512),
    ("pidnet-s", 256, 512),
    ("icnet", 256, 512),
    ("fast-scnn", 256, 512),
)
"""What the conventions are shown on, at inputs smaller than the papers', for time's sake."""


Spec = OperationSpec | NetworkSpec


@dataclass(frozen=True)
class Store:
    """Measurements in a folder. `ends_at`: when no new job is begun, by the monotonic clock.

    A job measures up to `at_once` networks, interleaved, for `budget_s` seconds each.
    """

    folder: Path
    ends_at: float
    budget_s: float
    at_once: int

    def measure(self, mode: Mode, specs: Sequence[Spec]) -> None:
        """What is missing of these, all of one space, while there is time."""
        missing = [spec for spec in dict.fromkeys(specs) if not self._file(mode, spec).exists()]
        for start in range(0, len(missing), self.at_once):
            self._job(mode, missing[start : start + self.at_once])

    def measured(self, mode: Mode, spec: Spec) -> Measurement | None:
        """None where it was not measured yet."""
        file = self._file(mode, spec)
        return Measurement.model_validate_json(file.read_text("utf-8")) if file.exists() else None

    def row(self, mode: Mode, spec: OperationSpec) -> TableRow | None:
        """The measurement of an operation as a table has it."""
        measurement = self.measured(mode, spec)
        if measurement is None:
            return None
        return TableRow(
            operation=spec,
            latency=measurement.latency,
            quality=measurement.quality,
            normalized_us=measurement.normalized_us,
            measurement_id=measurement.id,
        )

    def ms(self, mode: Mode, spec: Spec) -> float | None:
        measurement = self.measured(mode, spec)
        return None if measurement is None else latency_us(measurement, "normalized_us") / 1e3

    def _job(self, mode: Mode, specs: Sequence[Spec]) -> None:
        """One job; where it fails, its networks one by one, so that only those are missing that cannot be measured."""
        if time.monotonic() > self.ends_at:
            return
        started = time.monotonic()
        first = specs[0]
        requirement = space.requirement if first.space == space.name else LGCNET_REQUIREMENT
        agent = LocalAgent(
            Runtime(mode=mode, threads=1),
            first.space,
            first.space_digest,
            requirement,
            standard=self.folder / f"{mode}-standard.json",
        )
        try:
            measurements = agent.measure(
                operations=[spec for spec in specs if isinstance(spec, OperationSpec)],
                networks=[spec for spec in specs if isinstance(spec, NetworkSpec)],
                effort=Effort(min_blocks=6, budget_s=self.budget_s * len(specs)),
            )
        except JobFailed as error:
            print(f"{mode}: {error}", flush=True)
            for spec in specs if len(specs) > 1 else ():
                self._job(mode, [spec])
            return
        for spec in specs:
            measurement = measurements[spec.digest]
            self._file(mode, spec).write_text(measurement.model_dump_json(), "utf-8")
            name = str(spec) if isinstance(spec, OperationSpec) else f"LGCNet {spec.input_shape}"
            print(f"{mode}: {name}: {latency_us(measurement, 'normalized_us') / 1e3:.1f} ms", flush=True)
        print(f"{mode}: {len(specs)} in {time.monotonic() - started:.0f} s", flush=True)

    def _file(self, mode: Mode, spec: Spec) -> Path:
        return self.folder / f"{mode}-{spec.digest}.json"


def sizes() -> float:
    """Prints every claim beside our count; the largest deviation of parameters among claims without a reason."""
    counted = list(counted_claims())
    rows = [
        [
            item.claim.of,
            f"{item.claim.height}×{item.claim.width}",
            _pair(item.claim.parameters, item.parameters, 1e6, item.parameters_rel),
            _pair(item.claim.macs, item.macs, 1e9, item.macs_rel),
            item.claim.reason or item.claim.remark,
        ]
        for item in counted
    ]
    show("Claimed → counted", ["network", "input", "parameters, M", "MACs, G", "why, or what"], rows)
    for item in counted:
        assert item.claim.reason or _within(item), f"{item.claim.of}: beyond {TOLERANCE_REL:.0%}, and no reason stated"
    explained = [item for item in counted if not item.claim.reason]
    return max(abs(item.parameters_rel) for item in explained if item.parameters_rel is not None)


def networks() -> int:
    """Prints what each network has as it is measured; their number."""
    entries = {entry.network: entry for entry in ENTRIES if entry.data == DATA and entry.network not in (None, FOUND)}
    rows = []
    for name, entry in entries.items():
        assert name
        parameters, macs = count_network(name, entry.height, entry.width)
        rows.append([name, f"{entry.height}×{entry.width}", f"{parameters / 1e6:.2f}", f"{macs / 1e9:.2f}"])
    show("Networks, 19 classes, deployed heads only", ["network", "input", "parameters, M", "MACs, G"], rows)
    return len(rows)


def figure(store: Store, mode: Mode, entries: Sequence[Entry], size: Size | None) -> list[Standing]:
    """Measures the entries in a mode, draws the figure, writes the tables."""
    keys = [key for entry in entries if entry.network != FOUND and (key := key_of(entry, size))]
    specs = [operation(*key) for key in keys]
    store.measure(mode, specs)
    store.measure(mode, [_network(entry, size) for entry in entries if entry.network == FOUND])
    rows = [row for spec in dict.fromkeys(specs) if (row := store.row(mode, spec))]
    standing = [
        _found(store, mode, item.entry, size) if item.entry.network == FOUND else item
        for item in standings(keyed(rows), size, entries)
    ]
    points = [
        SpeedPoint(item.entry.title, item.entry.miou, item.fps, item.published_fps, item.entry.network == FOUND)
        for item in standing
        if item.fps and item.entry.data == DATA and item.entry.miou
    ]
    (store.folder / f"{mode}.md").write_text(markdown(standing, f"one CPU thread, {mode}"), "utf-8")
    if points:
        at = (
            "each at its paper’s input size"
            if size is None
            else f"all at {size[0]}×{size[1]}, mIoU at the papers’ sizes"
        )
        title = f"Cityscapes, one CPU thread, {mode}, {at}"
        accuracy_against_speed(points, store.folder / f"{mode}.png", title)
    return standing


def _network(entry: Entry, size: Size | None) -> NetworkSpec:
    """The network that stands for LGCNet's own, at the size of an entry or another."""
    return network_spec(found(entry.classes, *(size or (entry.height, entry.width))))


def _found(store: Store, mode: Mode, entry: Entry, size: Size | None) -> Standing:
    ms = store.ms(mode, _network(entry, size))
    return Standing(entry) if ms is None else Standing(entry, ms * 1e3, *(size or (entry.height, entry.width)))


def order(mode: Mode, standing: Sequence[Standing]) -> float | None:
    """Prints measured and published ranks side by side; Kendall's τ of Cityscapes' entries with both speeds.

    Speeds are in megapixels a second, which images of unlike sizes have in common.
    """
    rates = {
        item.entry: (
            item.fps * item.height * item.width / 1e6,
            item.entry.fps * item.entry.height * item.entry.width / 1e6,
        )
        for item in standing
        if item.fps and item.entry.fps and item.entry.data == DATA
    }
    here, there = (sorted(rates, key=lambda entry: -rates[entry][side]) for side in (0, 1))
    doubtful = {item.entry for item in standing if item.doubtful}
    rows = [
        [
            entry.title,
            number(rates[entry][0]),
            str(rank),
            f"{number(rates[entry][1])}, {entry.card}, {entry.runtime}",
            str(there.index(entry) + 1),
            "doubtful" if entry in doubtful else "",
        ]
        for rank, entry in enumerate(here, start=1)
    ]
    show(f"Megapixels a second, {mode}", ["entry", "here", "rank", "published", "rank", ""], rows)
    return kendall_tau([rate for rate, _ in rates.values()], [rate for _, rate in rates.values()])


def conventions(store: Store, mode: Mode, only: Sequence[str] | None) -> None:
    """Prints the latency of some networks in each convention, relative to the default."""
    specs = {
        compared: [operation(*compared, convention=convention) for convention in CONVENTIONS.values()]
        for compared in COMPARED
        if not only or compared[0] in only
    }
    store.measure(mode, [spec for timed in specs.values() for spec in timed])
    rows = []
    for (name, height, width), timed in specs.items():
        first, *others = (store.ms(mode, spec) for spec in timed)
        cells = ["–" if ms is None or first is None else f"{ms / first - 1:+.1%}" for ms in others]
        rows.append([name, f"{height}×{width}", "–" if first is None else f"{first:.1f} ms", *cells])
    show(f"Conventions, {mode}", ["network", "input", *CONVENTIONS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="of measurements and results; left out: a new one")
    parser.add_argument("--minutes", type=float, default=60, help="begin nothing new after so long (default 60)")
    parser.add_argument("--budget", type=float, default=20, help="seconds for each measurement (default 20)")
    parser.add_argument("--at-once", type=int, default=4, help="networks in a job (default 4)")
    parser.add_argument("--mode", choices=MODES, action="append", help="may be repeated; left out: all")
    parser.add_argument("--network", action="append", help="of these only; may be repeated; left out: all")
    parser.add_argument("--size", help="HEIGHTxWIDTH of all; left out: the papers'")
    asked = parser.parse_args()
    size = size_of("size", asked.size) if asked.size else None
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder, time.monotonic() + 60 * asked.minutes, asked.budget, asked.at_once)
    asked_for = [entry for entry in ENTRIES if not asked.network or entry.network in asked.network]
    entries = once(asked_for) if size else asked_for
    parameters_max_rel, count = sizes(), networks()
    taus = {}
    for mode in asked.mode or MODES:
        taus[mode] = order(mode, figure(store, mode, entries, size))
        conventions(store, mode, asked.network)
    print(f"figures and tables: {folder}")
    rounded = {mode: None if tau is None else round(tau, 3) for mode, tau in taus.items()}
    finish({"networks": count, "parameters_max_rel": round(parameters_max_rel, 4), "tau_published": rounded})


def _within(item: Counted) -> bool:
    return all(abs(rel) <= TOLERANCE_REL for rel in (item.parameters_rel, item.macs_rel) if rel is not None)


def _pair(claimed: float | None, ours: float, unit: float, relative: float | None) -> str:
    if claimed is None or relative is None:
        return f"– → {ours / unit:.2f}"
    return f"{claimed / unit:.2f} → {ours / unit:.2f} ({relative:+.1%})"


if __name__ == "__main__":
    main()

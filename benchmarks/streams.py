"""What training, streams and slimming cost: expected from tables, and measured.

Training steps: the agent measures the rows of training steps and whole steps of several networks; each step is then
predicted by the sum of its rows, and from the other steps.

JITNet follows a video; its teacher answers with the truth and costs what a network of four times the width does. The
mean wall time of a frame is set beside the expectation from rates and table.

ViT-ResNAS: members drawn at random are measured in two modes, and predicted from eight others.

DANCE trains on CamVid plain, with data slimmed, and with both. The mean wall time of a presented image, and of one that
is answered as deployed, is set beside its expectation.

Mean times are of the model's work without reading, and beside a network that is executed in the same minutes, whose
latency the agent has measured, so that a machine that runs slower than at its standard state does not count.
"""

import argparse
import copy
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.core.record import Record
from adaptive_networks.core.streams import Frame, Generated, Labelled, spread, weights_of
from adaptive_networks.dance.deciding import Decisions
from adaptive_networks.dance.learning import DATA, PLAIN, Arm, Deciding, Pictures, Trained, complexities, train
from adaptive_networks.dance.plugin import space as dance
from adaptive_networks.dance.space import SETTINGS as DANCE
from adaptive_networks.dance.space import Space as Dance
from adaptive_networks.dance.train import Result, answering, scored, training
from adaptive_networks.jitnet.online import Stride, Student, follow, pretrain, rates, truth
from adaptive_networks.jitnet.plugin import space as jitnet
from adaptive_networks.jitnet.space import Space as Jitnet
from adaptive_networks.jitnet.train import STARTED_ON, agreed
from adaptive_networks.vit_resnas.plugin import space as vit_resnas
from adaptive_networks.vit_resnas.space import DEMO as VIT_RESNAS
from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from latency_tables.calibration import Calibrated, TimedNetwork, choose
from latency_tables.contract import Basis, Effort, LatencyTable, Mode, NetworkSpec, OperationSpec, Runtime
from latency_tables.latencies import basis_of, latency_us, network_us
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.space.network import seeded
from profiler_agent.measuring.workbench import pin
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject

RUNTIME = Runtime(threads=1)
MODES: tuple[Mode, ...] = ("pytorch", "onnxruntime")
MEMBERS, EVIDENCE, CANDIDATES = 20, 8, 100
CPU = torch.device("cpu")
LR = 0.02
ANSWERED = 8
"""Times that DANCE answers every picture: a hiccup of the machine is then little of a mean."""
ARMS = (PLAIN, DATA, Arm("both", data=True, channels=0.4))
HALF = Dance(height=180, width=240)
SLIM = replace(HALF, widths=(16, 24, 40, 40, 40, 16, 16, 16, 16, 40))


class Case(NamedTuple):
    """Training steps of several networks."""

    plugin: Plugin[Any]
    steps: tuple[NetworkSpec, ...]


CASES: Mapping[str, Case] = {
    "dance": Case(
        dance,
        (
            *(dance.training_step(HALF, (ratio,)) for ratio in range(len(HALF.ratios))),
            dance.training_step(SLIM, (0,)),
        ),
    ),
    "jitnet": Case(
        jitnet,
        tuple(jitnet.training_step(Jitnet(192, 256, 11, multiplier)) for multiplier in (0.25, 0.375, 0.5, 0.75, 1.0)),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--budget", type=float, help="seconds for each job of the agent")
    parser.add_argument("--camvid", type=Path, help="the data set; without it a video is generated, and no DANCE")
    parser.add_argument("--images", type=int, help="of each split; left out: all")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--setting", choices=DANCE, default="demo", help="DANCE's")
    options = parser.parse_args()
    finish({"streams": {name: PARTS[name](options) for name in options.part}})


class Known(NamedTuple):
    """A table of rows, and networks that calibrate it."""

    table: LatencyTable
    basis: Basis
    timed: Sequence[TimedNetwork]
    calibrated: Calibrated

    @property
    def raw_us(self) -> list[float]:
        """The sum of each network's rows."""
        return [network_us(self.table, timed.network, self.basis) for timed in self.timed]


class Measuring:
    """The agent's measuring of a plugin's operations and networks."""

    def __init__(self, plugin: Plugin[Any], budget_s: float | None, runtime: Runtime = RUNTIME) -> None:
        self._agent = LocalAgent(runtime, plugin.name, plugin.digest, plugin.requirement)
        self._effort = Effort(budget_s=budget_s)

    def table(self, operations: Sequence[OperationSpec]) -> LatencyTable:
        """A row for each operation."""
        return self._agent.table(operations, self._agent.measure(operations, effort=self._effort))

    def known(self, table: LatencyTable, networks: Sequence[NetworkSpec]) -> Known:
        """The networks, end to end."""
        found = self._agent.measure(networks=networks, effort=self._effort)
        basis = basis_of(table, found.values())
        timed = [TimedNetwork(network, latency_us(found[network.digest], basis)) for network in networks]
        return Known(table, basis, timed, Calibrated(table, timed, basis))


def measured(plugin: Plugin[Any], networks: Sequence[NetworkSpec], budget_s: float | None) -> Known:
    """All rows of these networks, and the networks themselves."""
    measuring = Measuring(plugin, budget_s)
    operations = dict.fromkeys(item.operation for network in networks for item in network.operations)
    return measuring.known(measuring.table(list(operations)), networks)


def steps(options: argparse.Namespace) -> dict[str, Any]:
    """Rows of training steps against whole steps."""
    return {name: add_up(name, case, options.budget) for name, case in CASES.items()}


def add_up(name: str, case: Case, budget_s: float | None) -> dict[str, Any]:
    """Whole training steps against the sums of their rows, and as the other steps predict them."""
    known = measured(case.plugin, case.steps, budget_s)
    steps_us = np.array([timed.measured_us for timed in known.timed])
    raw_rel = np.array(known.raw_us) / steps_us - 1
    others_rel = np.array([estimate.latency_us for estimate in known.calibrated.leave_one_out()]) / steps_us - 1
    rows = [
        [f"{us / 1000:.2f}", f"{raw:+.1%}", f"{others:+.1%}"]
        for us, raw, others in zip(steps_us, raw_rel, others_rel, strict=True)
    ]
    show(f"{name}: whole training steps", ["measured, ms", "sum of rows off by", "predicted from the others"], rows)
    return {
        "steps_us": steps_us.tolist(),
        "raw_rel": raw_rel.tolist(),
        "raw_mape": float(np.abs(raw_rel).mean()),
        "calibrated_rel": others_rel.tolist(),
        "calibrated_mape": float(np.abs(others_rel).mean()),
    }


def members(options: argparse.Namespace) -> dict[str, Any]:
    """ViT-ResNAS in every mode."""
    return {mode: predicted(Runtime(mode=mode, threads=1), options.budget) for mode in MODES}


def predicted(runtime: Runtime, budget_s: float | None) -> dict[str, Any]:
    """Random members as eight others, chosen by the rows among a hundred, and the rows predict them."""
    networks = [
        vit_resnas.network(VIT_RESNAS, 0, VIT_RESNAS.random(random.Random(seed)))
        for seed in range(CANDIDATES + MEMBERS)
    ]
    measuring = Measuring(vit_resnas, budget_s, runtime)
    table = measuring.table(VIT_RESNAS.operations)
    chosen = choose(table, networks[:CANDIDATES], EVIDENCE, basis_of(table))
    known = measuring.known(table, [*chosen, *networks[CANDIDATES:]])
    evidence, others = known.timed[:EVIDENCE], known.timed[EVIDENCE:]
    estimates = Calibrated(known.table, evidence, known.basis).predict_all([timed.network for timed in others])
    measured_us = np.array([timed.measured_us for timed in others])
    error_rel = np.array([estimate.latency_us for estimate in estimates]) / measured_us - 1
    raw_rel = np.array(known.raw_us[EVIDENCE:]) / measured_us - 1
    mape, most = np.abs(error_rel).mean(), np.abs(error_rel).max()
    figures = [f"{min(measured_us):.0f}–{max(measured_us):.0f}", f"{np.abs(raw_rel).mean():.1%}"]
    show(
        f"ViT-ResNAS, {runtime}: {len(others)} members, from {EVIDENCE} others",
        ["measured, µs", "sum of rows, MAPE", "predicted, MAPE", "at most"],
        [[*figures, f"{mape:.1%}", f"{most:.1%}"]],
    )
    return {
        "measured_us": measured_us.tolist(),
        "error_rel": error_rel.tolist(),
        "mape": float(mape),
        "raw_rel": raw_rel.tolist(),
    }


class Beside:
    """A network whose latency is known, executed in between: what others take at the machine's standard state."""

    def __init__(self, plugin: Plugin[Any], timed: TimedNetwork) -> None:
        subject = Subject(plugin.build_network(timed.network), ((1, *timed.network.input_shape),))
        with torch.inference_mode():
            self._execute = open_mode(RUNTIME, CPU).prepare(subject)
        self._known_us = timed.measured_us
        self._seconds: list[float] = []

    def run(self, _: object = None) -> None:
        with torch.inference_mode():
            began = time.perf_counter()
            self._execute()
            self._seconds.append(time.perf_counter() - began)

    @property
    def total_s(self) -> float:
        return sum(self._seconds)

    def us(self, seconds: float) -> float:
        """At the standard state."""
        return seconds / float(np.mean(self._seconds[1:])) * self._known_us


def compared(known: Known, rated: Sequence[tuple[NetworkSpec, float]], measured_us: float) -> dict[str, Any]:
    """An expectation beside what was measured."""
    chosen = [(network, rate) for network, rate in rated if rate]
    expected = known.calibrated.expect(chosen)
    raw_us = sum(rate * network_us(known.table, network, known.basis) for network, rate in chosen)
    return {
        "expected_us": expected.latency_us,
        "low_us": expected.low_us,
        "high_us": expected.high_us,
        "measured_us": measured_us,
        "error_rel": expected.latency_us / measured_us - 1,
        "raw_rel": raw_us / measured_us - 1,
    }


def video(options: argparse.Namespace) -> dict[str, Any]:
    """JITNet on a stream: what a frame costs, and how well it is answered."""
    torch.set_num_threads(1)
    stream: Generated | Labelled = Generated((193, 385), options.frames)
    stride = Stride(4, 32, 8, agreement=0.6)
    if options.camvid:
        stream = Labelled(options.camvid, LAYOUTS["camvid"], "test", (360, 480), options.frames)
        stride = Stride(2, 16, 4, agreement=0.4)
    space = Jitnet(*stream.size, stream.labels.classes)
    paths = [jitnet.network(space, 0), jitnet.network(space.teacher, 0), jitnet.training_step(space)]
    known = measured(jitnet, paths, options.budget)
    with seeded(0):
        network, large = jitnet.staged(space), jitnet.staged(space.teacher).deployed()
    pretrain(Student(network, weights_of(stream.labels)), stream.elsewhere(STARTED_ON), 150, 0)
    beside = Beside(jitnet, known.timed[0])
    half = options.frames // 2

    def teacher(frame: Frame) -> Tensor:
        with torch.inference_mode():
            large(frame.image)
        return truth(frame)

    def student() -> Student:
        return Student(copy.deepcopy(network), weights_of(stream.labels))

    with pinned():
        seen = follow(student(), stream, teacher, stride, truth, beside.run)
    never = follow(student(), stream, truth, None)
    frames, once_taught = iter(stream), student()
    follow(once_taught, islice(frames, half), truth, stride)
    frozen = follow(once_taught, frames, truth, None)
    expected = compared(
        known, list(zip(paths, rates(seen), strict=True)), beside.us(float(np.mean([each.seconds for each in seen])))
    )
    teacher_us, student_us, update_us = (known.timed[index].measured_us for index in (1, 0, 2))
    result = {
        **expected,
        "frames": len(seen),
        "rates": rates(seen),
        "miou": agreed(seen),
        "second_half": {
            "adaptive": agreed(seen[half:]),
            "frozen after the first half": agreed(frozen),
            "never taught": agreed(never[half:]),
        },
        "teacher_us": teacher_us,
        "student_us": student_us,
        "update_us": update_us,
        "peak_us": teacher_us + student_us + stride.updates * update_us,
    }
    show(
        "JITNet: a frame",
        ["expected, ms", "90 %", "measured, ms", "off by", "teacher, ms", "mean IoU", "of the 2nd half: frozen"],
        [
            [
                f"{expected['expected_us'] / 1000:.1f}",
                f"{expected['low_us'] / 1000:.1f}–{expected['high_us'] / 1000:.1f}",
                f"{expected['measured_us'] / 1000:.1f}",
                f"{expected['error_rel']:+.1%}",
                f"{teacher_us / 1000:.1f}",
                f"{result['miou']:.1%}",
                f"{agreed(seen[half:]):.1%} : {agreed(frozen):.1%}",
            ]
        ],
    )
    return result


class InMemory:
    """Pictures that take hardly any time to read, and lie where reading leaves them: in the cache."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = [pictures[index, 0] for index in range(len(pictures))]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, key: tuple[int, int], /) -> tuple[Tensor, Tensor]:
        image, labels = self._pictures[key[0]]
        return image.clone(), labels


def slimmed(options: argparse.Namespace) -> dict[str, Any] | None:
    """DANCE's arms: mean IoU with its spread over seeds, and what an image costs to train on and to answer."""
    if options.camvid is None:
        return None
    torch.set_num_threads(1)
    space, folder, computing = DANCE[options.setting], DataFolder(options.camvid, LAYOUTS["camvid"]), Computing()
    size = (space.height, space.width)
    pictures = InMemory(spread(folder.whole("train", size, full_labels=False), options.images))
    test = spread(folder.whole("test", size), options.images)
    known = complexities(pictures)
    decisions = Decisions.by(known, len(space.ratios))
    results: dict[str, list[Result]] = {}
    for arm in ARMS:
        for seed in range(options.seeds):
            found = train(space, pictures, arm, known, options.epochs, LR, seed, CPU)
            miou, shares = scored(found, decisions if arm.data else None, test, computing)
            results.setdefault(arm.name, []).append(Result(arm.name, found, arm.data, (miou, miou), (shares, shares)))
    firsts = [each[0] for each in results.values()]
    counts = (len(test), len(test))
    answers = answer_costs(
        answering(firsts, options.setting, counts), firsts, decisions, InMemory(test), options.budget
    )
    trainings = training_costs(training(firsts, options.setting, counts), space, pictures, known, options)
    rows, found_of = [], {}
    for number, (name, of) in enumerate(results.items()):
        mious = [each.miou[1] for each in of]
        found_of[name] = {"miou": mious, "answer": answers[number], "training": trainings[number]}
        rows.append(
            [
                name,
                f"{np.mean(mious):.1%} ± {np.std(mious, ddof=1) if len(mious) > 1 else 0:.1%}",
                *(
                    f"{costs['expected_us'] / 1000:.2f} : {costs['measured_us'] / 1000:.2f} ({costs['error_rel']:+.1%})"
                    for costs in (answers[number], trainings[number])
                ),
            ]
        )
    show("DANCE: an image, ms expected : measured", ["arm", "mean IoU", "answered", "trained on"], rows)
    return found_of


def answer_costs(
    record: Record, results: Sequence[Result], decisions: Decisions, pictures: Pictures, budget_s: float | None
) -> list[dict[str, Any]]:
    """Of every arm, image by image as deployed."""
    known = measured(dance, [path.network for path in record.paths], budget_s)
    costs = []
    for result, point in zip(results, record.points, strict=True):
        deployed = Trained(result.trained.space, result.trained.network.deployed(), result.trained.taken, 0)
        deciding = Deciding(deployed, decisions if result.decides else None)
        beside, seconds = Beside(dance, known.timed[0]), []
        with pinned(), torch.inference_mode():
            for index in range(len(pictures)):  # kernels are made at the first image of each size
                deciding(pictures[index, 0][0][None])
            for index in list(range(len(pictures))) * ANSWERED:
                beside.run()
                image = pictures[index, 0][0][None]
                began = time.perf_counter()
                deciding(image)
                seconds.append(time.perf_counter() - began)
        rated = zip((path.network for path in record.paths), point.test_rates, strict=True)
        costs.append(compared(known, list(rated), beside.us(float(np.mean(seconds)))))
    return costs


def training_costs(
    record: Record, space: Dance, pictures: Pictures, complexity: Sequence[float], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Of every arm, in another run of its training."""
    known = measured(dance, [path.network for path in record.paths], options.budget)
    costs = []
    for arm, point in zip(ARMS, record.points, strict=True):
        beside = Beside(dance, known.timed[0])
        with pinned():
            began = time.perf_counter()
            found = train(space, pictures, arm, complexity, options.epochs, LR, 0, CPU, beside.run)
            seconds = time.perf_counter() - began - beside.total_s
        rated = zip((path.network for path in record.paths), point.rates, strict=True)
        costs.append(compared(known, list(rated), beside.us(seconds / found.presented)))
    return costs


@contextmanager
def pinned() -> Iterator[None]:
    """On the cores that an agent measures on."""
    cores = os.sched_getaffinity(0)
    pin(RUNTIME.threads)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)  # the agent's next processes choose among all of them


PARTS: Mapping[str, Callable[[argparse.Namespace], Any]] = {
    "steps": steps,
    "vit-resnas": members,
    "jitnet": video,
    "dance": slimmed,
}


if __name__ == "__main__":
    main()

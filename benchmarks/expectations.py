"""Expected against measured: networks with exits run image by image as deployed, stopping where a gate says so.

Per system and mode, the agent measures the operations, which make a table, and the paths, which calibrate it. Then
images are run one after the other: in PyTorch by the network, in ONNX Runtime by an engine for every stage. The mean
wall time is set beside a path that is measured in the same minutes, so that a machine that runs slower than at its
standard state does not count. Weights and images are random: a latency depends on neither, and thresholds are such that
equal shares leave at each exit.
"""

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adaptive_networks.basisnet.plugin import space as basisnet
from adaptive_networks.basisnet.space import SETTINGS as BASISNET
from adaptive_networks.basisnet.space import STATIC
from adaptive_networks.core.exits import rates, shares, thresholds
from adaptive_networks.core.plugin import Choice, Plugin
from adaptive_networks.core.staged import Stage, StagedNetwork
from adaptive_networks.ddnn.plugin import space as ddnn
from adaptive_networks.ddnn.space import SETTINGS as DDNN
from adaptive_networks.enas4d.plugin import space as enas4d
from adaptive_networks.enas4d.space import SETTINGS as ENAS4D
from adaptive_networks.ranet.plugin import space as ranet
from adaptive_networks.ranet.space import SETTINGS as RANET
from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from latency_tables.calibration import Calibrated, TimedNetwork
from latency_tables.contract import Effort, Mode, NetworkSpec, Runtime
from latency_tables.latencies import basis_of, latency_us, network_us
from lgcnet_search.space.graph import INPUT
from lgcnet_search.space.network import seeded
from profiler_agent.measuring.workbench import pin
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.exported.session import open_session, quiet_options
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject

Classify = Callable[[Tensor, int], int]
"""An image and its number to the path that it took."""
CPU = torch.device("cpu")


class Case(NamedTuple):
    """A network, or several among which something else than the input decides; others that calibrate the table."""

    plugin: Plugin[Any]
    space: Any
    choices: tuple[Choice, ...] = ((),)
    others: tuple[Choice, ...] = ()

    def paths(self, choices: Sequence[Choice]) -> list[NetworkSpec]:
        return [path for choice in choices for path in self.plugin.paths(self.space, choice)]


def _cases(small: str, large: str) -> Mapping[str, Case]:
    """Of these settings: of systems for small and for large images."""
    depths, stages = DDNN[small], ENAS4D[large]
    return {
        "ranet": Case(ranet, RANET[small]),
        "ddnn": Case(ddnn, depths.space, depths.nets),
        "basisnet": Case(basisnet, BASISNET[large], others=(STATIC,)),
        "enas4d": Case(enas4d, stages, (stages.largest,), (stages.smallest,)),
    }


CASES = {"demo": _cases("demo", "demo"), "paper": _cases("cifar10", "imagenet")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", choices=CASES, default="demo", help="of the networks: demonstrations', or the papers'"
    )
    parser.add_argument("--system", nargs="*", choices=CASES["demo"], default=list(CASES["demo"]))
    parser.add_argument("--mode", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--images", type=int, default=200, help="that are run one after the other")
    parser.add_argument("--rounds", type=int, default=40, help="how often")
    parser.add_argument("--budget", type=float, help="seconds for each job of the agent")
    options = parser.parse_args()
    torch.set_num_threads(1)  # with more, sums differ in their last bits, and so may what a gate decides
    results: dict[str, dict[str, Any]] = {}
    for system in options.system:
        for mode in options.mode:
            print(f"{system}, {mode} …", file=sys.stderr, flush=True)
            results.setdefault(system, {})[mode] = compare(CASES[options.size][system], mode, options)
    rows = [
        [
            system,
            mode,
            f"{of['expected_us']:.1f}",
            f"{of['low_us']:.1f}–{of['high_us']:.1f}",
            f"{of['measured_us']:.1f}",
            f"{of['error_rel']:+.1%}",
            f"{of['raw_rel']:+.1%}",
            ", ".join(f"{error:+.1%}" for error in of["paths_rel"]),
        ]
        for system, modes in results.items()
        for mode, of in modes.items()
    ]
    columns = ["system", "mode", "expected, µs", "90 %", "measured, µs", "off by", "raw off by", "each path off by"]
    show("Expected against measured", columns, rows)
    finish({"expectations": results, "size": options.size})


def compare(case: Case, mode: Mode, options: argparse.Namespace) -> dict[str, Any]:
    """Expected and measured mean latency of a stream of images, and of every path alone."""
    runtime = Runtime(mode=mode, threads=1)
    agent = LocalAgent(runtime, case.plugin.name, case.plugin.digest, case.plugin.requirement)
    effort = Effort(budget_s=options.budget)
    paths, others = case.paths(case.choices), case.paths(case.others)
    operations = list(dict.fromkeys(item.operation for path in (*paths, *others) for item in path.operations))
    table = agent.table(operations, agent.measure(operations, effort=effort))
    measured = agent.measure(networks=(*paths, *others), effort=effort)
    basis = basis_of(table, measured.values())
    timed = [TimedNetwork(path, latency_us(measured[path.digest], basis)) for path in (*paths, *others)]
    calibrated = Calibrated(table, timed, basis)
    images = torch.randn(options.images, 1, *paths[0].input_shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        classify = ENGINES[mode](case, images)
        taken_paths = np.array([classify(image, number) for number, image in enumerate(images)])
    path_rates = rates(taken_paths, len(paths))
    stream_us, alone_us = measure(case, runtime, images, classify, taken_paths, timed[len(paths) - 1], options.rounds)
    chosen = [(path, float(rate)) for path, rate in zip(paths, path_rates, strict=True) if rate]
    expected = calibrated.expect(chosen)
    raw_us = sum(rate * network_us(table, path, basis) for path, rate in chosen)
    expected_us = [calibrated.expect([(path, 1.0)]).latency_us for path in paths]
    return {
        "rates": path_rates.tolist(),
        "expected_us": expected.latency_us,
        "low_us": expected.low_us,
        "high_us": expected.high_us,
        "measured_us": stream_us,
        "error_rel": expected.latency_us / stream_us - 1,
        "inside": expected.low_us <= stream_us <= expected.high_us,
        "raw_rel": raw_us / stream_us - 1,
        "paths_rel": [expected / us - 1 for expected, us in zip(expected_us, alone_us, strict=True)],
        "paths_expected_us": expected_us,
        "paths_by_agent_us": [timed[number].measured_us for number in range(len(paths))],
        "paths_alone_us": alone_us,
    }


def measure(
    case: Case,
    runtime: Runtime,
    images: Tensor,
    classify: Classify,
    taken_paths: Any,
    beside: TimedNetwork,
    rounds: int,
) -> tuple[float, list[float]]:
    """Mean microseconds of an image at the standard state, of all images and of those that take each path.

    Every round runs all images in another order, those of one depth after those of another, and for as long the last
    path, whose latency there is known.
    """
    cores = os.sched_getaffinity(0)
    pin(runtime.threads)
    reference = open_mode(runtime, CPU).prepare(
        Subject(case.plugin.build_network(beside.network), ((1, *beside.network.input_shape),))
    )
    draw, ratios = random.Random(0), []
    order = list(range(len(images)))
    gc.disable()
    with torch.inference_mode():
        for number in order[:10]:
            classify(images[number], number)
            reference()
        for _ in range(rounds):
            draw.shuffle(order)
            if len(case.choices) > 1:
                order.sort(key=lambda number: int(taken_paths[number]))  # a depth stays in use for a while
            started = time.perf_counter()
            for _ in range(len(order)):
                reference()
            reference_s = (time.perf_counter() - started) / len(order)
            each = np.zeros(len(order))
            for number in order:
                began = time.perf_counter()
                path = classify(images[number], number)
                each[number] = time.perf_counter() - began
                assert path == taken_paths[number], "a gate decides alike every time"
            ratios.append(each / reference_s)
    gc.enable()
    os.sched_setaffinity(0, cores)  # the agent's next processes choose among all of them
    medians = np.median(np.array(ratios), axis=0) * beside.measured_us
    paths = len(case.paths(case.choices))
    alone = [
        float(medians[taken_paths == path].mean()) if (taken_paths == path).any() else float("nan")
        for path in range(paths)
    ]
    return float(medians.mean()), alone


def in_pytorch(case: Case, images: Tensor) -> Classify:
    """The network itself."""
    networks = [_deployed(case, choice) for choice in case.choices]
    return _switched([network.classify for network in networks], _limits(networks, images))


def in_onnxruntime(case: Case, images: Tensor) -> Classify:
    """An engine for every stage: one's outputs are bound as the inputs of those that read them."""
    networks = [_deployed(case, choice) for choice in case.choices]
    engines = [_Engines(network, images[0]) for network in networks]
    return _switched([engine.classify for engine in engines], _limits(networks, images))


def _switched(classifies: Sequence[Callable[[Tensor, Sequence[float]], tuple[Tensor, int]]], limits: Any) -> Classify:
    """One network stops where a gate says so; of several, images share them evenly."""
    if len(classifies) == 1:
        return lambda image, _: classifies[0](image, limits)[1]

    def classify(image: Tensor, number: int) -> int:
        path = number % len(classifies)
        classifies[path](image, (0.0,))
        return path

    return classify


ENGINES: Mapping[Mode, Callable[[Case, Tensor], Classify]] = {
    "pytorch": in_pytorch,
    "onnxruntime": in_onnxruntime,
}


class _Engines:
    """A session for every stage of a network; values lie in buffers that sessions share."""

    def __init__(self, network: StagedNetwork, image: Tensor) -> None:
        options = quiet_options()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._buffers = {INPUT: image.clone()}
        self._runs: list[Callable[[], None]] = []
        self._exits = network.plan.exits
        for exit in range(len(network.plan.exits)):
            stage = Stage(network, exit).eval()
            inputs = tuple(self._buffers[name] for name in stage.inputs)
            outputs = stage(*inputs)
            exported = export(
                Subject(stage, tuple(tuple(value.shape) for value in inputs)), inputs, torch.float32, bytes
            )
            session = open_session(exported.model, options, ["CPUExecutionProvider"])
            self._buffers.update(
                {name: torch.empty_like(value) for name, value in zip(stage.outputs, outputs, strict=True)}
            )
            binding = session.io_binding()
            for bind, nodes, names in (
                (binding.bind_input, session.get_inputs(), stage.inputs),
                (binding.bind_output, session.get_outputs(), stage.outputs),
            ):
                for node, name in zip(nodes, names, strict=True):
                    buffer = self._buffers[name]
                    bind(node.name, "cpu", 0, np.float32, list(buffer.shape), buffer.data_ptr())
            self._runs.append(lambda session=session, binding=binding: session.run_with_iobinding(binding))  # type: ignore[misc]

    def classify(self, image: Tensor, limits: Sequence[float]) -> tuple[Tensor, int]:
        """As StagedNetwork's."""
        self._buffers[INPUT].copy_(image)
        for exit, (run, (logits, gate)) in enumerate(zip(self._runs, self._exits, strict=True)):
            run()
            if gate is None or self._buffers[gate].item() >= limits[exit]:
                return self._buffers[logits], exit
        raise AssertionError("the last exit has no gate")


def _deployed(case: Case, choice: Choice) -> StagedNetwork:
    """With the weights that the agent draws."""
    with seeded(0):
        return case.plugin.staged(case.space, choice).deployed()


def _limits(networks: Sequence[StagedNetwork], images: Tensor) -> tuple[float, ...]:
    """Thresholds at which equal shares of the images leave."""
    if len(networks) > 1:
        return ()
    confidence = np.array([list(_confidences(networks[0], image)) for image in images]).T
    return tuple(thresholds(confidence, shares(20, len(confidence))).tolist())


def _confidences(network: StagedNetwork, image: Tensor) -> Iterator[float]:
    for _, confidence in network.stages(image):
        yield 0.0 if confidence is None else confidence.item()


if __name__ == "__main__":
    main()

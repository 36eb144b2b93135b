"""A supernet step: time against its candidates run alone and against a plain DARTS-style supernet; memory.

CPU seconds of one thread on a CPU, so that other work on the machine counts little; wall clock on CUDA. Every figure
is the median over rounds that take turns. python -m benchmarks.supernet_step [--rounds N] [--full]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._common import finish, median_ratio, show
from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.sources import generated_scenes, search_batches
from lgcnet_search.search.search import SearchRun, SearchSettings
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.candidates import ZERO
from lgcnet_search.space.graph import INPUT, Edge, Step
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.operations import build_operation
from lgcnet_search.space.space import Space
from tests.support.tiny_spaces import make_table

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
SMALL = (Space(height=128, width=256, channels=4), 4)
FULL = (Space(height=384, width=768, channels=8), 16)
SCENES = 16
FIRST_TEMPERATURE = 1.0
"""λ of every step that is timed: all candidates have weight, which is the soft step at its dearest."""


class PlainSupernet(nn.Module):
    """The same graph as DARTS mixes it: Σ softmax(α)_m o_m(x) by Python's sum, zero computed as x · 0."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.graph = space.graph
        self.steps = nn.ModuleDict()
        self.edges = nn.ModuleDict()
        for part in self.graph.parts:
            if isinstance(part, Step):
                self.steps[_key(part.name)] = build_operation(part.operation)
            elif isinstance(part, Edge):
                candidates = [build_operation(operation) for operation in part.candidates.values() if operation]
                self.edges[_key(part.name)] = nn.ModuleList(candidates)
        self.alphas = nn.ParameterDict({_key(edge.name): torch.zeros(len(edge.names)) for edge in self.graph.edges})

    def forward(self, images: Tensor) -> Tensor:
        values = {INPUT: images}
        for part in self.graph.parts:
            if isinstance(part, Step):
                value: Tensor = self.steps[_key(part.name)](*[values[name] for name in part.inputs])
            elif isinstance(part, Edge):
                value = self._mix(part, values[part.source])
            else:
                value = sum((values[name] for name in part.inputs[1:]), start=values[part.inputs[0]])
            values[part.name] = value
        return value

    def _mix(self, edge: Edge, x: Tensor) -> Tensor:
        weights = torch.softmax(self.alphas[_key(edge.name)], dim=0)
        operations = self.edges[_key(edge.name)].children()
        outputs = [next(operations)(x) if operation else x for operation in edge.candidates.values()]
        stride = 2 if outputs[0].shape != x.shape else 1
        outputs = [
            x[:, :, ::stride, ::stride].mul(0) if name == ZERO else output
            for name, output in zip(edge.names, outputs, strict=True)
        ]
        return sum(
            (w * output for w, output in zip(weights[1:], outputs[1:], strict=True)), start=weights[0] * outputs[0]
        )


def _key(name: str) -> str:
    return name.replace(".", "/")


def plain_step(proxy: Space, batch: Batch) -> Callable[[], None]:
    net = PlainSupernet(proxy).to(DEVICE).train()
    weights = torch.optim.SGD([*net.steps.parameters(), *net.edges.parameters()], 0.025, 0.9, weight_decay=1e-3)
    alphas = torch.optim.Adam(net.alphas.parameters(), 1e-3, (0.5, 0.999), weight_decay=1e-4)

    def step() -> None:
        weights.zero_grad()
        alphas.zero_grad()
        torch.autograd.backward(F.cross_entropy(net(batch[0]), batch[1]))
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        weights.step()
        alphas.step()

    return step


def our_step(proxy: Space, batch: Batch, sampling: Sampling, recompute: bool = False) -> Callable[[], None]:
    """The search's own step; every one at the first temperature."""
    deployed = replace(proxy, height=769, width=1537, channels=8)
    settings = SearchSettings(
        steps=1000,
        sampling=sampling,
        recompute=recompute,
        warm_up=0,
        temperature=(FIRST_TEMPERATURE, FIRST_TEMPERATURE),
    )
    run = SearchRun(deployed, proxy, Latencies(make_table(deployed.operations)), settings, Computing(DEVICE))

    def step() -> None:
        run.step([batch])

    return step


def candidates_alone(proxy: Space, images: int) -> Callable[[], None]:
    """Forward and backward of each candidate of each edge, its own weights, one after another."""
    specs = [operation for edge in proxy.graph.edges for operation in edge.candidates.values() if operation]
    modules = [build_operation(spec).to(DEVICE).train() for spec in specs]
    shapes = {spec.input_shapes[0] for spec in specs}
    inputs = {shape: torch.randn(images, *shape, device=DEVICE, requires_grad=True) for shape in shapes}
    with torch.no_grad():
        outputs = [torch.randn_like(module(inputs[module.spec.input_shapes[0]])) for module in modules]
    gradients = {output.shape: output for output in outputs}

    def run() -> None:
        for module in modules:
            value = inputs[module.spec.input_shapes[0]]
            output = module(value)
            torch.autograd.backward(output, gradients[output.shape])
            value.grad = None
            module.zero_grad()

    return run


def seconds(work: Callable[[], None]) -> float:
    if CUDA:
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    work()
    return time.process_time() - started


def rounds(works: Sequence[Callable[[], None]], count: int) -> list[list[float]]:
    """Seconds of each work in each round, after one to warm up."""
    for work in works:
        seconds(work)
    return [[seconds(work) for work in works] for _ in range(count)]


def make_batch(proxy: Space, images: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, proxy.classes, (images, proxy.height, proxy.width), generator=generator)
    return torch.randn(images, *proxy.input_shape, generator=generator).to(DEVICE), targets.to(DEVICE)


def peak_bytes(kind: str, full: bool) -> int:
    """Memory of one step beyond weights, optimizers and batch, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.supernet_step", "--memory", kind, *(["--full"] if full else [])]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_memory(kind: str, proxy: Space, images: int) -> None:
    tiny = replace(proxy, height=33, width=65, channels=1)
    our_step(tiny, make_batch(tiny, 2), "soft")()  # what libraries load once is not the step's
    batch = make_batch(proxy, images)
    if kind == "plain":
        step = plain_step(proxy, batch)
    else:
        step = our_step(proxy, batch, "hard" if kind == "hard" else "soft", recompute=kind == "recompute")
    if CUDA:
        step()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        print(torch.cuda.max_memory_allocated() - before)
        return
    before = _resident_bytes("VmRSS")
    for _ in range(2):
        step()
    print(_resident_bytes("VmHWM") - before)


def _resident_bytes(field: str) -> int:
    """VmRSS is what is resident now, VmHWM the most so far (ru_maxrss would begin with the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def data_wait(proxy: Space, images: int, steps: int = 8) -> float:
    """The share of the time that hard steps wait for one process that reads street scenes."""
    root = generated_scenes(SCENES)
    batches = search_batches(root, Space(), proxy, images, 0, 1)
    step = our_step(proxy, next(batches), "hard")
    waited, started = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - asked
        step()
        if CUDA:
            torch.cuda.synchronize()
    return waited / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--full", action="store_true", help="8 channels, batch 16, crop 384×768 (default on CUDA)")
    parser.add_argument("--memory", choices=["soft", "hard", "recompute", "plain"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    full = options.full or CUDA
    proxy, images = FULL if full else SMALL
    if options.memory:
        report_memory(options.memory, proxy, images)
        return

    batch = make_batch(proxy, images)
    works = [
        our_step(proxy, batch, "soft"),
        candidates_alone(proxy, images),
        our_step(proxy, batch, "hard"),
        plain_step(proxy, batch),
        our_step(proxy, batch, "soft", recompute=True),
    ]
    times = rounds(works, options.rounds)
    soft_s, alone_s, hard_s, plain_s, recompute_s = (statistics.median(column) for column in zip(*times, strict=True))
    memory = {kind: peak_bytes(kind, full) for kind in ("soft", "hard", "plain", "recompute")}
    show(
        f"{proxy.height}×{proxy.width}, {proxy.channels} channels, batch {images}, on {DEVICE.type}",
        ["step", "seconds", "MiB beside the weights"],
        [
            ["soft", f"{soft_s:.3f}", f"{memory['soft'] / 2**20:.0f}"],
            ["soft, recomputed", f"{recompute_s:.3f}", f"{memory['recompute'] / 2**20:.0f}"],
            ["hard", f"{hard_s:.3f}", f"{memory['hard'] / 2**20:.0f}"],
            ["plain DARTS-style", f"{plain_s:.3f}", f"{memory['plain'] / 2**20:.0f}"],
            ["candidates alone", f"{alone_s:.3f}", ""],
        ],
    )

    few, small = 2, replace(proxy, height=proxy.height // 2, width=proxy.width // 2)
    sizes = [
        ("6 cells", replace(proxy, cells=6, reductions=(1, 4), fused=(0, 3, 5))),
        ("10 cells", replace(proxy, cells=10, reductions=(1, 6), fused=(0, 5, 9))),
        ("14 cells", proxy),
        (f"14 cells, {small.height}×{small.width}", small),
    ]
    lines = []
    for name, size in sizes:
        own = make_batch(size, images)
        pairs = rounds([our_step(size, own, "soft"), our_step(size, own, "hard")], few)
        lines.append([name, *(f"{min(column):.3f}" for column in zip(*pairs, strict=True))])
    show("seconds by size", ["size", "soft", "hard"], lines)
    finish(
        {
            "device": torch.cuda.get_device_name() if CUDA else "cpu",
            "soft_s": round(soft_s, 4),
            "hard_s": round(hard_s, 4),
            "soft_ratio": round(median_ratio([(row[0], row[1]) for row in times]), 3),
            "hard_speedup": round(median_ratio([(row[0], row[2]) for row in times]), 3),
            "hard_memory_ratio": round(memory["hard"] / memory["soft"], 3),
            "plain_ratio": round(median_ratio([(row[0], row[3]) for row in times]), 3),
            "plain_memory_ratio": round(memory["soft"] / memory["plain"], 3),
            "recompute_memory_ratio": round(memory["recompute"] / memory["soft"], 3),
            "data_wait_share": round(data_wait(proxy, images), 4),
        }
    )


if __name__ == "__main__":
    main()

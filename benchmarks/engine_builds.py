"""Engines of every operation of every search space here, and of networks, built without a GPU by TensorRT for RTX.

Each is exported as an agent exports it, in every precision, and built for every compute capability.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from benchmarks._common import console, finish, show
from latency_tables.contract import Precision
from profiler_agent.runtimes.engines.builder import EngineBuilder
from profiler_agent.runtimes.engines.library import TENSORRT_RTX
from profiler_agent.runtimes.engines.models import model_of
from profiler_agent.runtimes.exports import ShareExport
from profiler_agent.runtimes.subject import Subject
from tests.support.every_space import RepositorySpace, every_space, published, random_inputs

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
CAPABILITIES = ("7.5", "8.6", "8.9", "12.0")
NETWORKS = 3
"""Of each space."""
REFUSED = {"7.5": "FP32 GEMM is not supported"}
"""What the library itself says that it does not build, by capability: on Turing, a matrix product in fp32.

Those of Q/DQ models are in fp32, too.
"""


@dataclass
class Builds:
    """What came of it: engines by how it ended, with the reasons of those that were not built; seconds by step."""

    ended: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"exporting": 0.0, "building": 0.0})
    fused: list[tuple[int, int]] = field(default_factory=list)

    def add(self, label: str, subject: Subject, precision: Precision, builders: Mapping[str, EngineBuilder]) -> None:
        """Export one module in one precision, and build it for each capability."""
        started_s = time.monotonic()
        try:
            with torch.inference_mode():
                model = model_of(subject, random_inputs(subject), precision).model
        except RuntimeError as error:
            self._not_built("failed", len(builders), f"{label}, {precision}: {error}")
            return
        finally:
            self.seconds["exporting"] += time.monotonic() - started_s
        started_s = time.monotonic()
        for capability, builder in builders.items():
            try:
                plan = builder.build(model)
            except RuntimeError as error:
                how = "refused" if is_refused(capability, error) else "failed"
                self._not_built(how, 1, f"{label}, {precision}, {capability}: {error}")
                continue
            self.ended["built"] += 1
            nodes = sum(len(kernel.nodes) for kernel in plan.kernels)
            self.fused.append((nodes, sum(bool(kernel.nodes) for kernel in plan.kernels)))
        self.seconds["building"] += time.monotonic() - started_s

    def _not_built(self, how: str, count: int, reason: str) -> None:
        self.ended[how] += count
        self.reasons.append(reason)


def is_refused(capability: str, error: RuntimeError) -> bool:
    """Whether the library says that it does not build this; anything else is a failure of ours."""
    return capability in REFUSED and REFUSED[capability] in str(error)


def build_all(
    spaces: Sequence[RepositorySpace],
    precisions: Sequence[Precision] = PRECISIONS,
    capabilities: Sequence[str] = CAPABILITIES,
    networks: int = NETWORKS,
) -> Iterator[tuple[str, Precision, Builds]]:
    """The builds of each space's operations, then of its networks, in each precision."""
    builders = {
        precision: {name: EngineBuilder(TENSORRT_RTX, precision, capability=name) for name in capabilities}
        for precision in precisions
    }

    def built(subjects: Iterable[tuple[str, Subject]]) -> dict[Precision, Builds]:
        by_precision = {precision: Builds() for precision in precisions}
        for label, subject in subjects:
            shared = subject._replace(share=_once())
            for precision, builds in by_precision.items():
                # In half precision the module itself is converted, so it needs one of its own.
                own = subject._replace(module=deepcopy(subject.module)) if precision == "fp16" else shared
                builds.add(label, own, precision, builders[precision])
        return by_precision

    for space in spaces:
        operations = ((str(operation), space.operation_subject(operation)) for operation in space.operations)
        for precision, builds in built(operations).items():
            yield f"{space.plugin.name}, {len(space.operations)} operations", precision, builds
        if space.network is None:
            continue
        whole = (
            (f"network {number} of {space.plugin.name}", space.network_subject(number)) for number in range(networks)
        )
        for precision, builds in built(whole).items():
            yield f"{space.plugin.name}, {networks} networks", precision, builds


def _once() -> ShareExport:
    """Exports a module once: fp32 and int8 are built from the same model."""
    models: list[bytes] = []

    def share(export: Callable[[], bytes]) -> bytes:
        if not models:
            models.append(export())
        return models[0]

    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="at the sizes of the tests, not those of the papers")
    parser.add_argument("--precision", action="append", choices=get_args(Precision), help="may be repeated")
    parser.add_argument("--capability", action="append", choices=TENSORRT_RTX.capabilities, help="may be repeated")
    options = parser.parse_args()
    started_s = time.monotonic()
    capabilities = options.capability or CAPABILITIES
    rows: list[list[str]] = []
    total, seconds = Counter[str](), {"exporting": 0.0, "building": 0.0}
    spaces = [*every_space(small=options.small), published(small=options.small)]
    for what, precision, builds in build_all(spaces, options.precision or PRECISIONS, capabilities):
        nodes, kernels = (sum(numbers) for numbers in zip(*builds.fused, strict=True)) if builds.fused else (0, 0)
        counts = [str(builds.ended[how]) for how in ("built", "failed", "refused")]
        times = [f"{builds.seconds[step]:.1f}" for step in ("exporting", "building")]
        rows.append([what, precision, *counts, f"{nodes / kernels:.2f}" if kernels else "–", *times])
        console.print(", ".join(rows[-1]))
        for reason in builds.reasons:
            console.print(f"  {reason}", markup=False)
        total += builds.ended
        seconds = {step: seconds[step] + taken_s for step, taken_s in builds.seconds.items()}
    columns = ["what", "precision", "built", "failed", "refused", "nodes a kernel", "exporting, s", "building, s"]
    show(f"Engines for {', '.join(capabilities)}", columns, rows)
    result: dict[str, Any] = {how: total[how] for how in ("built", "failed", "refused")}
    result |= {step: round(seconds[step], 1) for step in ("exporting", "building")}
    finish({**result, "seconds": round(time.monotonic() - started_s, 1)})


if __name__ == "__main__":
    main()

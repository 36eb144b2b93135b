"""Engines built ahead of time: nothing is executed, so any machine can do it for the GPUs that its library knows."""

import time
from pathlib import Path

import onnx
import torch

from profiler_agent.errors import JobFailed
from profiler_agent.measuring.pipe import Send
from profiler_agent.measuring.workload import Workload, workloads_of
from profiler_agent.messages import BuildTask, EngineBuilt
from profiler_agent.runtimes.engines.library import LIBRARIES
from profiler_agent.runtimes.engines.models import model_of
from profiler_agent.runtimes.engines.store import EngineStore
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.mode import MODES
from profiler_agent.runtimes.subject import Subject


def build_engines(task: BuildTask, device: torch.device, send: Send) -> None:
    """Send an EngineBuilt for every key of the request.

    Raises:
        JobFailed: the mode has no engines or is not installed, or the library does not build for the capability.
    """
    runtime = task.request.runtime
    if runtime.mode not in LIBRARIES:
        raise JobFailed(f"mode {runtime.mode!r}: builds no engines; take {' or '.join(LIBRARIES)}")
    entry, library = MODES[runtime.mode], LIBRARIES[runtime.mode]
    if runtime.precision not in entry.precisions["cuda"]:
        raise JobFailed(
            f"precision {runtime.precision!r}: mode {runtime.mode!r} has {', '.join(entry.precisions['cuda'])}"
        )
    try:
        store = EngineStore(Path(task.folder), library, runtime.precision, device, task.capability)
    except ImportError as error:
        raise JobFailed(f"mode {runtime.mode!r}: {error}; pip install 'lgcnet[{entry.extra}]'") from error
    inputs = RandomInputs(torch.device("cpu"), torch.float32)
    for workload in workloads_of(task.request, task.request.keys):
        started_s = time.monotonic()
        try:
            built = _build(workload, store, inputs, task)
        except Exception as error:  # the space's code is not ours: whatever it raises is the answer
            built = EngineBuilt(label=workload.label, seconds=0, error=f"{type(error).__name__}: {error}")
        send(built.model_copy(update={"seconds": time.monotonic() - started_s}))


def _build(workload: Workload, store: EngineStore, inputs: RandomInputs, task: BuildTask) -> EngineBuilt:
    subject = Subject(workload.build(), workload.input_shapes, workload.is_part)
    with torch.inference_mode():
        model = model_of(subject, inputs(workload.input_shapes), task.request.runtime.precision).model
    taken = store.taken
    plan = store.engine(model)
    return EngineBuilt(
        label=workload.label,
        seconds=0,
        taken=store.taken > taken,
        kernels=len(plan.kernels),
        nodes=len(onnx.load_from_string(model).graph.node),
    )

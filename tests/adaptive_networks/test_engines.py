"""Every system's whole path in ONNX Runtime: it computes there what it computes in PyTorch."""

import pytest
import torch

from latency_tables.contract import Runtime
from profiler_agent.measuring.workload import load_space
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject
from tests.adaptive_networks.systems import SYSTEMS

pytestmark = pytest.mark.process  # exports of networks, which make quick leaves out as well


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_path_in_onnxruntime(system: str) -> None:
    plugin, space, choice = SYSTEMS[system]
    mode = open_mode(Runtime(mode="onnxruntime", threads=1), torch.device("cpu"))
    spec = plugin.paths(space, choice)[-1]
    found = load_space(plugin.name, plugin.digest, plugin.requirement)
    with torch.inference_mode():  # prepare() compares
        execute = mode.prepare(Subject(found.build_network(spec), ((1, *spec.input_shape),)))
        assert mode.clock.time_s(execute, 2) > 0
    assert mode.kernels(execute)

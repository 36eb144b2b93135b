"""Engines built for real, without a GPU, by TensorRT for RTX; what only a GPU can show runs on a replacement."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, create_autospec

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from latency_tables.contract import Kernel, Method, Precision, Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.measuring.building import build_engines
from profiler_agent.messages import BuildTask, EngineBuilt
from profiler_agent.runtimes.agreement import Mismatch, error_rel
from profiler_agent.runtimes.engines import execution
from profiler_agent.runtimes.engines.builder import EngineBuilder, kernels_of
from profiler_agent.runtimes.engines.execution import EngineMode
from profiler_agent.runtimes.engines.library import TENSORRT, TENSORRT_RTX
from profiler_agent.runtimes.engines.models import model_of
from profiler_agent.runtimes.engines.store import EngineStore
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.exported.quantize import quantize
from profiler_agent.runtimes.subject import Subject
from tests.support import toy_space
from tests.support.agents import on_path, profile

rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed: pip install 'lgcnet[dev]'")

CPU = torch.device("cpu")
RUNTIME = rtx.Runtime
SHAPE = (1, 4, 12, 12)
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "fp16", "int8")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    return torch.nn.Sequential(layers, torch.nn.MaxPool2d(2)).eval()


@pytest.fixture(scope="module")
def models(network: torch.nn.Module) -> dict[Precision, bytes]:
    """The network as engines of each precision are built from it."""
    inputs = (torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)),)
    with torch.inference_mode():
        exported = export(Subject(network, (SHAPE,)), inputs, torch.float32)
        half = model_of(Subject(deepcopy(network), (SHAPE,)), inputs, "fp16").model
    return {"fp32": exported.model, "tf32": exported.model, "fp16": half, "int8": quantize(exported)}


@pytest.mark.parametrize("capability", TENSORRT_RTX.capabilities)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_engines_are_built_for_every_capability(
    models: dict[Precision, bytes], capability: str, precision: Precision
) -> None:
    plan = EngineBuilder(TENSORRT_RTX, precision, capability=capability).build(models[precision])
    assert capability.replace(".", "").encode() in plan.content
    fused = {node for kernel in plan.kernels for node in kernel.nodes}
    assert {"0.0/Conv", "0.1/Relu", "0.2/Conv", "1/MaxPool"} <= fused


def test_the_kernels_say_what_was_fused(models: dict[Precision, bytes]) -> None:
    plan = EngineBuilder(TENSORRT_RTX, "fp32", capability="8.6").build(models["fp32"])
    named = [kernel.nodes for kernel in plan.kernels if kernel.nodes]
    assert named == [("0.0/Conv", "0.1/Relu"), ("0.2/Conv",), ("1/MaxPool",)]
    assert any(not kernel.nodes for kernel in plan.kernels), "the input is brought into another layout"


def test_a_list_of_layers_may_name_none() -> None:
    assert kernels_of("") == ()
    listed = "Layers:\nName: a, LayerType: kgen, Inputs: [], Metadata: \nName: b, LayerType: NoOp, Outputs: []\n"
    assert kernels_of(listed) == (Kernel(kind="kgen"), Kernel(kind="NoOp"))


def test_what_cannot_be_parsed_or_built_for_is_refused_with_the_reason() -> None:
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    builder = EngineBuilder(TENSORRT_RTX, "fp32", capability="7.5")
    with pytest.raises(RuntimeError, match=r"TensorRT for RTX .* cannot parse the model: .*NoSuchOperator"):
        builder.build(model.SerializeToString())
    with pytest.raises(JobFailed, match=r"capability 9\.0: TensorRT for RTX builds for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0"):
        EngineBuilder(TENSORRT_RTX, "fp32", capability="9.0")


def test_engines_are_built_once_and_found_by_equal_models_only(
    models: dict[Precision, bytes], tmp_path: Path, network: torch.nn.Module
) -> None:
    first = EngineStore(tmp_path, TENSORRT_RTX, "fp32", CPU, "8.6")
    plan = first.engine(models["fp32"])
    with torch.inference_mode():  # exported again, as another machine would
        again = model_of(Subject(network, (SHAPE,)), (torch.zeros(SHAPE),), "fp32").model
    second = EngineStore(tmp_path, TENSORRT_RTX, "fp32", CPU, "8.6")
    assert second.engine(again) == plan
    assert (first.built, first.taken, second.built, second.taken) == (1, 0, 0, 1)
    others: tuple[tuple[Precision, str], ...] = (("fp32", "8.9"), ("tf32", "8.6"))
    for precision, capability in others:
        store = EngineStore(tmp_path, TENSORRT_RTX, precision, CPU, capability)
        store.engine(models["fp32"])
        assert (store.built, store.taken) == (1, 0)
    (kernels,) = (tmp_path / f"tensorrt-rtx-{rtx.__version__}" / "8.6" / "fp32").glob("*.json")
    kernels.write_text("[")
    assert first.engine(models["fp32"]).kernels == plan.kernels
    assert first.built == 2


def test_a_store_needs_a_capability_where_no_gpu_is() -> None:
    with pytest.raises(JobFailed, match=r"no GPU here to build for; name one, such as 8\.6"):
        EngineStore(Path(), TENSORRT_RTX, "fp32", CPU)
    with pytest.raises(JobFailed, match=r"capability=8\.6: TensorRT times its tactics on the GPU"):
        EngineStore(Path(), TENSORRT, "fp32", CPU, "8.6")


@pytest.mark.parametrize("mode", ["pytorch", "tensorrt-rtx"])
def test_every_key_of_a_request_is_built_or_says_why_not(mode: str, toy_installed: None, tmp_path: Path) -> None:
    del toy_installed
    runtime = Runtime.model_validate({"mode": mode, "precision": "fp16"})
    request = profile(toy_space.operation("conv"), toy_space.operation("nothing"), runtime=runtime)
    task = BuildTask(device="cpu", request=request, capability="8.9", folder=str(tmp_path))
    sent: list[Any] = []
    if mode == "pytorch":
        with pytest.raises(JobFailed, match="'pytorch': builds no engines; take tensorrt or tensorrt-rtx"):
            build_engines(task, CPU, sent.append)
        return
    build_engines(task, CPU, sent.append)
    build_engines(task, CPU, sent.append)
    conv, nothing, again, _ = sent
    assert isinstance(conv, EngineBuilt)
    assert (conv.error, conv.taken, again.taken) == (None, False, True)
    assert conv.kernels == again.kernels > 0
    assert "the toy space has conv and pool" in nothing.error


@pytest.mark.process
def test_engines_are_built_from_a_file(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", on_path(site))
    monkeypatch.setenv("PROFILER_AGENT_ENGINES", str(tmp_path / "engines"))
    job = tmp_path / "job.json"
    job.write_text(profile(toy_space.operation("conv")).model_dump_json())
    command = [sys.executable, "-m", "profiler_agent", "build", str(job), "--capability", "12.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "toy/conv(8×16×16): 1 nodes, " in done.stdout
    assert list(tmp_path.glob("engines/tensorrt-rtx-*/12.0/fp32/*.engine"))
    job.write_text("{}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "job.json holds no job, latency table or network" in done.stderr


def test_a_quantized_model_stays_near(network: torch.nn.Module) -> None:
    with torch.inference_mode():
        exported = export(Subject(network, (SHAPE,)), (torch.randn(SHAPE),), torch.float32)
    # As the nodes say: fused int8 kernels saturate on CPUs without VNNI.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(quantize(exported), options, providers=["CPUExecutionProvider"])
    output = session.run(None, {session.get_inputs()[0].name: exported.inputs[0].numpy()})[0]
    assert 0 < error_rel(torch.from_numpy(output), exported.expected[0]) < 0.1


class Card:
    """A GPU that is not there: engines, by the library's own names, that give what ONNX Runtime gives for the model."""

    def __init__(self, off: float = 0.0) -> None:
        self.buffers: dict[int, Any] = {}
        self.models: dict[bytes, bytes] = {}
        self.off = off
        self.stream = 7
        self.clock = MagicMock()

    def upload(self, name: str, values: Any) -> int:
        address = hash((name, values.shape)) & 0xFFFFFF
        self.buffers[address] = values.copy()
        return address

    def download(self, name: str, like: Any) -> Any:
        return self.buffers[hash((name, like.shape)) & 0xFFFFFF]

    def runtime(self, _: Any) -> Any:
        runtime = create_autospec(RUNTIME, instance=True)
        runtime.deserialize_cuda_engine.side_effect = self._engine
        return runtime

    def _engine(self, content: bytes) -> Any:
        session = ort.InferenceSession(self.models[content], providers=["CPUExecutionProvider"])
        nodes = [*session.get_inputs(), *session.get_outputs()]
        engine = create_autospec(rtx.ICudaEngine, instance=True)
        context = create_autospec(rtx.IExecutionContext, instance=True)
        engine.num_io_tensors = len(nodes)
        engine.get_tensor_name.side_effect = lambda number: nodes[number].name
        roles = [rtx.TensorIOMode.INPUT] * len(session.get_inputs()) + [rtx.TensorIOMode.OUTPUT] * len(nodes)
        engine.get_tensor_mode.side_effect = lambda name: next(
            role for node, role in zip(nodes, roles, strict=False) if node.name == name
        )
        engine.get_tensor_shape.side_effect = lambda name: next(node.shape for node in nodes if node.name == name)
        engine.get_tensor_dtype.return_value = rtx.DataType.FLOAT
        engine.create_runtime_config.return_value = create_autospec(rtx.IRuntimeConfig, instance=True)
        cache = create_autospec(rtx.IRuntimeCache, instance=True)
        cache.serialize.return_value = b"compiled"
        engine.create_runtime_config.return_value.create_runtime_cache.return_value = cache
        self.cache = cache
        engine.create_execution_context.return_value = context
        addresses: dict[str, int] = {}
        context.set_tensor_address.side_effect = addresses.__setitem__

        def execute(stream: int) -> bool:
            assert stream == self.stream
            feed = {node.name: self.buffers[addresses[node.name]] for node in session.get_inputs()}
            for node, value in zip(session.get_outputs(), session.run(None, feed), strict=True):
                np.copyto(self.buffers[addresses[node.name]], value + self.off)
            return True

        context.execute_async_v3.side_effect = execute
        return engine


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    card = Card()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Made Up 4090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 9))
    monkeypatch.setattr(execution, "open_memory", lambda *_: card)
    monkeypatch.setattr(execution, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(rtx, "Runtime", card.runtime)
    monkeypatch.setenv("PROFILER_AGENT_ENGINES", str(tmp_path / "engines"))
    return card


def opened(card: Card, monkeypatch: pytest.MonkeyPatch) -> EngineMode:
    mode = EngineMode(TENSORRT_RTX, Runtime(mode="tensorrt-rtx"), torch.device("cuda:0"))
    engine_of = mode._store.engine

    def remembered(model: bytes) -> Any:
        plan = engine_of(model)
        card.models[plan.content] = model
        return plan

    monkeypatch.setattr(mode._store, "engine", remembered)
    return mode


def test_an_engine_is_bound_executed_and_compared(
    card: Card, monkeypatch: pytest.MonkeyPatch, network: torch.nn.Module, tmp_path: Path
) -> None:
    with torch.inference_mode():
        mode = opened(card, monkeypatch)
        execute = mode.prepare(Subject(network, (SHAPE,)))
        assert next(kernel.nodes for kernel in mode.kernels(execute) if kernel.nodes) == ("0.0/Conv", "0.1/Relu")
        stored = Method(version="one", settings=tuple(mode.settings.items()))
        assert dict(stored.settings)["engines_built"] == 1
        assert list((tmp_path / "cache").glob("Made-Up-4090-tensorrt-rtx-*-fp32.kernels"))
        mode = opened(card, monkeypatch)
        mode.prepare(Subject(network, (SHAPE,)))
        assert (mode.settings["engines_taken"], mode.settings["engines_built"]) == (1, 0)
        card.cache.deserialize.assert_called_once_with(b"compiled")
        card.off = 0.1
        with pytest.raises(Mismatch, match=r"TensorRT for RTX gives .*, PyTorch "):
            mode.prepare(Subject(network, (SHAPE,)))


@pytest.mark.parametrize(("version", "flag"), [("8.6.1", "EXPLICIT_BATCH"), ("10.13.3", "STRONGLY_TYPED")])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensorrt_gets_the_flags_that_its_version_knows_and_keeps_its_timings(
    version: str, flag: str, precision: Precision, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TensorRT itself loads on a machine with its GPU only: its bindings are replaced."""
    config, builder = MagicMock(), MagicMock()
    config.get_timing_cache.return_value.serialize.return_value = b"timings"
    builder.create_builder_config.return_value = config
    builder.build_serialized_network.return_value = b"plan"
    flags = SimpleNamespace(TF32="TF32", FP16="FP16", INT8="INT8")
    bindings = MagicMock(
        __version__=version,
        ILogger=rtx.ILogger,
        NetworkDefinitionCreationFlag=SimpleNamespace(**{flag: 3}),
        BuilderFlag=flags if version.startswith("8") else SimpleNamespace(TF32="TF32"),
    )
    bindings.Builder.return_value = builder
    monkeypatch.setitem(sys.modules, "tensorrt", bindings)
    engines = EngineBuilder(TENSORRT, precision, timing_cache=tmp_path / "new" / "cache.timing")
    assert engines.build(b"model").content == b"plan"
    engines.build(b"model")
    builder.create_network.assert_called_with(1 << 3)
    assert [call.args[0] for call in config.create_timing_cache.call_args_list] == [b"", b"timings"]
    (config.set_flag if precision == "tf32" else config.clear_flag).assert_any_call("TF32")
    own = {"fp16": "FP16", "int8": "INT8"}.get(precision) if version.startswith("8") else None
    assert engines.settings["builder_flags"] == (own or "none")
    assert own is None or config.set_flag.call_args.args == (own,)


def test_the_export_names_nodes_by_their_modules_and_no_folder_of_this_machine(models: dict[Precision, bytes]) -> None:
    names = [node.name for node in onnx.load_from_string(models["fp32"]).graph.node]
    assert names == ["0.0/Conv", "0.1/Relu", "0.2/Conv", "1/MaxPool"]
    assert str(Path(__file__).parent).encode() not in models["fp32"]

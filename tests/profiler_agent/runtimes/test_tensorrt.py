"""The control flow around TensorRT, with its names replaced: the library needs an NVIDIA GPU's driver to load."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import onnxruntime as ort
import pytest
import torch

from profiler_agent.runtimes.agreement import error_rel
from profiler_agent.runtimes.onnx_export import export
from profiler_agent.runtimes.quantize import quantize
from profiler_agent.runtimes.subject import Subject

FLAGS = {"8.6.1": "EXPLICIT_BATCH", "10.13.3.9": "STRONGLY_TYPED", "11.4.0.106": "STRONGLY_TYPED"}


class Flags:
    """Has the flags of a version, and no others."""

    def __init__(self, *names: str) -> None:
        for value, name in enumerate(names):
            setattr(self, name, value)


def library(version: str) -> MagicMock:
    fake = MagicMock(__version__=version)
    old = version.startswith("8")
    fake.NetworkDefinitionCreationFlag = Flags(FLAGS[version])
    fake.BuilderFlag = Flags("TF32", *(("FP16", "INT8") if old else ()))
    fake.Builder.return_value.build_serialized_network.return_value = b"plan"
    config = fake.Builder.return_value.create_builder_config.return_value
    config.get_timing_cache.return_value.serialize.return_value = b"timings"
    return fake


@pytest.fixture(params=FLAGS)
def tensorrt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MagicMock]:
    fake = library(request.param)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.delitem(sys.modules, "profiler_agent.runtimes.engine", raising=False)
    yield fake
    sys.modules.pop("profiler_agent.runtimes.engine", None)


def engine_module() -> ModuleType:
    return importlib.import_module("profiler_agent.runtimes.engine")


def config_of(tensorrt: MagicMock) -> MagicMock:
    config = tensorrt.Builder.return_value.create_builder_config.return_value
    assert isinstance(config, MagicMock)
    return config


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "int8"])
def test_each_version_gets_the_flags_it_knows(tensorrt: MagicMock, precision: str, tmp_path: Path) -> None:
    builder = engine_module().EngineBuilder(precision, tmp_path / "cache.timing")
    assert builder.build(b"model").sha256
    tensorrt.Builder.return_value.create_network.assert_called_once_with(1)
    flags = tensorrt.BuilderFlag
    set_flags = [call.args[0] for call in config_of(tensorrt).set_flag.call_args_list]
    cleared = [call.args[0] for call in config_of(tensorrt).clear_flag.call_args_list]
    assert (flags.TF32 in set_flags, flags.TF32 in cleared) == (precision == "tf32", precision != "tf32")
    own = {"fp16": "FP16", "int8": "INT8"}.get(precision)
    if own and tensorrt.__version__.startswith("8"):
        assert getattr(flags, own) in set_flags
        assert builder.settings["builder_flags"] == own
    else:
        assert builder.settings["builder_flags"] == "none"


def test_timings_are_kept_for_the_next_build(tensorrt: MagicMock, tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.timing"
    builder = engine_module().EngineBuilder("fp32", path)
    builder.build(b"model")
    builder.build(b"model")
    assert path.read_bytes() == b"timings"
    timings = [call.args[0] for call in config_of(tensorrt).create_timing_cache.call_args_list]
    assert timings == [b"", b"timings"]


def test_what_tensorrt_cannot_parse_or_build_is_an_error_with_its_reason(tensorrt: MagicMock, tmp_path: Path) -> None:
    builder = engine_module().EngineBuilder("fp32", tmp_path / "cache.timing")
    parser = tensorrt.OnnxParser.return_value
    parser.parse.return_value, parser.num_errors = False, 1
    parser.get_error.return_value = "no such operator"
    with pytest.raises(RuntimeError, match="no such operator"):
        builder.build(b"model")
    parser.parse.return_value = True
    tensorrt.Builder.return_value.build_serialized_network.return_value = None
    with pytest.raises(RuntimeError, match="cannot build"):
        builder.build(b"model")


def test_a_quantized_model_has_int8_nodes_and_stays_near() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 3, 3)).eval()
    exported = export(Subject(module, ()), (torch.randn(1, 4, 12, 12),), torch.float32)
    model = quantize(exported)
    assert b"QuantizeLinear" in model
    assert b"DequantizeLinear" in model
    # As the nodes say: fused int8 kernels saturate on CPUs without VNNI.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    output = session.run(None, {session.get_inputs()[0].name: exported.inputs[0].numpy()})[0]
    assert 0 < error_rel(torch.from_numpy(output), exported.expected[0]) < 0.1

"""What a space's code changes in the measuring process is put back, or refused; inputs stay intact for everybody."""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._inductor.runtime.cache_dir_utils import cache_dir

from latency_tables.contract import Runtime
from profiler_agent.errors import JobFailed, Unmeasurable
from profiler_agent.measuring import guard
from profiler_agent.measuring.guard import SettingsChanged, settings_kept
from profiler_agent.measuring.workbench import Workbench
from profiler_agent.measuring.workload import Workload, load_space
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.inputs import RandomInputs, WritesToInput
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject

CPU = torch.device("cpu")
SHAPES = ((1, 8, 16, 16),)


def trace(*_: object) -> None:
    return None


ENGINES = torch.backends.quantized
OTHER_ENGINE = next(name for name in ENGINES.supported_engines if name != ENGINES.engine)

CHANGES: dict[str, Callable[[], object]] = {
    "threads of torch": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "default dtype of torch": lambda: torch.set_default_dtype(torch.float64),
    "modes of torch": lambda: torch.set_default_device("cpu"),
    "float32 matmul precision of torch": lambda: torch.set_float32_matmul_precision("medium"),
    "grad mode of torch": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "autocast of torch": lambda: torch.set_autocast_enabled("cpu", True),
    "flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "deterministic algorithms of torch": lambda: torch._C._set_deterministic_algorithms(True),
    "mkldnn of torch": lambda: torch._C._set_mkldnn_enabled(False),
    "quantized engine of torch": lambda: setattr(torch.backends.quantized, "engine", OTHER_ENGINE),
    "attention kernels of torch": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "cuda.matmul.allow_fp16_reduced_precision_reduction": lambda: setattr(
        torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False
    ),
    "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "environment variables": lambda: os.environ.update(OMP_NUM_THREADS="64"),
    "working directory": lambda: os.chdir("/"),
    "handlers of signals": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "thread switching of Python": lambda: sys.setswitchinterval(1.0),
    "profiling of Python": lambda: sys.setprofile(trace),
}


@pytest.fixture
def kept() -> Iterator[None]:
    """Nothing of a test is left behind, whatever it finds."""
    before = [setting.read() for setting in guard.SETTINGS]
    yield
    for setting, value in zip(guard.SETTINGS, before, strict=True):
        if setting.restore is not None and setting.read() != value:
            setting.restore(value)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("name", CHANGES)
def test_what_an_import_changes_is_put_back_and_said(name: str) -> None:
    before = [setting.read() for setting in guard.SETTINGS]
    said: list[str] = []
    with settings_kept("importing space 'x'", said.append):
        CHANGES[name]()
    assert [setting.read() for setting in guard.SETTINGS] == before
    assert [line.startswith(f"importing space 'x' changed {name}") for line in said] == [True]


@pytest.mark.usefixtures("kept")
def test_what_a_library_sets_by_itself_is_put_back_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever writes it: a space that sets the same variable is named."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    said: list[str] = []
    with settings_kept("building conv", said.append):
        cache_dir()
        assert "TORCHINDUCTOR_CACHE_DIR" in os.environ
    assert not said
    with settings_kept("building conv", said.append):
        cache_dir()
        os.environ.setdefault("OMP_SCHEDULE", "static")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/elsewhere"
    assert said == [
        "building conv changed environment variables (OMP_SCHEDULE, TORCHINDUCTOR_CACHE_DIR): put back",
    ]
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


@pytest.mark.usefixtures("kept")
def test_random_states_are_put_back_without_a_word() -> None:
    said: list[str] = []
    drawn = []
    for _ in range(2):
        with settings_kept("building conv", said.append):
            torch.manual_seed(torch.initial_seed() + 1)
            random.seed(3)
            np.random.seed(3)
        drawn.append((float(torch.rand(1)), random.random(), float(np.random.rand())))
    assert drawn[0] != drawn[1]
    assert not said


def test_what_cannot_be_put_back_is_refused() -> None:
    handle = None

    def hook(*_: object) -> None:
        return None

    with pytest.raises(SettingsChanged, match=r"importing x changed hooks for all modules, which cannot be put back"):  # noqa: SIM117
        with settings_kept("importing x", print):
            handle = nn.modules.module.register_module_forward_hook(hook)
    assert handle is not None
    handle.remove()


def workload(build: Callable[[], nn.Module], is_part: bool = True) -> Workload:
    return Workload("a" * 64, "odd", build, SHAPES, is_part)


@pytest.mark.usefixtures("kept")
def test_the_threads_of_the_runtime_hold_whatever_building_did() -> None:
    def build() -> nn.Module:
        torch.set_num_threads(2)
        return nn.Conv2d(8, 8, 3)

    with torch.inference_mode():
        bench = Workbench(Runtime(threads=1), CPU, None)
        bench.build(workload(build))
        assert torch.get_num_threads() == bench.settings["threads"] == 1


class SetsThreads(nn.Module):
    """At its `at`-th execution."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._left -= 1
        if self._left == 0:
            torch.set_num_threads(3)
        return x + 1


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("at", "is_part"), [(2, True), (1, False), (4, True)])
def test_an_execution_that_sets_threads_is_refused_by_name(at: int, is_part: bool) -> None:
    with torch.inference_mode():
        bench = Workbench(Runtime(threads=1), CPU, None)
        reason = r"odd: SettingsChanged: executing it changed threads of torch \(1 → 3\)"
        with pytest.raises(Unmeasurable, match=reason):  # noqa: PT012 (in whichever of the two it is executed)
            bench.build(workload(lambda: SetsThreads(at), is_part))
            bench.settle("a" * 64)
        assert torch.get_num_threads() == 1


class InPlace(nn.Module):
    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._change(x)


class Reads(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


@pytest.mark.parametrize("is_part", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mul_(0.9),
        lambda x: x.add_(1),
        lambda x: nn.functional.hardswish(x, inplace=True),
        lambda x: x.log_(),
        lambda x: x[:, :1].sub_(1),
        lambda x: x.unsqueeze_(0),
        lambda x: x.transpose_(1, 2),
    ],
)
def test_what_computes_in_place_on_its_input_is_refused(
    change: Callable[[torch.Tensor], torch.Tensor], is_part: bool
) -> None:
    with torch.inference_mode():
        mode = open_mode(Runtime(threads=1), CPU)
        reads = mode.prepare(Subject(Reads(), SHAPES))
        before = reads()
        with pytest.raises(WritesToInput, match="return a new tensor"):
            mode.prepare(Subject(InPlace(change), SHAPES, is_part))()
        assert torch.equal(reads(), before)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_part", [True, False])
def test_what_leaves_the_same_in_its_input_has_one_of_its_own(is_part: bool) -> None:
    with torch.inference_mode():
        mode = open_mode(Runtime(threads=1), CPU)
        reads = mode.prepare(Subject(Reads(), SHAPES))
        before = reads()
        rectify = mode.prepare(Subject(nn.ReLU6(inplace=True), SHAPES, is_part))
        for _ in range(3):
            rectify()
        assert torch.equal(reads(), before)  # type: ignore[arg-type]


def test_exporting_leaves_the_inputs_intact() -> None:
    inputs = RandomInputs(CPU, torch.float32)
    before = inputs(SHAPES)[0].clone()
    with suppress(RuntimeError, TypeError):  # whether it can be exported is another matter
        export(Subject(InPlace(lambda x: x.mul_(0.9)), SHAPES, share=lambda _: b""), inputs(SHAPES), torch.float32)
    assert torch.equal(inputs(SHAPES)[0], before)


def distribution(site: Path, name: str, entry: str, text: str) -> None:
    """A distribution as pip leaves it, with one space."""
    (site / f"{name}.py").write_text(text)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[profiler_agent.spaces]\n{entry} = {name}\n")


SPACE = "digest = {digest!r}\ndef build_operation(spec): ...\ndef build_network(spec): ...\n"


def test_of_two_distributions_with_one_name_the_fitting_one_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("twin_one", "twin_fork")):
        distribution(tmp_path, name, "twin", SPACE.format(digest=str(number) * 64))
    monkeypatch.syspath_prepend(tmp_path)
    for number in (0, 1):
        assert load_space("twin", str(number) * 64, "twin").digest == str(number) * 64
    with pytest.raises(JobFailed, match=r"twin.one 1\.0 has 0{12}….*twin.fork 1\.0 has 1{12}…|twin.fork.*twin.one"):
        load_space("twin", "2" * 64, "twin")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "def build_operation(spec): ...\ndef build_network(spec): ...\n",
            "it lacks digest; see docs/search-spaces.md",
        ),
        ("digest = 'a' * 64\n", "it lacks build_operation, build_network"),
        (SPACE.format(digest=7), "digest: 7 is int; give a string"),
        ("raise RuntimeError('no such file')\n", "RuntimeError: no such file"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_space_that_is_none_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    name = f"odd_{abs(hash(text)) % 10**8}"
    distribution(tmp_path, name, name.replace("_", "-"), text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(JobFailed, match=f"(?s)does not load.*{reason}"):
        load_space(name.replace("_", "-"), "a" * 64, "x")


def test_an_import_that_sets_threads_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    text = f"import torch\ntorch.set_num_threads({threads + 1})\n" + SPACE.format(digest="a" * 64)
    distribution(tmp_path, "many_threads", "many", text)
    monkeypatch.syspath_prepend(tmp_path)
    said: list[str] = []
    load_space("many", "a" * 64, "x", said.append)
    assert torch.get_num_threads() == threads
    assert said == [f"importing space 'many' changed threads of torch ({threads} → {threads + 1}): put back"]

"""What a search space's code may not leave behind in the process that measures.

Importing a space, building a module and executing it run code that is not ours, and a latency depends on settings that
all code of a process shares. They are read before and compared afterwards. What can be put back is put back, and said;
what cannot is refused by name, and so is what an execution sets: it would set it again in every block.
"""

import gc
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_module

from profiler_agent.errors import JobFailed

Say = Callable[[str], object]
"""Hears what a person should know."""

SIGNALS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


@dataclass(frozen=True)
class Setting:
    """One thing that all code of a process shares; `restore` is None where it cannot be put back.

    `is_free`: executing may move it on, as drawing random numbers does. `is_timed`: latencies depend on it.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object] | None
    is_free: bool = False
    is_timed: bool = True


def _flag(name: str, owner: object, attribute: str) -> Setting:
    return Setting(name, partial(getattr, owner, attribute), partial(setattr, owner, attribute))


def _read_environment() -> dict[str, str]:
    return dict(os.environ)


def _restore_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


LIBRARIES = ("torch", "functorch", "triton", "onnxruntime", "onnx", "openvino", "tensorrt", "tensorrt_rtx", "pycuda")
"""What the modes load. A library sets variables of its own when it is first used (torch: TORCHINDUCTOR_CACHE_DIR), and
nobody who writes a space can do anything about it: they are put back without a word. It goes by whose code wrote them,
not by their names, since a space may set the same ones."""


@contextmanager
def _environment_writers() -> Iterator[dict[str, str]]:
    """Which package's code wrote each environment variable last, while this is open."""
    kind: Any = type(os.environ)
    before = kind.__setitem__, kind.__delitem__
    writers: dict[str, str] = {}

    def noting(write: Callable[..., None]) -> Callable[..., None]:
        def note(environment: Any, name: str, *value: str) -> None:
            frame = sys._getframe(1)
            while frame.f_back and frame.f_globals.get("__name__") in ("os", "_collections_abc"):
                frame = frame.f_back  # setdefault, update, pop
            writers[name] = str(frame.f_globals.get("__name__")).partition(".")[0]
            write(environment, name, *value)

        return note

    kind.__setitem__, kind.__delitem__ = map(noting, before)
    try:
        yield writers
    finally:
        kind.__setitem__, kind.__delitem__ = before


def _read_signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in SIGNALS}


def _restore_signals(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        # None: its handler was not set from Python, and cannot be from here.
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _read_affinity() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def _restore_affinity(cores: frozenset[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), cores)


def _read_gc() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _restore_gc(state: tuple[bool, tuple[int, int, int]]) -> None:
    is_enabled, thresholds = state
    gc.set_threshold(*thresholds)
    (gc.enable if is_enabled else gc.disable)()


def _read_hooks() -> tuple[int, ...]:
    # Hooks for all modules (of tracers, say) run in every call; torch names them only here.
    return tuple(len(getattr(torch_module, name)) for name in ("_global_forward_hooks", "_global_forward_pre_hooks"))


def _read_modes() -> int:
    # A default device, say, is a mode that every call of torch passes through, also where it changes nothing.
    return int(torch._C._len_torch_function_stack() + torch._C._len_torch_dispatch_stack())


def _restore_modes(count: int) -> None:
    torch.set_default_device(None)
    if _read_modes() != count:
        raise RuntimeError("a torch function mode stays active")


def _read_flush_denormal() -> bool:
    return not bool((torch.full((1,), 2e-310, dtype=torch.float64) * 0.5).item())


def _read_autocast() -> tuple[bool, ...]:
    return tuple(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _restore_autocast(enabled: tuple[bool, ...]) -> None:
    for kind, is_enabled in zip(("cpu", "cuda"), enabled, strict=True):
        torch.set_autocast_enabled(kind, is_enabled)


_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")


def _read_attention() -> tuple[bool, ...]:
    return tuple(getattr(torch.backends.cuda, f"{name}_sdp_enabled")() for name in _ATTENTION)


def _restore_attention(enabled: tuple[bool, ...]) -> None:
    for name, is_enabled in zip(_ATTENTION, enabled, strict=True):
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(is_enabled)


def _read_numpy_random() -> Any:
    state: Any = np.random.get_state()
    name, keys, *rest = state
    return (name, keys.tobytes(), *rest)


def _restore_numpy_random(state: Any) -> None:
    name, keys, *rest = state
    np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *rest))


def _read_torch_random() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def _restore_torch_random(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8).clone())


def _set_deterministic(state: tuple[bool, bool]) -> None:
    # Not torch.use_deterministic_algorithms, which imports a compiler for it.
    torch._C._set_deterministic_algorithms(state[0], warn_only=state[1])


SETTINGS: tuple[Setting, ...] = (
    Setting("threads of torch", torch.get_num_threads, torch.set_num_threads),
    Setting("interop threads of torch", torch.get_num_interop_threads, None),
    Setting("default dtype of torch", torch.get_default_dtype, torch.set_default_dtype),
    Setting("modes of torch (a default device, say)", _read_modes, _restore_modes),
    Setting(
        "float32 matmul precision of torch",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    Setting("grad mode of torch", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("inference mode of torch", torch.is_inference_mode_enabled, None),
    Setting("autocast of torch", _read_autocast, _restore_autocast),
    Setting("flushing of denormal numbers", _read_flush_denormal, torch.set_flush_denormal),
    Setting(
        "deterministic algorithms of torch",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _set_deterministic,
    ),
    Setting("hooks for all modules", _read_hooks, None),
    Setting("mkldnn of torch", lambda: torch._C._get_mkldnn_enabled(), lambda on: torch._C._set_mkldnn_enabled(on)),
    _flag("cudnn.enabled", torch.backends.cudnn, "enabled"),
    _flag("cudnn.benchmark", torch.backends.cudnn, "benchmark"),
    _flag("cudnn.deterministic", torch.backends.cudnn, "deterministic"),
    _flag("cudnn.allow_tf32", torch.backends.cudnn, "allow_tf32"),
    _flag("cuda.matmul.allow_tf32", torch.backends.cuda.matmul, "allow_tf32"),
    *(
        _flag(f"cuda.matmul.{name}", torch.backends.cuda.matmul, name)
        for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
    ),
    Setting("attention kernels of torch", _read_attention, _restore_attention),
    _flag("quantized engine of torch", torch.backends.quantized, "engine"),
    Setting("environment variables", _read_environment, _restore_environment, is_timed=False),
    Setting("working directory", os.getcwd, os.chdir, is_timed=False),
    Setting("handlers of signals", _read_signals, _restore_signals, is_timed=False),
    Setting("cores of the process", _read_affinity, _restore_affinity),
    Setting("niceness of the process", lambda: os.getpriority(os.PRIO_PROCESS, 0), None),
    Setting("garbage collection", _read_gc, _restore_gc),
    Setting("thread switching of Python", sys.getswitchinterval, sys.setswitchinterval),
    Setting("tracing of Python", sys.gettrace, sys.settrace),
    Setting("profiling of Python", sys.getprofile, sys.setprofile),
    Setting("random state of torch", _read_torch_random, _restore_torch_random, is_free=True),
    Setting("random state of numpy", _read_numpy_random, _restore_numpy_random, is_free=True),
    Setting("random state of Python", random.getstate, random.setstate, is_free=True),
)
"""Everything that is guarded, in one table."""

SHOWN = ("int", "float", "bool", "str", "dtype")
"""Types of values that a message shows."""


class SettingsChanged(JobFailed):
    """Code of a search space changed what it may not; the message names it, both values, and the way out."""


@contextmanager
def settings_kept(doing: str, say: Say) -> Iterator[None]:
    """Around importing a space or building a module: what it changed is put back; `say` hears of it, once.

    Random states are put back without a word: a module may draw its weights, and the next one draws the same. So are
    the environment variables that LIBRARIES set by themselves.

    Raises:
        SettingsChanged: something that cannot be put back was changed.
    """
    before = [setting.read() for setting in SETTINGS]
    writers: dict[str, str] = {}
    try:
        with _environment_writers() as writers:
            yield
    finally:
        changes = _put_back(doing, before, {name for name, package in writers.items() if package in LIBRARIES})
        if changes:
            say(f"{doing} changed {'; '.join(changes)}: put back")


def _put_back(doing: str, before: list[Any], unsaid: Set[str]) -> list[str]:
    """What was changed and is as it was again, without random states and `unsaid` variables. Raises SettingsChanged."""
    changes = []
    for setting, value in zip(SETTINGS, before, strict=True):
        now = setting.read()
        if now == value:
            continue
        change = _change(setting, value, now)
        if setting.restore is not None:
            with suppress(Exception):  # whatever it is, the value is read again
                setting.restore(value)
        if setting.read() != value:
            raise SettingsChanged(
                f"{doing} changed {change}, which cannot be put back: latencies of this process would not be what the "
                "job asked for; leave that to whoever runs the space"
            )
        if not setting.is_free and _without(value, unsaid) != _without(now, unsaid):
            changes.append(_change(setting, _without(value, unsaid), _without(now, unsaid)))
    return changes


def _without(value: Any, unsaid: Set[str]) -> Any:
    return {key: held for key, held in value.items() if key not in unsaid} if isinstance(value, dict) else value


def read_settings() -> list[Any]:
    """The settings that an execution must leave as they are, for `require_settings`."""
    return [setting.read() for setting in SETTINGS if not setting.is_free]


def require_settings(before: list[Any]) -> None:
    """After an execution: what was changed is put back. Only what no latency depends on may be changed.

    Raises:
        SettingsChanged: the execution set something, and would in every block.
    """
    guarded = [setting for setting in SETTINGS if not setting.is_free]
    changes = []
    for setting, value in zip(guarded, before, strict=True):
        now = setting.read()
        if now != value:
            if setting.is_timed:
                changes.append(_change(setting, value, now))
            if setting.restore is not None:
                with suppress(Exception):
                    setting.restore(value)
    if changes:
        raise SettingsChanged(
            f"executing it changed {'; '.join(changes)}: that changes the latencies of everything else in the process; "
            "take it out of forward"
        )


def _change(setting: Setting, before: Any, now: Any) -> str:
    """The name, and the values where a person can read them; never those of environment variables."""
    if type(before).__name__ in SHOWN and type(now).__name__ in SHOWN:
        return f"{setting.name} ({before} → {now})"
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(map(_key_name, (key for key in before.keys() | now.keys() if before.get(key) != now.get(key))))
        return f"{setting.name} ({', '.join(keys[:5])}{', …' if len(keys) > 5 else ''})"
    return setting.name


def _key_name(key: Any) -> str:
    return key if isinstance(key, str) else signal.Signals(key).name

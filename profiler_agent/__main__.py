"""profiler-agent: measure operations and networks on this machine for a lookup-table server."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from platformdirs import user_state_path
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latency_tables.client import LutError
from latency_tables.client.connecting import token_of
from latency_tables.contract import Capability, Device, Runtime
from latency_tables.plain_text import file_error, plain
from latency_tables.validation import first_error
from profiler_agent.agent.building import requests_in, show_engine
from profiler_agent.agent.loop import Agent
from profiler_agent.agent.noise_report import show_noise
from profiler_agent.agent.process import inspect_device, messages_of
from profiler_agent.agent.reporter import Reporter
from profiler_agent.agent.signals import StopSignal
from profiler_agent.agent.state import DeviceInUse, DeviceState, keep_device_id, lock_device
from profiler_agent.errors import NotMeasured
from profiler_agent.machine.cores import CORES
from profiler_agent.machine.cpu import DEVICE_ID
from profiler_agent.messages import BuildTask, Checked, EngineBuilt, Inspected, InspectTask, Noise, NoiseTask
from profiler_agent.runtimes.engines.folder import FOLDER_VARIABLE, engines_folder

EXIT_FAILED = 1
EXIT_IN_USE = 2

cli = typer.Typer(
    help="Measures operations and networks on this machine for a lookup-table server.",
    no_args_is_help=True,
    add_completion=False,
)
DeviceName = Annotated[str, typer.Option(help="cpu, cuda:N, or auto: the first GPU, else the CPU.")]
StateDir = Annotated[Path | None, typer.Option(help="What outlives the agent. Default: the user's state folder.")]
DeviceId = Annotated[
    str | None,
    typer.Option(help="Identity of this machine's CPU, kept in the state folder; for clones.", envvar=DEVICE_ID),
]
CoreList = Annotated[
    str | None,
    typer.Option("--cores", help="CPU cores to measure on, like 0-3,8. Default: the fast ones.", envvar=CORES),
]


@cli.command()
def run(
    server: Annotated[str, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")],
    device: DeviceName = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads where a job leaves it open. Default: all cores.")
    ] = None,
    cores: CoreList = None,
    state_dir: StateDir = None,
    device_id: DeviceId = None,
    name: Annotated[
        str | None, typer.Option(help="What the device is called, to tell like ones apart.", envvar="LUT_DEVICE_NAME")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Access token.", envvar="LUT_TOKEN")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the access token.", envvar="LUT_TOKEN_FILE")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Folder to write every block of each job to, as .npz.")] = None,
    once: Annotated[
        bool, typer.Option("--once", metavar="", help="Exit as soon as nothing is queued for this device.")
    ] = False,
) -> None:
    """Take jobs from the server until Ctrl-C."""
    stop = StopSignal()
    with _failures():
        access_token = token_of(token, token_file)
        folder = _prepare(state_dir, device_id, cores)
        inspected = _named(inspect_device(device), name, device_id)
        if trace is not None:
            trace.mkdir(parents=True, exist_ok=True)
            trace = trace.resolve()
        state = DeviceState(folder, inspected.device.uuid)
        agent = Agent(server, access_token, inspected, state, stop, Reporter(), threads=threads, trace=trace)
        agent.run(once=once)


@cli.command()
def doctor(
    device: DeviceName = "auto", cores: CoreList = None, state_dir: StateDir = None, device_id: DeviceId = None
) -> None:
    """Say what this device is, what works on it, and why the rest does not."""
    console = Console(highlight=False)
    with _failures():
        _prepare(state_dir, device_id, cores)
        for message in messages_of(InspectTask(device=device, check=True)):
            if isinstance(message, Inspected):
                _show_device(console, message)
            elif isinstance(message, Checked):
                _show_capabilities(console, message.capabilities)
                _print(console, f"search spaces installed: {', '.join(message.spaces) or 'none'}")


@cli.command()
def build(
    files: Annotated[
        list[Path],
        typer.Argument(help="Jobs, tables or networks whose engines to build: JSON of the server."),
    ],
    capability: Annotated[
        str | None, typer.Option(help="Compute capability of the GPU to build for, such as 8.6. Default: the GPU here.")
    ] = None,
    mode: Annotated[str, typer.Option(help="tensorrt-rtx, or tensorrt on a machine with the GPU.")] = "tensorrt-rtx",
    precision: Annotated[str, typer.Option(help="fp32, tf32, fp16 or int8.")] = "fp32",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    engines: Annotated[
        Path | None, typer.Option(help="The store. Default: in the user's cache.", envvar=FOLDER_VARIABLE)
    ] = None,
    device: DeviceName = "auto",
) -> None:
    """Build engines ahead of time: an agent on the GPU takes them from a copy of the store."""
    console = Console(highlight=False)
    with _failures():
        runtime = Runtime.model_validate({"mode": mode, "precision": precision, "batch_size": batch_size})
        failed = 0
        for request in requests_in(files, runtime):
            folder = str((engines or engines_folder()).resolve())
            for message in messages_of(BuildTask(device=device, request=request, capability=capability, folder=folder)):
                if isinstance(message, EngineBuilt):
                    failed += message.error is not None
                    show_engine(console, message)
        if failed:
            _fail(f"{failed} engines were not built; the reasons are above")


@cli.command()
def noise(
    device: DeviceName = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads that measure.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long to measure, without starting up.")] = 6,
    cores: CoreList = None,
    state_dir: StateDir = None,
    device_id: DeviceId = None,
) -> None:
    """Say how far equal blocks scatter on this device, what disturbs them, and what to do about it."""
    console = Console(highlight=False)
    with _failures():
        _prepare(state_dir, device_id, cores)
        for message in messages_of(NoiseTask(device=device, threads=threads, seconds=seconds)):
            if isinstance(message, Inspected):
                inspected, lock = message, lock_device(message.device.uuid)
            elif isinstance(message, Noise):
                show_noise(console, inspected.device, inspected.environment, message)
        lock.release()


def main() -> None:
    cli()


@contextmanager
def _failures() -> Iterator[None]:
    """End the command with a message and an exit status, where it cannot do its work."""
    try:
        yield
    except DeviceInUse as error:
        _fail(str(error), EXIT_IN_USE)
    except ValidationError as error:
        _fail(first_error(error, "runtime"))
    except OSError as error:
        _fail(file_error(error))
    except (NotMeasured, LutError, ValueError) as error:
        _fail(str(error))


def _prepare(state_dir: Path | None, device_id: str | None, cores: str | None) -> Path:
    """The state folder; the processes that measure get the device's identity and cores from their environment."""
    folder = state_dir or user_state_path("profiler-agent", appauthor=False)
    identity = keep_device_id(folder, device_id)
    for variable, value in ((DEVICE_ID, identity), (CORES, cores)):
        if value:
            os.environ[variable] = value
    return folder


def _named(inspected: Inspected, name: str | None, device_id: str | None) -> Inspected:
    """With the name that was given. Raises ValueError for a name or identity that cannot be."""
    device = inspected.device
    if device_id and device.kind == "cuda":
        raise ValueError(f"device-id={device_id!r}: a GPU has an identity of its own, {device.uuid}; leave it out")
    if not name:
        return inspected
    try:
        called = Device.model_validate({**device.model_dump(), "name": name.strip()})
    except ValidationError as error:
        raise ValueError(
            f"name={name!r}: give up to 300 characters, without <>\"'`;\\ and control characters"
        ) from error
    return inspected.model_copy(update={"device": called})


def _show_device(console: Console, inspected: Inspected) -> None:
    device, environment = inspected.device, inspected.environment
    _print(console, f"{device.name} ({device.vendor}), {device.uuid}")
    unit = "multiprocessors" if device.kind == "cuda" else "cores"
    _print(console, f"{device.cores} {unit}, {device.memory_bytes / 2**30:.1f} GiB")
    for name, value in environment.named.items():
        _print(console, f"  {name}: {value}")
    for remark in inspected.remarks:
        _print(console, f"  note: {remark}")


def _show_capabilities(console: Console, capabilities: tuple[Capability, ...]) -> None:
    """What works first; a mode that cannot run at all has one row."""
    table = Table("mode", "precision", "works here")
    by_mode = {mode: list(of_mode) for mode, of_mode in groupby(capabilities, key=lambda capability: capability.mode)}
    rows: list[tuple[str, str, str]] = []
    for mode, of_mode in by_mode.items():
        reasons = {capability.reason for capability in of_mode}
        if len(reasons) == 1 and None not in reasons:
            rows.append((mode, "all", str(reasons.pop())))
        else:
            rows += [(mode, capability.precision, capability.reason or "yes") for capability in of_mode]
    for row in sorted(rows, key=lambda row: row[2] != "yes"):
        table.add_row(*(escape(plain(cell)) for cell in row))
    console.print(table)


def _print(console: Console, line: str) -> None:
    """As it is: a name in square brackets is no markup."""
    console.print(plain(line), markup=False, soft_wrap=True)


def _fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    print(plain(message), file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()

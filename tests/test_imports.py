"""Importing does nothing: no torch in the server, no argument parsing, no output."""

import pkgutil
import subprocess
import sys

import pytest

from adaptive_networks.__main__ import COMMANDS as ADAPTIVE
from lgcnet_search.__main__ import COMMANDS as SEARCH

PACKAGES = [
    "latency_tables",
    "lut_server",
    "profiler_agent",
    "street_scenes",
    "published_networks",
    "lgcnet_search",
    "adaptive_networks",
]


def _modules(package: str) -> list[str]:
    root = __import__(package)
    return [module.name for module in pkgutil.walk_packages(root.__path__, f"{package}.")]


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_every_module_prints_nothing_and_the_server_does_not_load_torch(package: str) -> None:
    # Alembic runs its scripts itself; they are no modules to import.
    names = [name for name in _modules(package) if ".migrations." not in name]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    if package == "lut_server":
        code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("program", "module"), [("lut_server", "fastapi"), ("profiler_agent", "torch")])
def test_a_command_line_does_not_load_what_takes_long(program: str, module: str) -> None:
    """The server's other commands know no HTTP; what measures is another process than the agent."""
    code = f"import {program}.__main__, sys; assert '{module}' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_of_the_search_loads_its_own_module_only() -> None:
    """What that may import is said in pyproject.toml."""
    code = """
import sys
from contextlib import suppress
from lgcnet_search.__main__ import main
sys.argv = ["lgcnet-search", "jobs", "--help"]
with suppress(SystemExit):
    main()
assert "lgcnet_search.commands.queue" in sys.modules
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "List, show and cancel jobs" in done.stdout


@pytest.mark.parametrize("module", ["latency_tables.contract", "latency_tables.client"])
def test_contract_and_client_need_only_the_base_install(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "loaded = {'torch', 'fastapi', 'sqlalchemy', 'numpy', 'typer'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_commands_and_processes_load_without_what_only_some_modes_need() -> None:
    """`make run` installs the extras agent, search and server only."""
    commands = {name.partition(":")[0] for name in (*ADAPTIVE.values(), *SEARCH.values())}
    names = [
        *commands,
        "deploy.loop",
        "lut_server.__main__",
        "lut_server.commands.serving",
        "profiler_agent.__main__",
        "profiler_agent.measuring.remote_worker",
        "profiler_agent.measuring.tasks",
    ]
    extras = (
        "{'onnx', 'onnxruntime', 'onnxscript', 'openvino', 'tensorrt_rtx', 'distributed', 'pyarrow', 'transformers'}"
    )
    code = f"import sys\nsys.modules |= dict.fromkeys({extras})\nimport {', '.join(names)}\n"
    subprocess.run([sys.executable, "-c", code], check=True)

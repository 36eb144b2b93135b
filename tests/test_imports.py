"""Importing does nothing: no torch in the server, no argument parsing, no output."""

import pkgutil
import subprocess
import sys

import pytest

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
def test_importing_every_module_prints_nothing(package: str) -> None:
    # Alembic runs its scripts itself; they are no modules to import.
    names = [name for name in _modules(package) if ".migrations." not in name]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_server_does_not_load_torch() -> None:
    names = [name for name in _modules("lut_server") if ".migrations." not in name]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules", *names], check=True)


def test_the_agent_s_own_process_does_not_load_torch() -> None:
    code = "import profiler_agent.__main__, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    names = [
        "adaptive_networks.__main__",
        "deploy.loop",
        "lgcnet_search.__main__",
        "lut_server.__main__",
        "profiler_agent.__main__",
        "profiler_agent.measuring.remote_worker",
        "profiler_agent.measuring.tasks",
    ]
    extras = (
        "{'onnx', 'onnxruntime', 'onnxscript', 'openvino', 'tensorrt_rtx', 'distributed', 'pyarrow', 'transformers'}"
    )
    code = f"import sys\nsys.modules |= dict.fromkeys({extras})\nimport {', '.join(names)}\n"
    subprocess.run([sys.executable, "-c", code], check=True)

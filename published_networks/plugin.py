"""The space `published` as a profiling agent finds it (entry-point group `profiler_agent.spaces`)."""

from functools import partial
from pathlib import Path

from latency_tables.contract import OperationSpec
from published_networks import REQUIREMENT, SPACE
from published_networks.catalogue import NETWORKS, deployed
from published_networks.convention import Convention
from published_networks.modules import ModuleSpace

_HERE = Path(__file__).parent
_SOURCES = (*sorted((_HERE / "networks").glob("*.py")), _HERE / "libraries.py", _HERE / "catalogue.py")

space = ModuleSpace(SPACE, {name: partial(deployed, name) for name in NETWORKS}, *_SOURCES, requirement=REQUIREMENT)


def operation(
    name: str, height: int, width: int, classes: int = 19, convention: Convention | None = None
) -> OperationSpec:
    """The key of a network at an input size in pixels. Raises ValueError for an unknown name."""
    params = (convention or Convention()).params
    return space.operation(name, (3, height, width), classes=classes, **params)

"""The space `enas4d` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.enas4d.operations import DEFINITION
from adaptive_networks.enas4d.space import Space

space = Plugin(DEFINITION, Space)

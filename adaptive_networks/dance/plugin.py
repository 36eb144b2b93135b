"""The space `dance` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.dance.operations import DEFINITION
from adaptive_networks.dance.space import Space

space = Plugin(DEFINITION, Space)

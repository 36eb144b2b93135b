"""The space `ddnn` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.ddnn.operations import DEFINITION
from adaptive_networks.ddnn.space import Space

space = Plugin(DEFINITION, Space)

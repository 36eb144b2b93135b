"""The space `ranet` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.ranet.operations import DEFINITION
from adaptive_networks.ranet.space import Space

space = Plugin(DEFINITION, Space)

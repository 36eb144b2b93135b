"""The space `jitnet` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.jitnet.operations import DEFINITION
from adaptive_networks.jitnet.space import Space

space = Plugin(DEFINITION, Space)

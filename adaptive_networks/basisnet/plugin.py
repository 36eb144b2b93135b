"""The space `basisnet` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.basisnet.operations import DEFINITION
from adaptive_networks.basisnet.space import Space
from adaptive_networks.core.plugin import Plugin

space = Plugin(DEFINITION, Space)

"""The space `vit-resnas` (entry-point group `profiler_agent.spaces`)."""

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.vit_resnas.operations import DEFINITION
from adaptive_networks.vit_resnas.space import Space

space = Plugin(DEFINITION, Space)

"""How many channels go: as few as a ceiling allows of what an image costs to answer on a device, by its table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from adaptive_networks.commands.measuring import measure_networks, measure_operations
from adaptive_networks.core.slimming import DIVISOR
from adaptive_networks.dance.learning import Choose
from adaptive_networks.dance.plugin import space as plugin
from adaptive_networks.dance.space import Space
from latency_tables.client import LutClient
from latency_tables.contract import Device, NetworkSpec, Runtime
from lgcnet_search import jobs
from lgcnet_search.search.ceiling import upper_end

SHARES = (*(part / 20 for part in range(20)), 0.99)
"""Of the channels that may go: none to nearly all."""


@dataclass(frozen=True)
class AnswerCosts:
    """What an image costs to answer in the mean on a device; `shares` are those of the images at each ratio."""

    client: LutClient
    device: Device
    runtime: Runtime
    shares: Mapping[int, float]

    def upper_us(self, space: Space, followed: bool = True) -> float:
        """The upper end of the expectation's interval; has the rows measured that it takes. Raises JobFailed."""
        networks = self._networks(space)
        operations = list(dict.fromkeys(item.operation for network in networks for item in network.operations))
        table = measure_operations(
            self.client, plugin.requirement, operations, self.device, self.runtime, followed=followed
        )
        latencies = jobs.latencies_of(self.client, table)
        expected_us = sum(share * latencies.network_us(network) for network, share in networks.items())
        return upper_end(latencies) * expected_us

    def calibrate(self, whole: Space) -> None:
        """Have it measured, and with half and few of its channels: sums of rows alone are far off. Raises JobFailed."""
        widths = [tuple(max(DIVISOR, width // part) for width in whole.widths) for part in (1, 2, 8)]
        spaces = [replace(whole, widths=each) for each in widths]
        for space in spaces:
            self.upper_us(space)
        networks = [network for space in spaces for network in self._networks(space)]
        measure_networks(self.client, plugin.requirement, networks, self.device, self.runtime)

    def macs(self, space: Space) -> float:
        """In the mean."""
        return sum(share * plugin.macs(space, 0, (ratio,)) for ratio, share in self.shares.items())

    def _networks(self, space: Space) -> dict[NetworkSpec, float]:
        return {plugin.network(space, 0, (ratio,)): share for ratio, share in self.shares.items()}


def under(ceiling_us: float, costs: AnswerCosts, whole: Space) -> Choose:
    """The least share that must go of the whole network, or nearly all where none is enough.

    What would be left is estimated by its MACs; the last time its own rows decide. Raises JobFailed.
    """
    whole_us = costs.upper_us(whole)

    def choose(space_at: Callable[[float], Space], last: bool) -> float:
        per_mac_us = whole_us / costs.macs(whole)
        for share in SHARES:
            space = space_at(share)
            if per_mac_us * costs.macs(space) <= ceiling_us:
                space_us = costs.upper_us(space, followed=False) if last else 0.0
                if space_us <= ceiling_us:
                    return share
                per_mac_us = space_us / costs.macs(space)
        return SHARES[-1]

    return choose

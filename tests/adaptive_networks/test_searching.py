"""Members searched under ceilings: what is chosen stays there, as far as predictions can tell."""

from collections.abc import Sequence

import numpy as np
import pytest

from adaptive_networks.commands.searching import Member, SearchOptions, search_members
from adaptive_networks.core.exits import mean_us
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice
from adaptive_networks.enas4d.plugin import space as plugin
from adaptive_networks.enas4d.space import SETTINGS
from latency_tables.contract import NetworkSpec
from lgcnet_search.space.latencies import Interval, Latencies

SPACE = SETTINGS["demo"]
CEILING_US = 5000.0


class Doubtful(Latencies):
    """A microsecond for a thousand MACs, and measured networks that others predict with an interval so far up."""

    up: float

    def __init__(self, up: float) -> None:
        object.__setattr__(self, "up", up)

    @property
    def intervals(self) -> Sequence[Interval]:
        return [Interval(100.0, 100.0 * self.up)] * 3 if self.up > 1 else []

    def network_us(self, network: NetworkSpec) -> float:
        return sum(item.count * plugin.definition.count(item.operation)[1] for item in network.operations) / 1000


def judged(choice: Choice) -> Judged:
    """The more a member has, the more images are right; later exits are right more often."""
    generator = np.random.default_rng(0)
    confidence = generator.random((2, 300))
    share = 0.3 + 0.5 * sum(choice) / len(choice)
    return Judged(confidence, generator.random((2, 300)) < np.array([[share], [share + 0.1]]))


def members(up: float, ceiling_us: float = CEILING_US) -> list[Member]:
    return search_members(
        plugin, SPACE, Doubtful(up), judged, SearchOptions(generations=3, population=8), [ceiling_us], 0
    )


def cost_us(member: Member, up: float) -> float:
    path_us = [Doubtful(up).network_us(network) for network in plugin.paths(SPACE, member.choice)]
    return mean_us(member.operating.rates, path_us) if member.operating else path_us[-1]


@pytest.mark.parametrize("up", [1.0, 1.1, 1.5])
def test_the_upper_end_of_a_prediction_is_under_the_ceiling(up: float) -> None:
    found = members(up)
    assert [member.series for member in found] == ["by table", "static", "by MACs"]
    assert {member.label for member in found} == {"5000 µs"}
    assert all(up * cost_us(member, up) <= CEILING_US * 1.001 for member in found)
    assert max(up * cost_us(member, up) for member in found) > 0.85 * CEILING_US


def test_a_ceiling_that_only_its_margin_puts_out_of_reach_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    fastest_us = Doubtful(1.1).network_us(plugin.network(SPACE, 0, SPACE.smallest))
    assert members(1.1, 1.05 * fastest_us) == []
    assert f"of {1.05 * fastest_us / 1000:.6g} ms, with a margin of 10.0%" in capsys.readouterr().out

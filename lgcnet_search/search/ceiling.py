"""The most likely network that stays under a latency ceiling."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from torch import Tensor

from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space


class CeilingTooLow(ValueError):
    """No network is as fast as the ceiling asks for; the message says how fast they get."""


@dataclass(frozen=True)
class Ceiling:
    """A network may take `at_most_us`, and counts as `margin` times as slow as it is predicted to be."""

    at_most_us: float
    margin: float = 1.0

    @property
    def predicted_us(self) -> float:
        """What a network may be predicted to take."""
        return self.at_most_us / self.margin

    @classmethod
    def reachable(cls, space: Space, latencies: Latencies, at_most_us: float, quantile: float) -> "Ceiling":
        """A ceiling that networks stay under with this probability. Raises CeilingTooLow, and what `margin` raises."""
        ceiling = cls(at_most_us, latencies.margin(quantile))
        ceiling.require(RandomSearch(space, latencies))
        return ceiling

    def require(self, networks: RandomSearch) -> None:
        """Raises CeilingTooLow where even the fastest network of the space is too slow."""
        fastest_us = networks.fastest_us
        if fastest_us <= self.predicted_us:
            return
        doubt = (
            ""
            if self.margin == 1
            else f", so it counts as {self.margin * fastest_us / 1000:.6g} ms (margin {self.margin:.4g})"
        )
        raise CeilingTooLow(
            f"ceiling: {self.at_most_us / 1000:.6g} ms given, the fastest network is predicted to take "
            f"{fastest_us / 1000:.6g} ms{doubt}; raise the ceiling, or take a smaller input or fewer channels"
        )


def within_ceiling(space: Space, log_alpha: Mapping[str, Tensor], latencies: Latencies, ceiling: Ceiling) -> Genotype:
    """The likeliest candidate of every edge; where they are too slow together, the cheapest way down is taken.

    The edges of one node change together, since what they leave to be added up has a cost, too: node after node takes
    the faster combination that gives up the least log-probability for a microsecond, down to the fastest network.

    Raises:
        CeilingTooLow: no network of the space is as fast.
    """
    networks = RandomSearch(space, latencies)
    ceiling.require(networks)
    log_p = {name: values.detach().double().log_softmax(0).cpu().numpy() for name, values in log_alpha.items()}
    scores = [reduce(np.add.outer, [log_p[edge.name] for edge in unit.edges]).flatten() for unit in networks.units]
    chosen = [int(score.argmax()) for score in scores]
    while networks.latency_us(chosen) > ceiling.predicted_us:
        ways = []
        for place, (unit, score, now) in enumerate(zip(networks.units, scores, chosen, strict=True)):
            faster = np.flatnonzero(unit.costs_us < unit.costs_us[now])
            if len(faster):
                slopes = (score[now] - score[faster]) / (unit.costs_us[now] - unit.costs_us[faster])
                ways.append((float(slopes.min()), place, int(faster[slopes.argmin()])))
        _, place, combination = min(ways)
        chosen[place] = combination
    return networks.genotype(chosen)

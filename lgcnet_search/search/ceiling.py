"""The most likely network that stays under a latency ceiling."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from statistics import NormalDist, median

import numpy as np
from torch import Tensor

from latency_tables.calibration import Z90
from lgcnet_search.errors import Refused
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

UPPER_END = 0.95
"""The quantile of the upper end of a 90 % interval."""


class CeilingTooLow(Refused, ValueError):
    """No network stays under the ceiling; the message says how fast they get."""


@dataclass(frozen=True)
class Ceiling:
    """A network may take `at_most_us`; `margin` times its prediction must stay under that."""

    at_most_us: float
    margin: float = 1.0

    @property
    def predicted_us(self) -> float:
        """The largest prediction that stays under the ceiling."""
        return self.at_most_us / self.margin

    @classmethod
    def reachable(cls, space: Space, latencies: Latencies, at_most_us: float, quantile: float) -> "Ceiling":
        """A ceiling that networks stay under with this probability. Raises CeilingTooLow, ValueError as `margin`."""
        ceiling = cls(at_most_us, margin(latencies, quantile))
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
            f"ceiling: {self.at_most_us / 1000:.6g} ms is too low: the fastest network is predicted to take "
            f"{fastest_us / 1000:.6g} ms{doubt}; raise the ceiling, or take a smaller input or fewer channels"
        )


def margin(latencies: Latencies, quantile: float) -> float:
    """How many times its prediction a network takes at most, with about this probability: above 0, 1 at the median.

    By the intervals of the networks that were measured, whose deviations are taken as those of a logarithm: a latency
    is never negative, however small the quantile. Raises ValueError without a calibration.
    """
    if quantile == 0.5:
        return 1.0
    if not latencies.intervals:
        raise ValueError(
            f"quantile: {quantile} needs a calibration, which table {latencies.table.id} does not have; have networks "
            "measured (lgcnet-search calibrate), or take 0.5"
        )
    deviations = [math.log(network.high_us / network.predicted_us) / Z90 for network in latencies.intervals]
    return math.exp(NormalDist().inv_cdf(quantile) * median(deviations))


def upper_end(latencies: Latencies) -> float:
    """The margin of the upper end of a prediction's 90 % interval; 1 where none has been measured."""
    return margin(latencies, UPPER_END) if latencies.intervals else 1.0


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
    combinations = [int(score.argmax()) for score in scores]
    while networks.latency_us(combinations) > ceiling.predicted_us:
        ways = []
        for index, (unit, score, now) in enumerate(zip(networks.units, scores, combinations, strict=True)):
            faster = np.flatnonzero(unit.costs_us < unit.costs_us[now])
            if len(faster):
                slopes = (score[now] - score[faster]) / (unit.costs_us[now] - unit.costs_us[faster])
                ways.append((float(slopes.min()), index, int(faster[slopes.argmin()])))
        _, index, combination = min(ways)
        combinations[index] = combination
    return networks.genotype(combinations)

"""The most likely network that stays under a latency ceiling."""

from collections.abc import Mapping

from torch import Tensor

from lgcnet_search.genotype import Genotype
from lgcnet_search.latencies import Latencies
from lgcnet_search.network import network_spec
from lgcnet_search.space import Space


class CeilingTooLow(ValueError):
    """No network is as fast as the ceiling asks for; the message says how fast they get."""


def within_ceiling(space: Space, log_alpha: Mapping[str, Tensor], latencies: Latencies, ceiling_us: float) -> Genotype:
    """The likeliest candidate of every edge; where they are too slow together, the cheapest way down is taken.

    One edge after the other changes to the faster candidate that gives up the least log-probability for a microsecond.

    Raises:
        CeilingTooLow: with every edge at its fastest candidate the network is still slower than `ceiling_us`.
    """
    scores = {
        edge.name: dict(zip(edge.names, log_alpha[edge.name].log_softmax(0).tolist(), strict=True))
        for edge in space.graph.edges
    }
    costs = {
        edge.name: {
            candidate.name: latencies.operation_us(candidate.operation) if candidate.operation else 0.0
            for candidate in edge.candidates
        }
        for edge in space.graph.edges
    }
    choices = {name: max(row, key=row.__getitem__) for name, row in scores.items()}
    while True:
        genotype = Genotype.of(space, choices)
        latency_us = latencies.network_us(network_spec(genotype))
        if latency_us <= ceiling_us:
            return genotype
        swaps = [
            ((scores[edge][now] - scores[edge][name]) / (costs[edge][now] - cost), edge, name)
            for edge, now in choices.items()
            for name, cost in costs[edge].items()
            if cost < costs[edge][now]
        ]
        if not swaps:
            raise CeilingTooLow(
                f"ceiling_us: {ceiling_us:.6g} given, the fastest network that was found takes {latency_us:.6g} µs; "
                "raise the ceiling, or take a smaller input or width"
            )
        _, edge, name = min(swaps)
        choices[edge] = name

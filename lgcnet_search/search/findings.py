"""What a search found, as a person would ask: how varied, how fast among random networks, how decided."""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchResult, StepRecord
from lgcnet_search.space.candidates import CANDIDATES, ZERO
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.graph import INPUT, Edge
from lgcnet_search.space.latencies import Latencies

DRAWN = 1000
"""Random networks that a latency is placed among."""
GONE = 0.5
"""An edge with less than this share of the entropy that it began with has decided."""
UNDECIDED = 0.75
"""A search whose edges keep more than this share of their entropy in the mean has not decided."""
LEARNED = 0.5
"""The share of the whole fall of the cross-entropy by which weights have learned something."""
ALIKE = 2.0
"""A cell of five edges has 3.9 different candidates by chance, and the network this many at least in the mean."""


@dataclass(frozen=True)
class Findings:
    """`light_share` is that of zero, skip and pooling by the output stride of cells; `latency_percentile` the share of
    1000 random networks that are predicted to be faster; `undecided` names edges with their entropy in nats;
    `constant_cells` are those whose output is the same for every image; `warnings` say what makes the search doubtful.
    `chosen_among`: the inherited mIoU of each network that this one, the best, was chosen from, the most likely first.
    """

    candidates_per_cell: float
    light_share: dict[int, float]
    latency_percentile: float
    undecided: dict[str, float]
    constant_cells: tuple[int, ...]
    warnings: tuple[str, ...]
    chosen_among: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def lines(self) -> tuple[str, ...]:
        """In words, a sentence each, warnings last."""
        light = ", ".join(f"{share:.0%} at stride {stride}" for stride, share in self.light_share.items())
        edges = ", ".join(sorted(self.undecided, key=lambda edge: -self.undecided[edge])[:3])
        more = f" ({edges}{', …' if len(self.undecided) > 3 else ''})" if edges else ""
        return (
            f"{self.candidates_per_cell:.1f} different candidates a cell; zero, skip and pooling: {light}",
            f"faster than {1 - self.latency_percentile:.0%} of {DRAWN} random networks by prediction",
            f"{len(self.undecided)} edges undecided{more}",
            *self._choice,
            *(f"warning: {text}" for text in self.warnings),
        )

    @property
    def _choice(self) -> tuple[str, ...]:
        if len(self.chosen_among) < 2:
            return ()
        best, middle = max(self.chosen_among), statistics.median(self.chosen_among)
        return (
            f"the most accurate of {len(self.chosen_among)} networks drawn: {best:.1%} mIoU by inherited weights; the "
            f"most likely one has {self.chosen_among[0]:.1%}, the middle one {middle:.1%}",
        )


def findings(result: SearchResult, latencies: Latencies) -> Findings:
    """What the result of a search with these latencies amounts to. Raises MissingRows."""
    genotype, space = result.genotype, result.genotype.space
    edges = {edge.name: edge for edge in space.graph.edges}
    constant = constant_cells(genotype)
    return Findings(
        candidates_per_cell=candidates_per_cell(genotype),
        light_share=light_share(genotype),
        latency_percentile=latency_percentile(RandomSearch(space, latencies), result.predicted_us),
        undecided={
            name: entropy
            for name, entropy in result.entropies.items()
            if entropy > GONE * math.log(len(edges[name].candidates))
        },
        constant_cells=constant,
        chosen_among=tuple(network.miou for network in result.judged),
        warnings=(*_of_course(result.history, edges.values()), *_of_network(genotype, constant)),
    )


def candidates_per_cell(genotype: Genotype) -> float:
    """How many different candidates a cell has, in the mean."""
    return statistics.fmean(len(set(cell)) for cell in genotype.cells)


def light_share(genotype: Genotype) -> dict[int, float]:
    """Output stride → which share of the edges of its cells is zero, skip or pooling (Fig. 9)."""
    by_stride: dict[int, list[bool]] = {}
    for index, cell in enumerate(genotype.cells):
        by_stride.setdefault(genotype.space.stride(index), []).extend(CANDIDATES[name].kind.light for name in cell)
    return {stride: statistics.fmean(light) for stride, light in by_stride.items()}


def latency_percentile(networks: RandomSearch, predicted_us: float, seed: int = 0) -> float:
    """The share of 1000 networks, drawn evenly from the space, that are predicted to be faster."""
    return statistics.fmean(latency_us < predicted_us for latency_us in networks.latencies_us(DRAWN, seed))


def constant_cells(genotype: Genotype) -> tuple[int, ...]:
    """The cells whose output does not depend on the image: no edge leads from it to them."""
    constant = {INPUT: False}
    for part in genotype.space.graph.parts:
        if isinstance(part, Edge):
            constant[part.name] = genotype.choices[part.name] == ZERO or constant[part.source]
        else:
            constant[part.name] = all(constant[name] for name in part.inputs)
    return tuple(cell for cell in range(genotype.space.cells) if constant[f"cell{cell}.out"])


def _of_course(history: Sequence[StepRecord], edges: Collection[Edge]) -> list[str]:
    """What the course of a search, if it is long enough to have one, says against it."""
    if len(history) < 10:
        return []
    window = len(history) // 10
    losses = [
        statistics.fmean(record.cross_entropy for record in history[max(0, step + 1 - window) : step + 1])
        for step in range(len(history))
    ]
    first, last = history[0].cross_entropy, min(losses)
    learned = next(step for step, loss in enumerate(losses) if first - loss >= LEARNED * (first - last))
    gone = next((record.step for record in history if record.entropy < GONE * history[0].entropy), None)
    if gone is not None and gone < learned:
        return [
            f"the search collapsed: half of the edges' entropy was gone at step {gone}, before the weights had learned "
            f"half of what they learned (step {learned}); lower the learning rate of α, or hold it longer (--warm-up)"
        ]
    largest = statistics.fmean(math.log(len(edge.candidates)) for edge in edges)
    if history[-1].entropy > UNDECIDED * largest:
        return [
            f"the search did not decide: its edges end with an entropy of {history[-1].entropy:.2f} of "
            f"{largest:.2f} nats; take more steps, or a higher learning rate of α"
        ]
    return []


def _of_network(genotype: Genotype, constant: tuple[int, ...]) -> list[str]:
    texts = []
    if candidates_per_cell(genotype) < ALIKE:
        alike = sum(len(set(cell)) == 1 for cell in genotype.cells)
        texts.append(f"{alike} of {len(genotype.cells)} cells have one and the same candidate on all edges")
    if constant:
        texts.append(f"the output of cell {', '.join(map(str, constant))} is constant: it does not see the image")
    return texts

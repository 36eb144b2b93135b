"""Found and random networks at the same predicted latency, trained alike: what a search is worth, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latency_tables.statistics import Interval
from lgcnet_search.ablations.arms import Ablation, Arm
from lgcnet_search.ablations.network import Limits, Study, Trial
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.runner import OnOutcome, OnTrialProgress, Task, make_tasks
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.search.random_search import RandomSearch

Array = NDArray[np.float64]

WITHIN = 0.03
"""Latencies that differ by no more than this share count as equal."""
DRAWN = 1000
"""Random networks that say where a ceiling is."""
RESAMPLES = 10_000
FEWEST = 5
"""Networks of a kind that an interval asks for."""


@dataclass(frozen=True)
class Ceiling:
    """A ceiling that a `share` of all networks stays under; `given`: it was chosen as a latency and not as a share."""

    share: float
    at_most_us: float
    given: bool = False

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"at-{self.at_most_us / 1000:g}-ms" if self.given else f"fastest-{100 * self.share:g}"

    def __str__(self) -> str:
        fastest = f"fastest {100 * self.share:.3g} %" if self.share else f"under {DRAWN} random ones"
        return f"{fastest}, {self.at_most_us / 1000:.4g} ms"

    @property
    def band(self) -> Limits:
        """Just under the ceiling."""
        return Limits(self.at_most_us, (1 - WITHIN) * self.at_most_us)


@dataclass(frozen=True)
class Level:
    """All networks of one ceiling: the found ones by their arm's name, and the random ones."""

    ceiling: Ceiling
    found: Mapping[str, tuple[Outcome, ...]]
    drawn: str
    """The name of the arm of the random ones."""
    random: tuple[Outcome, ...]


class Advantage(NamedTuple):
    """How many points of mIoU found networks are ahead of random ones of their latency: mean, 95 % interval.

    There is no interval of fewer than five networks of either kind: it would be far too narrow.
    """

    points: float
    interval: Interval | None
    found: int
    random: int


def ceilings_of(ablation: Ablation, study: Study) -> list[Ceiling]:
    """The ablation's ceilings by the study's table, from 1000 random networks."""
    drawn = np.asarray(RandomSearch(study.space, study.latencies).latencies_us(DRAWN, seed=0))
    if ablation.ceilings_us:
        return [Ceiling(float((drawn <= us).mean()), us, given=True) for us in ablation.ceilings_us]
    return [Ceiling(share, float(np.quantile(drawn, share))) for share in ablation.ceilings]


def make_levels(
    ablation: Ablation,
    study: Study,
    seeds: int,
    computing: Computing = ALONE,
    *,
    engine: Engine | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: OnTrialProgress | None = None,
) -> list[Level]:
    """Make all networks, those under one ceiling in a folder of their own; what is finished is not made again.

    A search may find a network that is faster than the band under its ceiling. It then gets a random network of its
    own, as fast as it. Raises what `make_tasks` raises.
    """
    ceilings = ceilings_of(ablation, study)
    supernets = study.supernets or study.out / "supernets"
    studies = [replace(study, out=study.out / ceiling.name, supernets=supernets) for ceiling in ceilings]
    tasks = [
        Task(level, Trial(arm, seed), ceiling.band)
        for seed in range(seeds)
        for level, ceiling in zip(studies, ceilings, strict=True)
        for arm in ablation.arms
    ]
    outcomes = make_tasks(tasks, computing, engine=engine, on_outcome=on_outcome, on_progress=on_progress)
    (drawn,) = [arm for arm in ablation.arms if arm.drawn]
    partners = [
        Task(task.study, Trial(_partner(drawn, task.trial.arm), task.trial.seed), _as_fast_as(outcome))
        for task, outcome in zip(tasks, outcomes, strict=True)
        if task.limits and outcome.predicted_us < task.limits.at_least_us
    ]
    tasks += partners
    outcomes += make_tasks(partners, computing, engine=engine, on_outcome=on_outcome, on_progress=on_progress)
    return [
        _level(ablation, ceiling, [outcome for task, outcome in zip(tasks, outcomes, strict=True) if task.study is of])
        for of, ceiling in zip(studies, ceilings, strict=True)
    ]


def advantage(found: Sequence[Outcome], random: Sequence[Outcome], resamples: int = RESAMPLES) -> Advantage | None:
    """The mean over found networks of their mIoU less the mean mIoU of the random ones that are as fast, in points.

    The interval is the percentile bootstrap's over found and random networks both; of few networks it is a little
    narrow. None where no found network has a random one as fast.
    """
    alike = np.array([[equally_fast(one, other) for other in random] for one in found], dtype=float)
    kept = alike.any(axis=1) if alike.size else np.zeros(len(found), dtype=bool)
    if not kept.any():
        return None
    alike, partners = alike[kept], alike[kept].any(axis=0)
    alike = alike[:, partners]
    own, others = np.array(mious(found))[kept], np.array(mious(random))[partners]

    def mean(of_found: Array, of_random: Array) -> float:
        """By how often each network was drawn."""
        weights = alike * of_random
        total = weights.sum(axis=1)
        usable = of_found * (total > 0)
        ahead = own - (weights @ others) / np.maximum(total, 1)
        return float((usable * ahead).sum() / usable.sum()) if usable.sum() else float("nan")

    generator = np.random.default_rng(0)
    draws = [
        mean(
            generator.multinomial(len(own), np.full(len(own), 1 / len(own))).astype(float),
            generator.multinomial(len(others), np.full(len(others), 1 / len(others))).astype(float),
        )
        for _ in range(resamples)
    ]
    low, high = np.nanquantile(draws, (0.025, 0.975))
    enough = min(len(own), len(others)) >= FEWEST
    interval = Interval(float(low), float(high)) if enough else None
    return Advantage(mean(np.ones(len(own)), np.ones(len(others))), interval, len(own), len(others))


def equally_fast(one: Outcome, other: Outcome) -> bool:
    """Whether the predicted latencies differ by 3 % of the slower one at most."""
    fast_us, slow_us = sorted((one.predicted_us, other.predicted_us))
    return fast_us >= (1 - WITHIN) * slow_us * (1 - 1e-9)


def _level(ablation: Ablation, ceiling: Ceiling, outcomes: Sequence[Outcome]) -> Level:
    names = [arm.name for arm in ablation.arms if not arm.drawn]
    found = {name: tuple(outcome for outcome in outcomes if outcome.arm == name) for name in names}
    (drawn,) = [arm.name for arm in ablation.arms if arm.drawn]
    return Level(ceiling, found, drawn, tuple(outcome for outcome in outcomes if outcome.arm not in names))


def _partner(drawn: Arm, found: Arm) -> Arm:
    return replace(drawn, name=f"{drawn.name}-for-{found.name}", label=f"{drawn.label}, as fast as {found.label}")


def _as_fast_as(outcome: Outcome) -> Limits:
    return Limits(outcome.predicted_us * (1 + WITHIN / 2), outcome.predicted_us * (1 - WITHIN / 2))


def mious(outcomes: Sequence[Outcome]) -> list[float]:
    """In percent."""
    return [100 * outcome.miou for outcome in outcomes if outcome.miou is not None]

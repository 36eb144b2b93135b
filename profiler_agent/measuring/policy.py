"""The stopping rule: which workloads a round measures, which blocks count, when a round is repeated, when it is enough.

Everything here is arithmetic of plain numbers: nothing is timed, and no clock is read.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from latency_tables.contract import Quality, Scalar
from latency_tables.statistics import median_interval, quantile
from profiler_agent.doubt import Block, Doubt

# Looking after every block stops at lucky moments: the stated 95 % interval then covers a two-mode median
# only 90 % of the time. Few looks and a stricter interval for the decision keep it above 93 %
# (tests/profiler_agent/measuring/test_policy.py).
LOOK_GROWTH = 1.5
DECISION_CONFIDENCE = 0.98

NOISY_SHARE = 0.1  # a median shrugs off this much contamination

# A band follows the machine: a neighbour who stays is the new normal after this many rounds.
BAND_ROUNDS = 20
BAND_LEAST = 3
MAX_REPEAT_SHARE = 0.25
MIN_REPEATS = 3


@dataclass(frozen=True)
class StoppingRule:
    """The numbers of a policy.

    A workload has converged when the interval of its median is at most ± `target_rel` wide; that is first asked after
    `first_look` blocks, because a few seconds do not show the state of a machine. It leaves with at least `min_blocks`,
    at most `max_blocks`, and as soon as it may once `budget_s` are spent (None: no limit).

    A disturbed or throttled block is thrown away, at most `max_rejected` a workload. A round in which a watched
    reference leaves ± `band_rel` of its recent readings in the same process is thrown away and repeated, at most a
    quarter of the rounds. What is kept beyond these bounds makes a result `noisy` or `throttled`. Once the budget is
    spent nothing is thrown away.

    With `frugal`, once all workloads have their least blocks, a round takes only the half of the open ones for which
    a block narrows the sum's interval most for its time: a short budget is then spent where it matters.
    """

    target_rel: float
    min_blocks: int
    max_blocks: int
    max_rejected: int
    band_rel: float
    first_look: int = 0
    budget_s: float | None = None
    frugal: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.min_blocks <= self.max_blocks:
            raise ValueError(f"min_blocks={self.min_blocks} must be between 1 and max_blocks={self.max_blocks}")

    @property
    def settings(self) -> dict[str, Scalar]:
        """What the method of every measurement says of the rule."""
        settings: dict[str, Scalar] = {
            "target_rel": self.target_rel,
            "min_blocks": self.min_blocks,
            "first_look": self.first_look,
            "max_blocks": self.max_blocks,
            "band_rel": self.band_rel,
        }
        return settings if self.budget_s is None else {**settings, "budget_s": self.budget_s}


@dataclass(frozen=True)
class Result:
    """A workload that is measured: its samples, and how far they can be trusted."""

    key: str
    samples_us: tuple[float, ...]
    quality: Quality


@dataclass
class _State:
    """One workload so far. `look_at`: the number of blocks at which to ask again whether it converged."""

    look_at: int
    samples_us: list[float] = field(default_factory=list)
    rejected: int = 0
    disturbed: int = 0
    doubtful: int = 0
    throttled: bool = False
    block_s: float = 1.0


class Policy:
    """Applies a rule to the workloads `keys`, round by round; `watched` are the references whose bands count.

    A round is: `wants`, then the blocks, then `end_round`, then `accepts` for every block of a workload, then `finish`.
    """

    def __init__(self, rule: StoppingRule, keys: Iterable[str], watched: Collection[str] = ()) -> None:
        self._rule = rule
        self._watched = watched
        self._states = {key: _State(look_at=max(rule.min_blocks, rule.first_look)) for key in keys}
        self._bands: dict[tuple[str, int], list[float]] = {}
        self._in_band = self._throws_away = True
        self._repeats = False
        self.open_keys = list(self._states)
        self.rounds = 0
        self.repeated = 0

    def wants(self) -> list[str]:
        """The open workloads that the next round measures."""
        least = min(len(self._states[key].samples_us) for key in self.open_keys)
        if not self._rule.frugal or least < self._rule.min_blocks:
            return self.open_keys
        return sorted(self.open_keys, key=self._gain, reverse=True)[: (len(self.open_keys) + 1) // 2]

    def end_round(self, process: int, readings: Mapping[str, Sequence[float]], elapsed_s: float) -> None:
        """Judge a round by its `readings` of references (µs) in `process`; `elapsed_s` of the budget are spent."""
        self._in_band = True
        for name in self._watched:
            band = self._bands.setdefault((name, process), [])
            reading = median(readings[name])
            self._in_band = self._in_band and not leaves_band(reading, band, self._rule.band_rel)
            band.append(reading)
            del band[:-BAND_ROUNDS]
        self.rounds += 1
        self._throws_away = self._rule.budget_s is None or elapsed_s <= self._rule.budget_s
        may_repeat = self._throws_away and self.repeated < max(MIN_REPEATS, MAX_REPEAT_SHARE * self.rounds)
        self._repeats = not self._in_band and may_repeat
        self.repeated += self._repeats

    def accepts(self, key: str, block: Block, block_s: float) -> bool:
        """Whether a block of the round that ended counts; taking it took `block_s`."""
        state = self._states[key]
        state.block_s = max(block_s, 1e-9)
        is_doubtful = block.doubt is not Doubt.NONE
        is_disturbed = is_doubtful and self._throws_away and state.disturbed < self._rule.max_rejected
        if self._repeats or is_disturbed:
            state.rejected += 1
            state.disturbed += not self._repeats
            return False
        state.samples_us.append(block.latency_us)
        state.doubtful += is_doubtful or not self._in_band
        state.throttled = state.throttled or block.doubt is Doubt.THROTTLED
        return True

    def finish(self) -> list[Result]:
        """Close the workloads that have enough blocks."""
        results = [self._result(key) for key in self.open_keys if self._is_finished(self._states[key])]
        for result in results:
            self.open_keys.remove(result.key)
        return results

    def share(self, elapsed_s: float) -> float:
        """How much of the work is done at least, from 0 to 1: by blocks, or by the budget, which ends it for all."""
        open_keys = set(self.open_keys)
        blocks = [
            1.0 if key not in open_keys else min(1.0, len(state.samples_us) / self._rule.max_blocks)
            for key, state in self._states.items()
        ]
        by_budget = min(1.0, elapsed_s / self._rule.budget_s) if self._rule.budget_s else 0.0
        return max(sum(blocks) / len(blocks), by_budget if open_keys else 1.0)

    def drop(self, key: str) -> None:
        """Close a workload without a result."""
        self.open_keys.remove(key)

    def _gain(self, key: str) -> float:
        state = self._states[key]
        return median_interval(sorted(state.samples_us)).half_width / len(state.samples_us) / state.block_s

    def _is_finished(self, state: _State) -> bool:
        count = len(state.samples_us)
        if count < self._rule.min_blocks:
            return False
        if count >= self._rule.max_blocks or not self._throws_away:
            return True
        if count < state.look_at:
            return False
        state.look_at = next_look(count)
        return is_converged(state.samples_us, self._rule.target_rel)

    def _result(self, key: str) -> Result:
        state = self._states[key]
        quality = Quality(
            converged=is_converged(state.samples_us, self._rule.target_rel),
            throttled=state.throttled,
            noisy=is_noisy(state.doubtful, len(state.samples_us)),
            rejected_blocks=state.rejected,
        )
        return Result(key, tuple(state.samples_us), quality)


def is_converged(samples: Sequence[float], target_rel: float) -> bool:
    """Whether the order-statistic interval of the median is at most ± `target_rel` of it wide."""
    ordered = sorted(samples)
    interval = median_interval(ordered, DECISION_CONFIDENCE)
    return interval.half_width <= target_rel * quantile(ordered, 0.5)


def next_look(count: int) -> int:
    """The number of blocks at which to ask again, having asked at `count`."""
    return max(count + 1, math.ceil(count * LOOK_GROWTH))


def leaves_band(value: float, earlier: Sequence[float], band_rel: float) -> bool:
    """Whether a reference left ± `band_rel` of the median of its earlier values; fewer than BAND_LEAST make no band."""
    if len(earlier) < BAND_LEAST:
        return False
    middle = quantile(sorted(earlier), 0.5)
    return abs(value - middle) > band_rel * middle


def is_noisy(doubtful: int, count: int) -> bool:
    """Whether so many of `count` kept blocks are doubtful that their median is."""
    return doubtful > NOISY_SHARE * count

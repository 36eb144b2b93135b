"""Interleaved rounds: every open workload one block a round, in fresh random order, so that drift hits all alike."""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from latency_tables.contract import Quality
from latency_tables.statistics import median_interval
from profiler_agent.measuring.stopping import StoppingRule, is_converged, is_noisy, leaves_band, next_look
from profiler_agent.measuring.trace import Doubt, Entry, Trace

# A band follows the machine: a neighbour who stays is the new normal after this many rounds.
BAND_ROUNDS = 20
MAX_REPEAT_SHARE = 0.25
MIN_REPEATS = 3


class Block(NamedTuple):
    """One sample: microseconds per execution, and what was seen meanwhile."""

    latency_us: float
    doubt: Doubt = Doubt.NONE


Take = Callable[[int], Block]
"""Takes one block in the process of this number."""


@dataclass(frozen=True)
class Result:
    """What the rounds know of one workload when it leaves them."""

    key: str
    samples_us: tuple[float, ...]
    quality: Quality


@dataclass(frozen=True)
class RoundReport:
    """How far the rounds are, after each of them."""

    number: int
    repeated: int
    open: int


@dataclass
class _State:
    samples_us: list[float] = field(default_factory=list)
    rejected: int = 0
    disturbed: int = 0
    doubtful: int = 0
    throttled: bool = False
    look_at: int = 0
    block_s: float = 1.0


class Rounds:
    """Measures `workloads` until each converged or reached a cap of `rule`; rounds take turns over `processes`.

    `references` are read in every round, at its end or, where `cadence` has them, after every so many blocks. A round
    in which the median of one of those in `watched` left ± `band_rel` of its recent values in the same process is
    thrown away and repeated there, at most a quarter of the rounds; a disturbed or throttled block is thrown away, at
    most `rule.max_rejected` a workload. What is kept beyond these bounds makes the result `noisy` or `throttled`. After
    `budget_s` nothing is thrown away any more, and a workload leaves as soon as it has `rule.min_blocks`.

    With `frugal`, once all have their least blocks, a round takes only the half of the open workloads for which a
    block narrows the sum's interval most for its time: a short budget is then spent where it matters.
    """

    def __init__(
        self,
        workloads: Mapping[str, Take],
        references: Mapping[str, Take],
        rule: StoppingRule,
        *,
        band_rel: float,
        watched: Collection[str] | None = None,
        cadence: Mapping[str, int] | None = None,
        seed: int,
        processes: int = 1,
        frugal: bool = False,
        budget_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workloads = workloads
        self._references = references
        self._rule = rule
        self._band_rel = band_rel
        self._cadence = cadence or {}
        self._random = random.Random(seed)
        self._budget_s = budget_s
        self._clock = clock
        self._states = {key: _State(look_at=max(rule.min_blocks, rule.first_look)) for key in workloads}
        self._processes = processes
        self._frugal = frugal
        self._bands: dict[tuple[str, int], list[float]] = {
            (name, process): [] for name in (references if watched is None else watched) for process in range(processes)
        }
        self._entries: list[Entry] = []
        self._number = 0
        self._repeated = 0

    def run(self) -> Iterator[list[Result] | RoundReport]:
        """Yield, after every round, the workloads that left and then how far the rounds are."""
        started = self._clock()
        open_keys = list(self._workloads)
        while open_keys:
            before = len(self._entries)
            in_band = self._round(self._wanted(open_keys), started)
            self._number += 1
            over = self._budget_s is not None and self._clock() - started > self._budget_s
            repeat = not in_band and not over and self._may_repeat()
            self._repeated += repeat
            for place in range(before, len(self._entries)):
                entry = self._entries[place]
                if entry.name in self._states and not self._keep(entry, in_band, repeat=repeat, may_reject=not over):
                    self._entries[place] = entry._replace(kept=False)
            left = [result for key in open_keys if (result := self._leave(key, over))]
            gone = {result.key for result in left}
            open_keys = [key for key in open_keys if key not in gone]
            if left:
                yield left
            yield RoundReport(self._number, self._repeated, len(open_keys))

    def trace(self) -> Trace:
        """Every block so far, thrown away or kept."""
        return Trace.of(tuple(self._workloads), tuple(self._references), self._entries)

    def _wanted(self, open_keys: list[str]) -> list[str]:
        states = self._states
        if not self._frugal or any(len(states[key].samples_us) < self._rule.min_blocks for key in open_keys):
            return open_keys

        def gain(key: str) -> float:
            interval = median_interval(sorted(states[key].samples_us))
            return interval.half_width / len(states[key].samples_us) / states[key].block_s

        return sorted(open_keys, key=gain, reverse=True)[: (len(open_keys) + 1) // 2]

    def _round(self, keys: list[str], started: float) -> bool:
        """One block of each; whether the references stayed in their bands."""
        process = (self._number - self._repeated) % self._processes
        readings: dict[str, list[float]] = {name: [] for name in self._references}
        for name in self._visits(keys):
            begun = self._clock()
            block = (self._workloads.get(name) or self._references[name])(process)
            ended = self._clock()
            self._entries.append(
                Entry(name, self._number, process, ended - started, block.latency_us, block.doubt, kept=True)
            )
            if name in self._states:
                self._states[name].block_s = max(ended - begun, 1e-9)
            else:
                readings[name].append(block.latency_us)
        in_band = True
        for name, taken in readings.items():
            band = self._bands.get((name, process))
            if band is None:
                continue
            middle = median(taken)
            in_band = in_band and not leaves_band(middle, band, self._band_rel)
            band.append(middle)
            del band[:-BAND_ROUNDS]
        return in_band

    def _visits(self, keys: list[str]) -> list[str]:
        """The workloads in fresh random order, each followed by the references whose turn it is; then the others."""
        visits = []
        for place, key in enumerate(self._random.sample(keys, len(keys))):
            visits.append(key)
            due = enumerate(self._cadence.items())
            visits += [name for number, (name, every) in due if (place + number) % every == 0]
        return visits + [name for name in self._references if name not in visits]

    def _may_repeat(self) -> bool:
        return self._repeated < max(MIN_REPEATS, MAX_REPEAT_SHARE * self._number)

    def _keep(self, entry: Entry, in_band: bool, *, repeat: bool, may_reject: bool) -> bool:
        state = self._states[entry.name]
        doubtful = entry.doubt is not Doubt.NONE
        disturbed = doubtful and may_reject and state.disturbed < self._rule.max_rejected
        if repeat or disturbed:
            state.rejected += 1
            state.disturbed += not repeat
            return False
        state.samples_us.append(entry.latency_us)
        state.doubtful += doubtful or not in_band
        state.throttled = state.throttled or entry.doubt is Doubt.THROTTLED
        return True

    def _leave(self, key: str, budget_is_over: bool) -> Result | None:
        state, rule = self._states[key], self._rule
        count = len(state.samples_us)
        if count < rule.min_blocks:
            return None
        capped = count >= rule.max_blocks or budget_is_over
        if count < state.look_at and not capped:
            return None
        converged = is_converged(state.samples_us, rule.target_rel)
        if not (converged or capped):
            state.look_at = next_look(count)
            return None
        return Result(
            key=key,
            samples_us=tuple(state.samples_us),
            quality=Quality(
                converged=converged,
                throttled=state.throttled,
                noisy=is_noisy(state.doubtful, count),
                rejected_blocks=state.rejected,
            ),
        )

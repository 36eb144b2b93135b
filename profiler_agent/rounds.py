"""Interleaved rounds: every open workload one block a round, in fresh random order, so that drift hits all alike."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from lut_server.schemas import Quality
from profiler_agent.stopping import StoppingRule, is_converged, is_noisy, leaves_band, next_look

# A band follows the machine: a neighbour who stays is the new normal after this many rounds.
BAND_ROUNDS = 20
MAX_REPEAT_SHARE = 0.25
MIN_REPEATS = 3


class Doubt(Enum):
    """What a monitor saw during a block."""

    NONE = "none"
    DISTURBED = "disturbed"
    THROTTLED = "throttled"


class Block(NamedTuple):
    """One sample: microseconds per execution, and what was seen meanwhile."""

    latency_us: float
    doubt: Doubt = Doubt.NONE


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
    doubtful: int = 0
    throttled: bool = False
    look_at: int = 0


class Rounds:
    """Measures `workloads` (key → take one block) until each converged or reached a cap of `rule`.

    `references` are measured in every round. A round in which one of them left ± `band_rel` of its recent
    median is thrown away and repeated, at most a quarter of the rounds; a disturbed or throttled block is thrown
    away, at most `rule.max_rejected` a workload. What is kept beyond these bounds makes the result
    `noisy` or `throttled`. After `budget_s` nothing is
    thrown away any more, and a workload leaves as soon as it has `rule.min_blocks`.
    """

    def __init__(
        self,
        workloads: Mapping[str, Callable[[], Block]],
        references: Mapping[str, Callable[[], Block]],
        rule: StoppingRule,
        *,
        band_rel: float,
        seed: int,
        budget_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workloads = workloads
        self._references = references
        self._rule = rule
        self._band_rel = band_rel
        self._random = random.Random(seed)
        self._budget_s = budget_s
        self._clock = clock
        self._states = {key: _State(look_at=rule.min_blocks) for key in workloads}
        self._bands: dict[str, list[float]] = {name: [] for name in references}
        self._number = 0
        self._repeated = 0

    def run(self) -> Iterator[list[Result] | RoundReport]:
        """Yield, after every round, the workloads that left and then how far the rounds are."""
        started = self._clock()
        open_keys = list(self._workloads)
        while open_keys:
            blocks, in_band = self._round(open_keys)
            self._number += 1
            over = self._budget_s is not None and self._clock() - started > self._budget_s
            if not in_band and not over and self._may_repeat():
                self._repeated += 1
                for key in blocks:
                    self._states[key].rejected += 1
            else:
                for key, block in blocks.items():
                    self._keep(self._states[key], block, in_band, may_reject=not over)
            left = [result for key in open_keys if (result := self._leave(key, over))]
            gone = {result.key for result in left}
            open_keys = [key for key in open_keys if key not in gone]
            if left:
                yield left
            yield RoundReport(self._number, self._repeated, len(open_keys))

    def _round(self, open_keys: list[str]) -> tuple[dict[str, Block], bool]:
        visits = [(key, self._workloads[key], False) for key in open_keys]
        visits += [(name, take, True) for name, take in self._references.items()]
        self._random.shuffle(visits)
        blocks: dict[str, Block] = {}
        in_band = True
        for name, take, is_reference in visits:
            block = take()
            if not is_reference:
                blocks[name] = block
                continue
            band = self._bands[name]
            in_band = in_band and not leaves_band(block.latency_us, band, self._band_rel)
            band.append(block.latency_us)
            del band[:-BAND_ROUNDS]
        return blocks, in_band

    def _may_repeat(self) -> bool:
        return self._repeated < max(MIN_REPEATS, MAX_REPEAT_SHARE * self._number)

    def _keep(self, state: _State, block: Block, in_band: bool, *, may_reject: bool) -> None:
        doubtful = block.doubt is not Doubt.NONE
        if doubtful and may_reject and state.rejected < self._rule.max_rejected:
            state.rejected += 1
            return
        state.samples_us.append(block.latency_us)
        state.doubtful += doubtful or not in_band
        state.throttled = state.throttled or block.doubt is Doubt.THROTTLED

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

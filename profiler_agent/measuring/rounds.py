"""Interleaved rounds: every open workload one block a round, in fresh random order, so that drift hits all alike."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from profiler_agent.doubt import Block
from profiler_agent.errors import Unmeasurable
from profiler_agent.measuring.policy import Policy, Result
from profiler_agent.measuring.trace import Entry, Trace

Take = Callable[[int], Block]
"""Takes one block in the process of this number."""


@dataclass(frozen=True)
class RoundReport:
    """How far the rounds are, after each of them; `share` counts the blocks of what is still open too."""

    number: int
    repeated: int
    open: int
    share: float


class Rounds:
    """Takes blocks of `workloads` as `policy` wants them, until it has closed all; rounds take turns over `processes`.

    `references` are read in every round, at its end or, where `cadence` has them, after every so many blocks. A
    workload whose block raises Unmeasurable leaves the rounds without a result; `failures` has the reasons by key.
    `spent_s` of the budget were spent before the first round.
    """

    def __init__(
        self,
        workloads: Mapping[str, Take],
        references: Mapping[str, Take],
        policy: Policy,
        *,
        cadence: Mapping[str, int] | None = None,
        seed: int,
        processes: int = 1,
        spent_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workloads = workloads
        self._references = references
        self._policy = policy
        self._cadence = cadence or {}
        self._random = random.Random(seed)
        self._processes = processes
        self._spent_s = spent_s
        self._clock = clock
        self._entries: list[Entry] = []
        self.failures: dict[str, str] = {}

    def run(self) -> Iterator[list[Result] | RoundReport]:
        """Yield, after every round, the workloads that left and then how far the rounds are."""
        policy = self._policy
        started_s = self._clock()
        while policy.open_keys:
            # A repeated round is taken in the process of the one that it replaces.
            process = (policy.rounds - policy.repeated) % self._processes
            first = len(self._entries)
            durations_s = self._take_round(policy.wants(), process, started_s)
            entries = self._entries[first:]
            readings: dict[str, list[float]] = {name: [] for name in self._references}
            for entry in entries:
                if entry.name in readings:
                    readings[entry.name].append(entry.latency_us)
            policy.end_round(process, readings, self._spent_s + self._clock() - started_s)
            for number, (entry, duration_s) in enumerate(zip(entries, durations_s, strict=True), start=first):
                if entry.name not in readings:
                    kept = policy.accepts(entry.name, Block(entry.latency_us, entry.doubt), duration_s)
                    self._entries[number] = entry._replace(kept=kept)
            results = policy.finish()
            if results:
                yield results
            share = policy.share(self._spent_s + self._clock() - started_s)
            yield RoundReport(policy.rounds, policy.repeated, len(policy.open_keys), share)

    def trace(self) -> Trace:
        """Every block so far, thrown away or kept."""
        return Trace.of(tuple(self._workloads), tuple(self._references), self._entries)

    def _take_round(self, keys: list[str], process: int, started_s: float) -> list[float]:
        """Append an entry for every block; how long each of them took, in seconds."""
        durations_s = []
        for name in self._visits(keys):
            begun_s = self._clock()
            try:
                block = (self._workloads.get(name) or self._references[name])(process)
            except Unmeasurable as error:
                if name not in self._workloads:
                    raise
                self.failures[name] = str(error)
                self._policy.drop(name)
                continue
            ended_s = self._clock()
            at_s = ended_s - started_s
            self._entries.append(
                Entry(name, self._policy.rounds, process, at_s, block.latency_us, block.doubt, kept=True)
            )
            durations_s.append(ended_s - begun_s)
        return durations_s

    def _visits(self, keys: list[str]) -> list[str]:
        """The workloads in fresh random order, each followed by the references whose turn it is; then the others."""
        visits = []
        for position, key in enumerate(self._random.sample(keys, len(keys))):
            visits.append(key)
            due = enumerate(self._cadence.items())
            visits += [name for number, (name, every) in due if (position + number) % every == 0]
        return visits + [name for name in self._references if name not in visits]

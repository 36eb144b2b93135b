"""Rounds over simulated workloads, with a simulated clock: order, caps, rejection, drift."""

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from latency_tables.statistics import median_interval
from profiler_agent.doubt import Block, Doubt
from profiler_agent.errors import Unmeasurable
from profiler_agent.measuring.policy import Policy, Result, StoppingRule
from profiler_agent.measuring.rounds import RoundReport, Rounds, Take

RULE = StoppingRule(target_rel=0.02, min_blocks=12, max_blocks=60, max_rejected=12, band_rel=0.1)


class Machine:
    """Simulated time: a block takes 10 ms; `slowness` is a factor of all latencies at a time."""

    def __init__(self, slowness: Callable[[float], float] = lambda _: 1.0) -> None:
        self.now_s = 0.0
        self.taken: list[str] = []
        self._slowness = slowness
        self._random = random.Random(0)

    def clock(self) -> float:
        return self.now_s

    def workload(
        self, key: str, latency_us: float = 100.0, noise: float = 0.001, doubt: Callable[[int], Doubt] | None = None
    ) -> Take:
        def take(process: int) -> Block:
            del process
            self.taken.append(key)
            self.now_s += 0.01
            value = latency_us * self._slowness(self.now_s) * self._random.gauss(1, noise)
            return Block(value, doubt(self.taken.count(key)) if doubt else Doubt.NONE)

        return take


def rounds_of(
    workloads: Mapping[str, Take],
    references: Mapping[str, Take] | None = None,
    rule: StoppingRule = RULE,
    *,
    watched: Sequence[str] | None = None,
    cadence: Mapping[str, int] | None = None,
    seed: int = 0,
    processes: int = 1,
    machine: Machine | None = None,
) -> Rounds:
    """Rounds in which, unless it is said otherwise, all references are watched; in the time of `machine`."""
    references = references or {}
    policy = Policy(rule, workloads, list(references) if watched is None else watched)
    clock = (machine or Machine()).clock
    return Rounds(workloads, references, policy, cadence=cadence, seed=seed, processes=processes, clock=clock)


def results(rounds: Rounds) -> tuple[dict[str, Result], list[RoundReport]]:
    left: dict[str, Result] = {}
    reports: list[RoundReport] = []
    for news in rounds.run():
        if isinstance(news, RoundReport):
            reports.append(news)
        else:
            left.update({result.key: result for result in news})
    return left, reports


def test_every_round_takes_each_workload_once_in_an_order_of_its_own_that_the_seed_repeats() -> None:
    def order(seed: int) -> list[str]:
        machine = Machine()
        keys = "abcdef"
        results(rounds_of({key: machine.workload(key) for key in keys}, seed=seed))
        return machine.taken

    taken = order(1)
    rounds = [tuple(taken[start : start + 6]) for start in range(0, len(taken), 6)]
    assert all(sorted(round) == list("abcdef") for round in rounds)
    assert len(set(rounds)) > 6
    assert order(1) == taken
    assert order(2) != taken


def test_the_quiet_leave_early_and_the_noisy_stay_to_the_cap() -> None:
    machine = Machine()
    left, _ = results(rounds_of({"quiet": machine.workload("quiet"), "noisy": machine.workload("noisy", noise=0.5)}))
    assert (len(left["quiet"].samples_us), left["quiet"].quality.converged) == (12, True)
    assert (len(left["noisy"].samples_us), left["noisy"].quality.converged) == (60, False)
    assert machine.taken.count("quiet") == 12


def test_a_budget_ends_the_rounds_but_never_below_the_least_blocks() -> None:
    for budget_s, blocks in ((0.001, 12), (0.3, 30)):
        machine = Machine()
        takes = {"noisy": machine.workload("noisy", noise=0.5)}
        left, _ = results(rounds_of(takes, rule=replace(RULE, budget_s=budget_s), machine=machine))
        assert abs(len(left["noisy"].samples_us) - blocks) <= 1
        assert not left["noisy"].quality.converged


def test_when_the_budget_is_over_nothing_is_thrown_away() -> None:
    machine = Machine()
    takes = {"a": machine.workload("a", doubt=lambda _: Doubt.DISTURBED)}
    left, reports = results(rounds_of(takes, rule=replace(RULE, budget_s=0.055), machine=machine))
    assert left["a"].quality.rejected_blocks == 5
    assert reports[-1].number == 5 + RULE.min_blocks
    assert left["a"].quality.noisy


def test_disturbed_blocks_are_thrown_away_and_counted() -> None:
    machine = Machine()

    def doubt(number: int) -> Doubt:
        return Doubt.DISTURBED if number % 4 == 0 else Doubt.NONE

    left, _ = results(rounds_of({"a": machine.workload("a", doubt=doubt)}))
    quality = left["a"].quality
    assert (len(left["a"].samples_us), quality.rejected_blocks, quality.noisy) == (12, 3, False)


def test_rejection_is_bounded_and_then_the_result_says_so() -> None:
    for doubt, noisy, throttled in ((Doubt.DISTURBED, True, False), (Doubt.THROTTLED, True, True)):
        machine = Machine()
        takes = {"a": machine.workload("a", doubt=lambda _, doubt=doubt: doubt)}  # type: ignore[misc]
        left, _ = results(rounds_of(takes))
        quality = left["a"].quality
        assert len(left["a"].samples_us) == 12
        assert quality.rejected_blocks == RULE.max_rejected
        assert (quality.noisy, quality.throttled) == (noisy, throttled)


def test_references_are_read_as_often_as_their_cadence_says_and_at_least_once_a_round() -> None:
    machine = Machine()
    references = {name: machine.workload(name) for name in ("often", "seldom", "once")}
    keys = {key: machine.workload(key) for key in "abcdefgh"}
    rounds = rounds_of(keys, references, replace(RULE, band_rel=1), cadence={"often": 1, "seldom": 4})
    _, reports = results(rounds)
    count = reports[-1].number
    assert [machine.taken.count(name) for name in references] == [8 * count, 2 * count, count]


def test_a_round_whose_reference_leaves_its_band_is_repeated() -> None:
    machine = Machine(lambda now_s: 1.5 if 0.105 < now_s < 0.145 else 1.0)
    rounds = rounds_of({"a": machine.workload("a")}, {"r": machine.workload("r")})
    left, reports = results(rounds)
    assert reports[-1].repeated == 2
    assert reports[-1].number == 14
    assert left["a"].quality.rejected_blocks == 2
    assert max(left["a"].samples_us) < 120


def test_repeated_rounds_leave_disturbed_blocks_their_own_bound() -> None:
    machine = Machine(lambda now_s: 1.5 if 0.105 < now_s < 0.145 else 1.0)

    def doubt(number: int) -> Doubt:
        return Doubt.DISTURBED if number in (11, 13, 15) else Doubt.NONE

    rule = replace(RULE, min_blocks=14, max_rejected=3)
    takes = {"a": machine.workload("a", doubt=doubt)}
    left, reports = results(rounds_of(takes, {"r": machine.workload("r")}, rule))
    assert reports[-1].repeated == 2
    assert (left["a"].quality.rejected_blocks, left["a"].quality.noisy) == (5, False)


def test_a_round_is_repeated_in_its_own_process_so_that_none_is_left_out() -> None:
    machine = Machine(lambda now_s: 1.5 if 0.205 < now_s < 0.225 else 1.0)
    references = {"r": machine.workload("r")}
    rounds = rounds_of({"a": machine.workload("a")}, references, processes=3)
    _, reports = results(rounds)
    assert reports[-1].repeated == 1
    trace = rounds.trace()
    processes = trace.process[(trace.name == 0) & trace.kept].tolist()
    assert processes == [0, 1, 2] * 4


def test_a_reference_that_is_not_watched_may_drift() -> None:
    machine = Machine(lambda now_s: 1.5 if 0.105 < now_s < 0.145 else 1.0)
    references = {"r": machine.workload("r")}
    rounds = rounds_of({"a": machine.workload("a")}, references, watched=())
    left, reports = results(rounds)
    assert reports[-1].repeated == 0
    assert not left["a"].quality.noisy
    assert max(left["a"].samples_us) > 120


def test_a_machine_that_never_settles_ends_all_the_same_and_is_called_noisy() -> None:
    slow = random.Random(0)
    machine = Machine(lambda _: slow.choice([1.0, 1.6]))
    rounds = rounds_of({"a": machine.workload("a")}, {"r": machine.workload("r")})
    left, reports = results(rounds)
    assert left["a"].quality.noisy
    assert len(left["a"].samples_us) <= RULE.max_blocks
    assert 0 < reports[-1].repeated <= 0.25 * reports[-1].number + 3


def test_drift_hits_all_alike_where_sequential_measuring_is_fooled() -> None:
    def drift(now_s: float) -> float:
        return 1 + 0.2 * math.sin(now_s / 6 * 2 * math.pi)

    keys = [f"w{number}" for number in range(20)]
    machine = Machine(drift)
    rule = StoppingRule(target_rel=0.0001, min_blocks=30, max_blocks=30, max_rejected=0, band_rel=1)
    left, _ = results(rounds_of({key: machine.workload(key) for key in keys}, rule=rule))
    interleaved = [median(left[key].samples_us) for key in keys]

    machine = Machine(drift)
    sequential = [median(take(0).latency_us for _ in range(30)) for take in map(machine.workload, keys)]

    def spread(values: list[float]) -> float:
        return (max(values) - min(values)) / median(values)

    assert spread(interleaved) < 0.5 * spread(sequential)


def test_intervals_cover_the_truth_under_a_drift_that_the_rounds_see_whole() -> None:
    covered = repeats = 0
    for seed in range(15):
        generator = random.Random(seed)
        phase = generator.uniform(0, 6)
        machine = Machine(lambda now_s, phase=phase: 1 + 0.03 * math.sin((now_s + phase) * 13))  # type: ignore[misc]
        keys = [f"w{number}" for number in range(20)]
        rounds = rounds_of({key: machine.workload(key, noise=0.01) for key in keys}, seed=seed)
        left, _ = results(rounds)
        for result in left.values():
            interval = median_interval(sorted(result.samples_us))
            repeats += 1
            covered += interval.low <= 100 <= interval.high
    assert covered / repeats >= 0.93


def test_nobody_leaves_as_converged_before_the_first_look() -> None:
    machine = Machine()
    rule = replace(RULE, first_look=30)
    left, _ = results(rounds_of({"quiet": machine.workload("quiet")}, rule=rule))
    assert len(left["quiet"].samples_us) == 30
    machine = Machine()
    takes = {"quiet": machine.workload("quiet")}
    left, _ = results(rounds_of(takes, rule=replace(rule, budget_s=0.05), machine=machine))
    assert (len(left["quiet"].samples_us), left["quiet"].quality.converged) == (12, True)


def test_a_workload_that_fails_leaves_the_rounds_and_the_others_go_on() -> None:
    machine = Machine()
    failing = machine.workload("failing")

    def take(process: int) -> Block:
        if machine.taken.count("failing") == 3:
            raise Unmeasurable("failing: memory is short")
        return failing(process)

    rounds = rounds_of({"failing": take, "good": machine.workload("good")})
    left, reports = results(rounds)
    assert set(left) == {"good"}
    assert rounds.failures == {"failing": "failing: memory is short"}
    assert reports[-1].open == 0


def test_equal_blocks_lead_to_the_decisions_that_method_warm_5_is_known_by() -> None:
    """The digest was taken before the policy became an object; who changes it changes METHOD_VERSION."""
    machine = Machine(lambda now_s: 1.3 if now_s % 3 > 2.8 else 1.0)

    def doubt(number: int) -> Doubt:
        return (Doubt.THROTTLED, Doubt.DISTURBED, *[Doubt.NONE] * 9)[number % 11]

    workloads = {f"w{n}": machine.workload(f"w{n}", 10.0**n, 0.01 * n, doubt) for n in range(6)}
    references = {name: machine.workload(name) for name in ("r0", "r1")}
    rule = replace(RULE, first_look=18, budget_s=8.0, frugal=True)
    rounds = rounds_of(
        workloads, references, rule, watched=["r0"], cadence={"r0": 3}, seed=7, processes=3, machine=machine
    )
    results(rounds)
    trace = rounds.trace()
    decisions = [
        f"{name}{process}{int(kept)}" for name, process, kept in zip(trace.name, trace.process, trace.kept, strict=True)
    ]
    assert hashlib.sha256(" ".join(decisions).encode()).hexdigest()[:16] == "27a63a9046f8e610"

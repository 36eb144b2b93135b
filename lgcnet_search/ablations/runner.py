"""All networks of an ablation, one after the other or several at once; what is finished is not repeated."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lgcnet_search.ablations.arms import Ablation, Arm
from lgcnet_search.ablations.network import Limits, OnProgress, Study, Trial, make
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import ALONE, Computing

OnOutcome = Callable[[Trial, Outcome], None]
OnTrialProgress = Callable[[Trial, str, float], None]


def trials_of(ablation: Ablation, seeds: int) -> list[Trial]:
    """Seeds outermost, so that an unfinished ablation has a network of every arm early. Raises ValueError."""
    if seeds < 1:
        raise ValueError(f"seeds: {seeds} is not at least 1")
    most = max(seeds, *(arm.at_least for arm in ablation.arms))
    return [Trial(arm, seed) for seed in range(most) for arm in ablation.arms if seed < max(seeds, arm.at_least)]


class Task(NamedTuple):
    """A network to be made: in which study, within which limits."""

    study: Study
    trial: Trial
    limits: Limits | None = None


def make_all(
    study: Study,
    trials: Sequence[Trial],
    computing: Computing = ALONE,
    *,
    engine: Engine | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: OnTrialProgress | None = None,
) -> list[Outcome]:
    """Make every network; those that depend on others' latency last. Outcomes are in the order of `trials`.

    Raises what `make_tasks` raises.
    """
    outcomes: dict[Trial, Outcome] = {}
    first = [trial for trial in trials if trial.arm.no_slower_than is None]
    last = [trial for trial in trials if trial.arm.no_slower_than is not None]
    for part in (first, last):
        tasks = [Task(study, trial, _limits(trial.arm, outcomes, study)) for trial in part]
        made = make_tasks(tasks, computing, engine=engine, on_outcome=on_outcome, on_progress=on_progress)
        outcomes.update(zip(part, made, strict=True))
    return [outcomes[trial] for trial in trials]


def make_tasks(
    tasks: Sequence[Task],
    computing: Computing = ALONE,
    *,
    engine: Engine | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: OnTrialProgress | None = None,
) -> list[Outcome]:
    """Make the network of every task; outcomes are in their order.

    The engine says where: by this process, with all threads, or by all of torchrun's processes together; or several at
    a time, each by a process of its own with one CPU thread, or by a worker of a cluster. Raises what `make` raises,
    once those under way have ended, and EngineError.
    """
    engine = engine or Engine()
    outcomes: dict[int, Outcome] = {}
    with engine.opened() as pool:
        ways = [(*task, computing, _progress_of(task.trial, on_progress) if pool.here else None) for task in tasks]
        for index, outcome in pool.run(make, ways):
            outcomes[index] = outcome
            if on_outcome:
                on_outcome(tasks[index].trial, outcome)
    return [outcomes[index] for index in range(len(tasks))]


def _limits(arm: Arm, outcomes: Mapping[Trial, Outcome], study: Study) -> Limits | None:
    if arm.fps_floor is not None:
        return Limits(1e6 * study.latencies.runtime.batch_size / arm.fps_floor)
    if arm.no_slower_than is None:
        return None
    return Limits(min(outcome.predicted_us for outcome in outcomes.values() if outcome.arm == arm.no_slower_than))


def _progress_of(trial: Trial, on_progress: OnTrialProgress | None) -> OnProgress | None:
    return (lambda stage, share: on_progress(trial, stage, share)) if on_progress else None

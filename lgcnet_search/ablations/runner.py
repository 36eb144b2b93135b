"""All networks of an ablation, one after the other or several at once; what is finished is not repeated."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import torch

from latency_tables.children import end_with_parent
from lgcnet_search.ablations.arms import Ablation, Arm
from lgcnet_search.ablations.network import OnProgress, Study, Trial, make
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.computing.how import ALONE, Computing

OnOutcome = Callable[[Trial, Outcome], None]
OnTrialProgress = Callable[[Trial, str, float], None]


def trials_of(ablation: Ablation, seeds: int) -> list[Trial]:
    """Seeds outermost, so that an unfinished ablation has a network of every arm early. Raises ValueError."""
    if seeds < 1:
        raise ValueError(f"seeds: {seeds} is not at least 1")
    most = max(seeds, *(arm.at_least for arm in ablation.arms))
    return [Trial(arm, seed) for seed in range(most) for arm in ablation.arms if seed < max(seeds, arm.at_least)]


def make_all(
    study: Study,
    trials: Sequence[Trial],
    computing: Computing = ALONE,
    *,
    at_once: int = 1,
    on_outcome: OnOutcome | None = None,
    on_progress: OnTrialProgress | None = None,
) -> list[Outcome]:
    """Make every network; those that depend on others' latency last. Outcomes are in the order of `trials`.

    `at_once` networks are made at a time, each by a process of its own with one CPU thread; 1: by this process, with
    all threads, or by all of torchrun's processes together. Raises what `make` raises, once those under way have ended.
    """
    outcomes: dict[Trial, Outcome] = {}

    def finish(trial: Trial, outcome: Outcome) -> None:
        outcomes[trial] = outcome
        if on_outcome:
            on_outcome(trial, outcome)

    first = [trial for trial in trials if trial.arm.no_slower_than is None]
    last = [trial for trial in trials if trial.arm.no_slower_than is not None]
    for part in (first, last):
        todo = [(trial, _ceiling_us(trial.arm, outcomes, study)) for trial in part]
        if at_once > 1:
            _make_at_once(todo, study, computing, at_once, finish)
        else:
            for trial, ceiling_us in todo:
                finish(trial, make(study, trial, ceiling_us, computing, _progress_of(trial, on_progress)))
    return [outcomes[trial] for trial in trials]


def _ceiling_us(arm: Arm, outcomes: dict[Trial, Outcome], study: Study) -> float | None:
    if arm.fps_floor is not None:
        return 1e6 * study.table.runtime.batch_size / arm.fps_floor
    if arm.no_slower_than is None:
        return None
    return min(outcome.predicted_us for outcome in outcomes.values() if outcome.arm == arm.no_slower_than)


def _progress_of(trial: Trial, on_progress: OnTrialProgress | None) -> OnProgress | None:
    return (lambda stage, share: on_progress(trial, stage, share)) if on_progress else None


def _make_at_once(
    todo: Sequence[tuple[Trial, float | None]], study: Study, computing: Computing, at_once: int, finish: OnOutcome
) -> None:
    # Spawned, not forked: this process may have torch threads running.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_one_thread) as pool:
        trials = {pool.submit(make, study, trial, ceiling_us, computing): trial for trial, ceiling_us in todo}
        try:
            for done in as_completed(trials):
                finish(trials[done], done.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    end_with_parent()
    torch.set_num_threads(1)

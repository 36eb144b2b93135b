"""All networks of an ablation, one after the other or several at once; what is finished is not done again."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import torch

from latency_tables.children import end_with_parent
from lgcnet_search.ablations.arms import Ablation, Arm
from lgcnet_search.ablations.network import OnProgress, Study, made
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.computing.processes import Processes


@dataclass(frozen=True)
class Run:
    """A network to be made: an arm with a seed."""

    arm: Arm
    seed: int

    def __str__(self) -> str:
        return f"{self.arm.name}, seed {self.seed}"


OnOutcome = Callable[[Run, Outcome], None]
OnRunProgress = Callable[[Run, str, float], None]


def runs_of(ablation: Ablation, seeds: int) -> list[Run]:
    """Seeds outermost, so that what is there after a while is one network of every arm. Raises ValueError."""
    if seeds < 1:
        raise ValueError(f"seeds: {seeds} given, at least 1 is needed")
    most = max(seeds, *(arm.at_least for arm in ablation.arms))
    return [Run(arm, seed) for seed in range(most) for arm in ablation.arms if seed < max(seeds, arm.at_least)]


def run_all(
    study: Study,
    runs: Sequence[Run],
    device: torch.device | str = "cpu",
    *,
    at_once: int = 1,
    processes: Processes | None = None,
    on_outcome: OnOutcome | None = None,
    on_progress: OnRunProgress | None = None,
) -> list[Outcome]:
    """Make every network; those that depend on others' latency last. Outcomes are in the order of `runs`.

    `at_once` networks are made at a time, each by a process of its own with one CPU thread; 1: by this process, with
    all threads, or by all of `processes` together. Raises what `made` raises, once those under way have ended.
    """
    found: dict[Run, Outcome] = {}

    def keep(run: Run, outcome: Outcome) -> None:
        found[run] = outcome
        if on_outcome:
            on_outcome(run, outcome)

    first = [run for run in runs if run.arm.no_slower_than is None]
    behind = [run for run in runs if run.arm.no_slower_than is not None]
    for part in (first, behind):
        todo = [(run, _ceiling_us(run.arm, found, study)) for run in part]
        if at_once > 1:
            _at_once(todo, study, device, at_once, keep)
        else:
            for run, ceiling_us in todo:
                keep(run, made(study, run.arm, run.seed, ceiling_us, device, processes, _of(run, on_progress)))
    return [found[run] for run in runs]


def _ceiling_us(arm: Arm, found: dict[Run, Outcome], study: Study) -> float | None:
    if arm.fps_floor is not None:
        return 1e6 * study.table.runtime.batch_size / arm.fps_floor
    if arm.no_slower_than is None:
        return None
    return min(outcome.predicted_us for run, outcome in found.items() if run.arm.name == arm.no_slower_than)


def _of(run: Run, on_progress: OnRunProgress | None) -> OnProgress | None:
    return (lambda what, share: on_progress(run, what, share)) if on_progress else None


def _at_once(
    todo: Sequence[tuple[Run, float | None]], study: Study, device: torch.device | str, at_once: int, keep: OnOutcome
) -> None:
    # Spawned, not forked: this process may have torch threads running.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_one_thread) as pool:
        runs = {pool.submit(made, study, run.arm, run.seed, ceiling, device): run for run, ceiling in todo}
        try:
            for done in as_completed(runs):
                keep(runs[done], done.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    end_with_parent()
    torch.set_num_threads(1)

"""One network of an ablation: searched or drawn, then trained and evaluated."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from lgcnet_search.ablations.arms import Arm
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.scale import OF_EVOLUTION, OF_GRADIENT, OF_SEARCHES, Scale
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution.choosing import search_by_gradient
from lgcnet_search.evolution.genetic import EvolutionSettings
from lgcnet_search.evolution.one_path import PathSettings
from lgcnet_search.evolution.searching import OnePathSupernet, search_by_evolution
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.search.search import SearchSettings
from lgcnet_search.search.targets import Target
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import DerivedNetwork, count_parameters, network_spec, seeded
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores
from lgcnet_search.training.phase import Phase, train_and_evaluate

SAVE_EVERY = 100
DRAWS = 1000
"""Networks within a ceiling that are drawn, at most, for one near it."""
SEEDS = 1_000_000
"""More than an ablation has."""

OnProgress = Callable[[str, float], None]
"""Called with the stage, and which share of it is done."""


@dataclass(frozen=True)
class Limits:
    """What a network's predicted latency may be, in microseconds; the lower one is for networks that are drawn."""

    at_most_us: float
    at_least_us: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A network of an ablation: an arm with a seed."""

    arm: Arm
    seed: int

    def __str__(self) -> str:
        return f"{self.arm.name}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """What all networks of an ablation have in common."""

    space: Space
    latencies: Latencies
    scale: Scale
    data: DataFolder
    out: Path
    supernets: Path | None = None
    """Where those of evolution are kept; None: in `out`."""

    def folder(self, trial: Trial) -> Path:
        return self.out / trial.arm.name / f"seed{trial.seed}"

    def supernet(self, trial: Trial) -> OnePathSupernet:
        """That which evolution searches with this seed; one serves every ceiling."""
        scale, space = self.scale, trial.arm.space(self.space)
        return OnePathSupernet(
            space,
            scale.proxy(space),
            self.data,
            scale.search_batch,
            PathSettings(scale.supernet_steps, trial.seed, weight_lr=scale.weight_lr),
            (self.supernets or self.out / "supernets") / f"seed{trial.seed}",
        )

    def origin(self, trial: Trial, limits: Limits | None, computing: Computing) -> dict[str, Any]:
        """What an outcome follows from."""
        arm = trial.arm
        parts = {"space": asdict(self.space), "scale": asdict(self.scale), "arm": asdict(arm)}
        without = {"label", "paper", "at_least"}
        if arm.drawn or arm.method == "evolution":
            without |= {"guide", "guide_dimension", "shared_cells", "beta", *OF_GRADIENT}
        if arm.drawn or arm.method == "gradient":
            without |= {*OF_EVOLUTION}
        if arm.drawn:
            without |= {"method", *OF_SEARCHES}
        return {
            "seed": trial.seed,
            "at_most_us": limits and limits.at_most_us,
            "at_least_us": limits and limits.at_least_us,
            "latencies": self.latencies.digest,
            "definition": space_digest(),
            "data": str(self.data.root),
            "amp": computing.amp,
            **{
                f"{part}.{name}": value
                for part, values in parts.items()
                for name, value in values.items()
                if name not in without
            },
        }


def make(
    study: Study,
    trial: Trial,
    limits: Limits | None = None,
    computing: Computing = ALONE,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Search or draw a network, train and evaluate it; what an earlier run finished of that is not repeated.

    The predicted latency of a drawn network is within `limits`, that of a searched one at most the upper one. Raises
    what search, training and data raise, TooFast and CeilingTooLow where no network is so fast, CheckpointError where
    the folder holds something else.
    """
    arm, processes = trial.arm, computing.processes
    on_progress = on_progress or _ignore
    folder = study.folder(trial)
    origin = study.origin(trial, limits, computing)
    finished = processes.from_first(Outcome.load(folder, origin) if processes.first else None)
    if finished:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    latencies = study.latencies
    genotype = (
        _draw(arm.space(study.space), latencies, trial.seed, limits)
        if arm.drawn
        else _evolve(study, trial, latencies, limits, computing, on_progress)
        if arm.method == "evolution"
        else _search(study, trial, latencies, limits, computing, on_progress)
    )
    scores = _train(study, trial, genotype, computing, on_progress) if arm.trained else None
    outcome = Outcome(
        arm=arm.name,
        seed=trial.seed,
        genotype=json.loads(genotype.to_json()),
        predicted_us=latencies.network_us(network_spec(genotype)),
        batch_size=study.latencies.runtime.batch_size,
        parameters=count_parameters(genotype.space.graph.derive(genotype.choices)),
        miou=scores.miou if scores else None,
        class_iou=scores.iou if scores else {},
    )
    if processes.first:
        outcome.save(folder, origin)
        for path in folder.glob("*.pt"):
            path.unlink()
    return outcome


def _ignore(_stage: str, _share: float) -> None:
    pass


def _draw(space: Space, latencies: Latencies, seed: int, limits: Limits | None) -> Genotype:
    """A random network within the limits; a seed draws it again. Raises TooFast."""
    if limits is None:
        return RandomSearch(space, latencies).draw(seed)
    drawing = RandomSearch(space, latencies)
    for number in range(DRAWS):
        genotype = drawing.draw(seed + number * SEEDS, limits.at_most_us)
        if latencies.network_us(network_spec(genotype)) >= limits.at_least_us:
            return genotype
    raise TooFast(
        f"none of {DRAWS} random networks takes from {limits.at_least_us / 1000:.4g} to "
        f"{limits.at_most_us / 1000:.4g} ms; take another ceiling"
    )


def _evolve(
    study: Study,
    trial: Trial,
    latencies: Latencies,
    limits: Limits | None,
    computing: Computing,
    on_progress: OnProgress,
) -> Genotype:
    scale, supernet = study.scale, study.supernet(trial)
    supernet.train(
        computing,
        SAVE_EVERY,
        on_step=lambda record: on_progress("training the supernet", (record.step + 1) / scale.supernet_steps),
    )
    settings = EvolutionSettings(
        scale.generations, scale.population, limits.at_most_us if limits else None, seed=trial.seed
    )
    done = count(1)
    return search_by_evolution(
        supernet,
        latencies,
        settings,
        study.folder(trial),
        computing,
        on_network=lambda: on_progress("evolving", next(done) / (scale.generations * scale.population)),
    ).best.genotype


def settings_of(study: Study, trial: Trial, limits: Limits | None) -> SearchSettings:
    """How an arm is searched by gradient."""
    scale, arm = study.scale, trial.arm
    return SearchSettings(
        steps=scale.search_steps,
        seed=trial.seed,
        sampling=scale.sampling,
        alpha_lr=scale.alpha_lr,
        weight_lr=scale.weight_lr,
        ceiling_us=limits.at_most_us if limits else None,
        guide=arm.guide,
        guide_dimension=arm.guide_dimension,
        shared_cells=arm.shared_cells,
    )


def _search(
    study: Study,
    trial: Trial,
    latencies: Latencies,
    limits: Limits | None,
    computing: Computing,
    on_progress: OnProgress,
) -> Genotype:
    scale, arm, space = study.scale, trial.arm, trial.arm.space(study.space)
    result = search_by_gradient(
        Target(latencies, arm.beta, study.folder(trial)),
        space,
        scale.proxy(space),
        study.data,
        scale.search_batch,
        settings_of(study, trial, limits),
        scale.draws,
        computing,
        SAVE_EVERY,
        on_step=lambda record: on_progress("searching", (record.step + 1) / scale.search_steps),
        on_network=lambda done: on_progress("choosing", done / scale.draws),
    )
    return result.genotype


def _train(study: Study, trial: Trial, genotype: Genotype, computing: Computing, on_progress: OnProgress) -> Scores:
    """Train from scratch on random crops, evaluate whole pictures; every network of a study alike."""
    scale, data = study.scale, study.data
    height, width = scale.train_crop
    space = replace(genotype.space, height=height, width=width, channels=scale.train_channels)
    with seeded(trial.seed):
        network = DerivedNetwork(genotype.at(space))
    phase = Phase(
        "training",
        data.crops("train", scale.train_crop, scale.input_size, trial.seed),
        scale.train_batch,
        scale.schedule,
        scale.loss,
        trial.seed,
        Checkpoints(
            study.folder(trial) / "train.pt", SAVE_EVERY, f"{data.root}, {scale.train_batch} images in an update"
        ),
    )
    return train_and_evaluate(
        network,
        [phase],
        scale.input_size,
        data.whole("train", scale.input_size, full_labels=False),
        data.whole(data.layout.held_out, scale.input_size),
        computing,
        {
            "genotype": network.genotype.to_json(),  # with crop and channels
            "input_size": "{}x{}".format(*scale.input_size),
        },
        on_step=lambda phase, record: on_progress(phase.name, (record.step + 1) / phase.schedule.steps),
        on_trained=lambda *_: on_progress("evaluating", 0.0),
    )

"""One network of an ablation: searched or drawn, then trained and evaluated."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latency_tables.contract import LatencyTable
from lgcnet_search.ablations.arms import Arm
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.scale import Scale
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.losses import LOSSES
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchSettings
from lgcnet_search.search.targets import Target
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import DerivedNetwork, count_parameters, network_spec, seeded
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores
from lgcnet_search.training.phase import Phase, train_and_evaluate
from lgcnet_search.training.train import Schedule

SAVE_EVERY = 100

OnProgress = Callable[[str, float], None]
"""Called with the stage, and which share of it is done."""


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
    table: LatencyTable
    scale: Scale
    data: DataFolder
    out: Path

    def folder(self, trial: Trial) -> Path:
        return self.out / trial.arm.name / f"seed{trial.seed}"

    def origin(self, trial: Trial, ceiling_us: float | None, computing: Computing) -> dict[str, Any]:
        """What an outcome follows from."""
        parts = {"space": asdict(self.space), "scale": asdict(self.scale), "arm": asdict(trial.arm)}
        described = ("label", "paper", "at_least")
        return {
            "seed": trial.seed,
            "ceiling_us": ceiling_us,
            "table": self.table.digest,
            "definition": space_digest(),
            "data": str(self.data.root),
            "amp": computing.amp,
            **{
                f"{part}.{name}": value
                for part, values in parts.items()
                for name, value in values.items()
                if name not in described
            },
        }


def make(
    study: Study,
    trial: Trial,
    ceiling_us: float | None = None,
    computing: Computing = ALONE,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Search or draw a network, train and evaluate it; what an earlier run finished of that is not repeated.

    A drawn network's predicted latency is at most `ceiling_us`. Raises what search, training and data raise, TooFast
    where no network is within the ceiling, CheckpointError where the folder holds something else.
    """
    arm, processes = trial.arm, computing.processes
    on_progress = on_progress or _ignore
    folder = study.folder(trial)
    origin = study.origin(trial, ceiling_us, computing)
    finished = processes.from_first(Outcome.load(folder, origin) if processes.first else None)
    if finished:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    latencies = Latencies(study.table)
    genotype = (
        RandomSearch(arm.space(study.space), latencies).draw(trial.seed, ceiling_us or float("inf"))
        if arm.drawn
        else _search(study, trial, latencies, computing, on_progress)
    )
    scores = _train(study, trial, genotype, computing, on_progress) if arm.trained else None
    outcome = Outcome(
        arm=arm.name,
        seed=trial.seed,
        genotype=json.loads(genotype.to_json()),
        predicted_us=latencies.network_us(network_spec(genotype)),
        batch_size=study.table.runtime.batch_size,
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


def _search(
    study: Study, trial: Trial, latencies: Latencies, computing: Computing, on_progress: OnProgress
) -> Genotype:
    scale, arm, space = study.scale, trial.arm, trial.arm.space(study.space)
    settings = SearchSettings(
        steps=scale.search_steps,
        seed=trial.seed,
        sampling=scale.sampling,
        alpha_lr=scale.alpha_lr,
        guide=arm.guide,
        guide_dimension=arm.guide_dimension,
        shared_cells=arm.shared_cells,
    )
    return (
        Target(latencies, arm.beta, study.folder(trial))
        .search(
            space,
            replace(space, height=scale.crop[0], width=scale.crop[1], channels=scale.proxy_channels),
            study.data,
            scale.search_batch,
            settings,
            computing,
            SAVE_EVERY,
            on_step=lambda record: on_progress("searching", (record.step + 1) / scale.search_steps),
        )
        .genotype
    )


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
        Schedule(scale.train_steps, scale.learning_rate),
        LOSSES["hard-examples"],
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

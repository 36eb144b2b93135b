"""One network of an ablation: searched or drawn, then trained and evaluated."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from latency_tables.contract import LatencyTable
from lgcnet_search.ablations.arms import Arm
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.scale import Scale
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.processes import Processes
from lgcnet_search.data.loading import shares
from lgcnet_search.data.sources import Labelled, search_data
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchSettings, search
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import DerivedNetwork, count_parameters, network_spec, seeded
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores, evaluate
from lgcnet_search.training.recalibrate import whole_network
from lgcnet_search.training.train import Schedule, train

SAVE_EVERY = 100

OnProgress = Callable[[str, float], None]
"""Called with what is done, and which share of it is."""


@dataclass(frozen=True)
class Study:
    """What all networks of an ablation have in common; `data` is a folder in the layout of Cityscapes."""

    space: Space
    table: LatencyTable
    scale: Scale
    data: Path
    out: Path
    workers: int = 0

    def folder(self, arm: Arm, seed: int) -> Path:
        return self.out / arm.name / f"seed{seed}"

    def origin(self, arm: Arm, seed: int, ceiling_us: float | None) -> dict[str, Any]:
        """What an outcome follows from."""
        parts = {"space": asdict(self.space), "scale": asdict(self.scale), "arm": asdict(arm)}
        described = ("label", "paper", "at_least")
        return {
            "seed": seed,
            "ceiling_us": ceiling_us,
            "table": self.table.digest,
            "definition": space_digest(),
            "data": str(self.data),
            **{
                f"{part}.{name}": value
                for part, values in parts.items()
                for name, value in values.items()
                if name not in described
            },
        }


def made(
    study: Study,
    arm: Arm,
    seed: int,
    ceiling_us: float | None = None,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Search or draw a network, train and evaluate it; what an earlier run finished of that is not done again.

    A drawn network's predicted latency is at most `ceiling_us`. Raises what search, training and data raise, TooFast
    where no network is within the ceiling, CheckpointError where the folder holds something else.
    """
    processes = processes or Processes()
    on_progress = on_progress or _unseen
    folder = study.folder(arm, seed)
    origin = study.origin(arm, seed, ceiling_us)
    there = processes.from_first(Outcome.load(folder, origin) if processes.first else None)
    if there:
        return there
    folder.mkdir(parents=True, exist_ok=True)
    genotype = (
        RandomSearch(arm.space(study.space), Latencies(study.table)).draw(seed, ceiling_us or float("inf"))
        if arm.drawn
        else _searched(study, arm, seed, torch.device(device), processes, on_progress)
    )
    scores = (
        _trained(study, genotype, folder, seed, torch.device(device), processes, on_progress) if arm.trained else None
    )
    outcome = Outcome(
        arm=arm.name,
        seed=seed,
        genotype=json.loads(genotype.to_json()),
        predicted_us=Latencies(study.table).network_us(network_spec(genotype)),
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


def _unseen(_what: str, _share: float) -> None:
    """Nobody follows."""


def _searched(
    study: Study, arm: Arm, seed: int, device: torch.device, processes: Processes, on_progress: OnProgress
) -> Genotype:
    scale, space = study.scale, arm.space(study.space)
    proxy = replace(space, height=scale.crop[0], width=scale.crop[1], channels=scale.proxy_channels)
    settings = SearchSettings(
        steps=scale.search_steps,
        beta=arm.beta,
        seed=seed,
        sampling=scale.sampling,
        alpha_lr=scale.alpha_lr,
        guide=arm.guide,
        guide_dimension=arm.guide_dimension,
        shared_cells=arm.shared_cells,
        amp=scale.amp,
    )
    pictures = search_data(study.data, space, proxy, seed)
    share = scale.search_batch // processes.count
    result = search(
        space,
        proxy,
        Latencies(study.table),
        shares(pictures, share, seed=seed, workers=study.workers, processes=processes),
        settings,
        device,
        lambda record: on_progress("searching", (record.step + 1) / scale.search_steps),
        processes=processes,
        checkpoints=Checkpoints(
            study.folder(arm, seed) / "search.pt", SAVE_EVERY, f"{study.data}, {scale.search_batch} images in an update"
        ),
    )
    return result.genotype


def _trained(
    study: Study,
    genotype: Genotype,
    folder: Path,
    seed: int,
    device: torch.device,
    processes: Processes,
    on_progress: OnProgress,
) -> Scores:
    """Train from scratch on random crops, evaluate whole pictures; every network of a study alike."""
    scale = study.scale
    learned = replace(
        genotype.space, height=scale.train_crop[0], width=scale.train_crop[1], channels=scale.train_channels
    )
    with seeded(seed):
        network = DerivedNetwork(genotype.at(learned))
    data = Labelled(study.data)
    pictures = data.training("train", scale.train_crop, scale.input_size, seed)
    share = scale.train_batch // processes.count
    train(
        network,
        shares(pictures, share, seed=seed, workers=study.workers, processes=processes),
        Schedule(scale.train_steps, scale.learning_rate),
        device=device,
        amp=scale.amp,
        processes=processes,
        checkpoints=Checkpoints(
            folder / "train.pt", SAVE_EVERY, f"{study.data}, {scale.train_batch} images in an update"
        ),
        origin={
            "genotype": network.genotype.to_json(),  # with crop and channels
            "input_size": "{}x{}".format(*scale.input_size),
            "seed": seed,
        },
        on_step=lambda record: on_progress("training", (record.step + 1) / scale.train_steps),
    )
    uncut = data.evaluation("train", scale.input_size, full_labels=False)
    whole = whole_network(
        network, uncut, scale.input_size, scale.train_batch, seed=seed, workers=study.workers, device=device
    )
    on_progress("evaluating", 0.0)
    return evaluate(
        whole,
        data.evaluation("val", scale.input_size),
        device,
        amp=scale.amp,
        workers=study.workers,
        processes=processes,
    )

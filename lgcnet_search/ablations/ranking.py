"""Does a supernet rank? Networks by its weights against the same ones trained alone, while it is trained."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latency_tables.contract import canonical_json
from latency_tables.kendall import kendall_tau
from latency_tables.statistics import Interval
from lgcnet_search.ablations.arms import Arm
from lgcnet_search.ablations.network import SAVE_EVERY, Study, Trial, settings_of
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.run import Record, Run, resume
from lgcnet_search.data.loading import shares
from lgcnet_search.errors import Refused
from lgcnet_search.evolution.judging import Judge, save_supernet
from lgcnet_search.evolution.one_path import OnePathRun
from lgcnet_search.evolution.pictures import trained_on
from lgcnet_search.plots.ranks import RankPanel, ranks
from lgcnet_search.search.search import SearchRun
from lgcnet_search.search.supernet import Supernet

LEAST = 24
"""Fewer networks say too little."""
RESAMPLES = 2000
STAGES = {"start": 0.0, "middle": 0.5, "end": 1.0}
"""Shares of a search's steps after which its weights are kept."""


class Tau(NamedTuple):
    """Kendall's τ-b with its 95 % interval."""

    tau: float
    interval: Interval


@dataclass(frozen=True)
class Ranking:
    """Networks trained alone (`alone`, mIoU), and their mIoU with inherited weights by stage of the search."""

    outcomes: tuple[Outcome, ...]
    inherited: Mapping[str, tuple[float, ...]]

    @property
    def alone(self) -> tuple[float, ...]:
        return tuple(one.miou or 0.0 for one in self.outcomes)

    def taus(self) -> dict[str, Tau]:
        """τ by stage."""
        return {stage: tau_of(values, self.alone) for stage, values in self.inherited.items()}


def trained_networks(path: Path) -> list[Outcome]:
    """The trained networks of an ablation's NAME.json, each once. Raises Refused."""
    try:
        listed = json.loads(path.read_text("utf-8"))["networks"]
        outcomes = [Outcome(**{name: one[name] for name in Outcome.__dataclass_fields__}) for one in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"networks: {path} is no ablation's NAME.json ({error}); give one that ablate wrote") from error
    return list({canonical_json(one.genotype): one for one in outcomes if one.miou is not None}.values())


def rank(
    study: Study,
    trial: Trial,
    outcomes: Sequence[Outcome],
    computing: Computing = ALONE,
    *,
    engine: Engine | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_network: Callable[[], None] | None = None,
) -> Ranking:
    """Train the supernet as the arm of `trial` does, and judge the networks of `outcomes` by it at every stage.

    The supernet's pictures are those of evolution: one in five of the training split is held back to judge by. Its
    weights are kept in the trial's folder; a search that was stopped goes on. Raises what searches and data raise,
    Refused for fewer than 24 networks.
    """
    if len(outcomes) < LEAST:
        raise Refused(f"networks: {len(outcomes)} trained ones, at least {LEAST} are needed to say whether they rank")
    genotypes = [one.architecture for one in outcomes]
    inherited = {}
    engine = engine or Engine()
    with engine.opened() as pool:
        if engine.cluster:
            ((_, files),) = pool.run(_stages, [(study, trial, computing, None)])
        else:
            files = _stages(study, trial, computing, on_step)
        for stage, path in files.items():
            judge = Judge(path, study.scale.proxy(study.space), study.data, study.scale.search_batch, trial.seed)
            inherited[stage] = tuple(judge.mious(genotypes, computing, pool, on_network))
    return Ranking(tuple(outcomes), inherited)


def tau_of(x: Sequence[float], y: Sequence[float]) -> Tau:
    """τ-b of two lists of accuracies, 0 where one is constant; percentile bootstrap over the networks."""
    generator = np.random.default_rng(0)
    a, b = np.asarray(x), np.asarray(y)
    draws = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(a), len(a))
        draws.append(kendall_tau(a[drawn].tolist(), b[drawn].tolist()) or 0.0)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Tau(kendall_tau(x, y) or 0.0, Interval(float(low), float(high)))


def write_ranking(study: Study, arm: Arm, ranking: Ranking) -> list[Path]:
    """Write rank.md, rank.json and rank.png; returns their paths."""
    text, everything, picture = (study.out / f"rank.{suffix}" for suffix in ("md", "json", "png"))
    text.write_text(markdown(arm, ranking), "utf-8")
    content = {
        "supernet": arm.name,
        "scale": asdict(study.scale),
        "data": str(study.data.root),
        "taus": {stage: {"tau": tau.tau, "interval": tau.interval} for stage, tau in ranking.taus().items()},
        "networks": [
            {"genotype": one.genotype, "miou": one.miou, **{stage: ranking.inherited[stage][index] for stage in STAGES}}
            for index, one in enumerate(ranking.outcomes)
        ],
    }
    everything.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    alone = [100 * value for value in ranking.alone]
    panels = [
        RankPanel(
            f"{stage}: τ {tau.tau:.2f} ({tau.interval.low:.2f} to {tau.interval.high:.2f})",
            [100 * value for value in ranking.inherited[stage]],
            alone,
        )
        for stage, tau in ranking.taus().items()
    ]
    return [text, everything, ranks(panels, picture, f"Does the supernet rank? {arm.label}")]


def markdown(arm: Arm, ranking: Ranking) -> str:
    """The table as text."""
    lines = [
        f"Kendall's τ of {len(ranking.outcomes)} networks, mIoU with the weights of the supernet ({arm.label}) against "
        "mIoU trained alone:",
        "",
        "| stage of the search | τ | 95 % interval | mIoU with inherited weights (%) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for stage, tau in ranking.taus().items():
        values = 100 * np.array(ranking.inherited[stage])
        lines.append(
            f"| {stage} | {tau.tau:.2f} | {tau.interval.low:.2f} to {tau.interval.high:.2f} | "
            f"{values.mean():.1f} ± {values.std(ddof=1):.1f} |"
        )
    return "\n".join(lines) + "\n"


def _stages(
    study: Study, trial: Trial, computing: Computing, on_step: Callable[[int, int], None] | None
) -> dict[str, Path]:
    """Train the supernet; its weights by stage, in files."""
    folder, space = study.folder(trial), study.space
    proxy = study.scale.proxy(space)
    folder.mkdir(parents=True, exist_ok=True)
    files = {stage: folder / f"supernet-{stage}.pt" for stage in STAGES}
    if files["end"].exists():
        return files
    training = _Training(study, trial, files, computing, on_step)
    if trial.arm.method == "evolution":
        paths = OnePathRun(proxy, study.supernet(trial).settings, computing)
        training.take(paths, paths.supernet)
    else:
        settings = replace(settings_of(study, trial, None), beta=trial.arm.beta)
        search = SearchRun(space, proxy, study.latencies, settings, computing)
        training.take(search, search.supernet)
    return files


@dataclass(frozen=True)
class _Training:
    """A supernet's training that leaves its weights in the file of each stage."""

    study: Study
    trial: Trial
    files: Mapping[str, Path]
    computing: Computing
    on_step: Callable[[int, int], None] | None

    def take(self, run: Run[Record], supernet: Supernet) -> None:
        """All steps, or those that are left."""
        study, scale = self.study, self.study.scale
        at = {round(share * run.steps): self.files[stage] for stage, share in STAGES.items()}

        def keep(steps_done: int) -> None:
            if steps_done in at and self.computing.processes.first:
                save_supernet(supernet, at[steps_done])
            if self.on_step:
                self.on_step(steps_done, run.steps)

        if not self.files["start"].exists():
            keep(0)
        crops = trained_on(study.data, study.space, scale.proxy(study.space), self.trial.seed)
        resume(
            run,
            shares(crops, scale.search_batch, self.trial.seed, self.computing),
            Checkpoints(
                study.folder(self.trial) / "search.pt",
                SAVE_EVERY,
                f"{study.data.root}, {scale.search_batch} images in an update",
            ),
            lambda record: keep(record.step + 1),
        )

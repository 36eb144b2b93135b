"""What the comparison at equal latency leaves: a table and a section, every network, the picture of both clouds."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np

from latency_tables.statistics import Interval
from lgcnet_search.ablations.arms import Ablation
from lgcnet_search.ablations.equal_latency import FEWEST, RESAMPLES, WITHIN, Advantage, Level, advantage, mious
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.tables import described, piped, settings
from lgcnet_search.plots.clouds import Cloud, Panel, accuracy_clouds
from lgcnet_search.search.findings import candidates_per_cell, light_share


def write_levels(ablation: Ablation, study: Study, levels: Sequence[Level]) -> list[Path]:
    """Write NAME.md, NAME.csv, NAME.json and NAME.png; returns their paths."""
    text, table, everything, picture = (
        study.out / f"{ablation.name}.{suffix}" for suffix in ("md", "csv", "json", "png")
    )
    text.write_text(section(ablation, study, levels), "utf-8")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("ceiling", "arm", "seed", "predicted_ms", "miou_percent", "parameters"))
        writer.writerows(
            (level.ceiling.name, one.arm, one.seed, one.predicted_us / 1000, 100 * (one.miou or 0), one.parameters)
            for level in levels
            for one in _all(level)
        )
    content = {
        **described(ablation, study),
        "within": WITHIN,
        "ceilings": {level.ceiling.name: asdict(level.ceiling) for level in levels},
        "advantages": {
            level.ceiling.name: {name: ahead._asdict() if ahead else None for name, ahead in _ahead(level).items()}
            for level in levels
        },
        "networks": [{"ceiling": level.ceiling.name, **asdict(one)} for level in levels for one in _all(level)],
    }
    everything.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return [text, table, everything, draw(ablation, levels, picture)]


def section(ablation: Ablation, study: Study, levels: Sequence[Level]) -> str:
    """The settings, a row for each kind of network at each ceiling, and the picture, as Markdown."""
    return "\n\n".join(
        (
            f"## {ablation.title}",
            settings(study),
            f"Latencies are equal within {WITHIN:.0%}. Advantage: mIoU less that of random networks as fast, mean over "
            f"the found ones, with the 95 % interval of {RESAMPLES} bootstrap samples of both.",
            markdown(ablation, levels).rstrip(),
            "What the networks are made of: how many of the candidates a cell has, and the share of its edges that are "
            "zero, skip or pooling, by output stride.",
            structure(ablation, levels).rstrip(),
            f"![Accuracy against predicted latency]({ablation.name}.png)\n",
        )
    )


def markdown(ablation: Ablation, levels: Sequence[Level]) -> str:
    """The table as text."""
    rows = [
        ("ceiling", "networks", "number", "latency (ms)", "mIoU (%)", "advantage (points)", "95 % interval"),
        ("---", "---", *["---:"] * 5),
    ]
    labels = {arm.name: arm.label for arm in ablation.arms}
    for level in levels:
        ahead = _ahead(level)
        for name, outcomes in _clouds(level):
            own = ahead.get(name)
            rows.append(
                (
                    str(level.ceiling),
                    labels[name],
                    str(len(outcomes)),
                    _spread([one.predicted_us / 1000 for one in outcomes]),
                    _spread(mious(outcomes)),
                    f"{own.points:+.1f}" if own else "–",
                    f"{own.interval.low:+.1f} to {own.interval.high:+.1f}" if own and own.interval else "–",
                )
            )
    return piped(rows)


def structure(ablation: Ablation, levels: Sequence[Level]) -> str:
    """What the networks of each kind are made of, as text."""
    labels = {arm.name: arm.label for arm in ablation.arms}
    kinds = [
        (str(level.ceiling), labels[name], [one.architecture for one in outcomes])
        for level in levels
        for name, outcomes in _clouds(level)
    ]
    strides = sorted({stride for *_, genotypes in kinds for one in genotypes for stride in light_share(one)})
    rows = [
        ("ceiling", "networks", "candidates a cell", *(f"light, stride {stride}" for stride in strides)),
        ("---", "---", "---:", *["---:"] * len(strides)),
    ]
    for ceiling, label, genotypes in kinds:
        light = [np.mean([light_share(one)[stride] for one in genotypes]) for stride in strides]
        different = _spread([candidates_per_cell(one) for one in genotypes])
        rows.append((ceiling, label, different, *(f"{share:.0%}" for share in light)))
    return piped(rows)


def draw(ablation: Ablation, levels: Sequence[Level], path: Path) -> Path:
    """Accuracy against latency at each ceiling."""
    labels = {arm.name: arm.label for arm in ablation.arms}
    panels = [
        Panel(
            str(level.ceiling),
            tuple(
                Cloud(
                    labels[name],
                    tuple((one.predicted_us / 1000, 100 * (one.miou or 0)) for one in outcomes),
                    float(np.mean(mious(outcomes))),
                    _interval(mious(outcomes)),
                )
                for name, outcomes in _clouds(level)
            ),
        )
        for level in levels
    ]
    return accuracy_clouds(panels, path, ablation.title)


def _clouds(level: Level) -> list[tuple[str, tuple[Outcome, ...]]]:
    return [*level.found.items(), (level.drawn, level.random)]


def _all(level: Level) -> list[Outcome]:
    return list(chain.from_iterable(outcomes for _, outcomes in _clouds(level)))


def _ahead(level: Level) -> dict[str, Advantage | None]:
    return {name: advantage(found, level.random) for name, found in level.found.items()}


def _interval(values: Sequence[float]) -> Interval | None:
    """Of the mean, by the bootstrap; none of fewer than five values."""
    if len(values) < FEWEST:
        return None
    samples = np.random.default_rng(0).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.quantile(samples.mean(axis=1), (0.025, 0.975))
    return Interval(float(low), float(high))


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"

"""An ablation's table in the paper's form: Markdown, CSV and JSON, with mean and spread over seeds."""

import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lgcnet_search.ablations.arms import Ablation, Arm, Printed
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.data.views import Size
from lgcnet_search.plots.charts import AccuracyPoint, accuracy_against_latency


class Spread(NamedTuple):
    """Mean and sample standard deviation; one value has none."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Row:
    """An arm over its seeds. mIoU is in percent, None where networks were not trained."""

    label: str
    arm: str
    networks: int
    miou_percent: Spread | None
    fps: Spread
    latency_ms: Spread
    parameters_m: Spread
    paper: Printed

    @classmethod
    def of(cls, arm: Arm, outcomes: Sequence[Outcome]) -> "Row":
        accuracies = [100 * outcome.miou for outcome in outcomes if outcome.miou is not None]
        return cls(
            label=arm.label,
            arm=arm.name,
            networks=len(outcomes),
            miou_percent=Spread.of(accuracies) if accuracies else None,
            fps=Spread.of([outcome.fps for outcome in outcomes]),
            latency_ms=Spread.of([outcome.predicted_us / 1000 for outcome in outcomes]),
            parameters_m=Spread.of([outcome.parameters / 1e6 for outcome in outcomes]),
            paper=arm.paper,
        )


def rows_of(ablation: Ablation, outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each arm that has outcomes, in the paper's order."""
    by_arm = [(arm, [outcome for outcome in outcomes if outcome.arm == arm.name]) for arm in ablation.arms]
    return [Row.of(arm, own) for arm, own in by_arm if own]


def markdown(ablation: Ablation, rows: Sequence[Row]) -> str:
    """The table as text; latency and FPS are the sums of the latency table, ± is the standard deviation over seeds."""
    printed = any(row.paper != Printed() for row in rows)
    head = [ablation.column, "mIoU (%)", "Params (M)", "latency (ms)", "FPS", "networks"]
    if printed:
        head += ["paper: mIoU (%)", "paper: FPS"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        cells = [
            row.label,
            _text(row.miou_percent, 1),
            _text(row.parameters_m, 2),
            _text(row.latency_ms, 2),
            _text(row.fps, 1 if row.fps.mean >= 10 else 3),
            str(row.networks),
        ]
        if printed:
            paper = row.paper
            cells += [_printed(paper.miou_percent, paper.miou_spread), _printed(paper.fps, paper.fps_spread)]
        lines.append(cells)
    return piped(lines)


def piped(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: its head, the alignment of its columns, its rows."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def described(ablation: Ablation, study: Study) -> dict[str, Any]:
    """What the networks of an ablation have in common, for its JSON."""
    return {
        "ablation": ablation.name,
        "title": ablation.title,
        "device": study.latencies.device.name,
        "runtime": study.latencies.runtime.model_dump(mode="json"),
        **study.latencies.origin,
        "space": asdict(study.space),
        "scale": asdict(study.scale),
        "data": str(study.data.root),
    }


def settings(study: Study) -> str:
    """On which device, at which scale and on which data a table was made, and what its columns are of."""
    scale, latencies = study.scale, study.latencies
    networks = len(latencies.intervals)
    inside = f", inside a network as {networks} measured ones tell" if networks else ""
    return (
        f"Latency and FPS are predicted from the table of {latencies.device.name} "
        f"({latencies.runtime}) at {study.space.height}×{study.space.width}{inside}. "
        f"Searches on {study.data.root.name}: {scale.search_steps} steps of {scale.search_batch} crops of "
        f"{_size(scale.crop)} with {scale.proxy_channels} channels, {scale.sampling} sampling. Every network is then "
        f"trained from scratch, no ImageNet pretraining, all alike: {scale.train_steps} steps of {scale.train_batch} "
        f"crops of {_size(scale.train_crop)} of pictures at {_size(scale.input_size)}"
        f"{' by AdamW' if scale.adamw else ''}, and evaluated on the "
        f"{study.data.layout.held_out} split, which was not trained on. Params, latency: {study.space.channels} "
        f"channels; mIoU: {scale.train_channels} channels. ± is the standard deviation over seeds."
    )


def write_tables(ablation: Ablation, study: Study, outcomes: Sequence[Outcome]) -> list[Path]:
    """Write NAME.md, NAME.csv, NAME.json and, where networks were trained, NAME.png; returns their paths."""
    rows = rows_of(ablation, outcomes)
    base = study.out / ablation.name
    markdown_path, csv_path, json_path = (
        base.with_name(f"{ablation.name}.{suffix}") for suffix in ("md", "csv", "json")
    )
    markdown_path.write_text(f"{ablation.title}\n\n{settings(study)}\n\n{markdown(ablation, rows)}", "utf-8")
    with csv_path.open("w", newline="", encoding="utf-8") as file:
        records = [_record(row) for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    content = {
        **described(ablation, study),
        "rows": [_record(row) for row in rows],
        "networks": [asdict(outcome) for outcome in outcomes],
    }
    json_path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return [markdown_path, csv_path, json_path, *draw(ablation, study, outcomes)]


def draw(ablation: Ablation, study: Study, outcomes: Sequence[Outcome]) -> list[Path]:
    """mIoU over predicted latency: the means of a sweep over β joined by a line (Fig. 7), else every network."""
    sweep = {arm.name: f"β = {arm.beta:g}" for arm in ablation.arms if arm.sweep}
    points = []
    for row in rows_of(ablation, outcomes):
        if row.miou_percent is None:
            continue
        if row.arm in sweep:
            points.append(AccuracyPoint(sweep[row.arm], row.latency_ms.mean, row.miou_percent.mean, "β sweep"))
        else:
            points += [
                AccuracyPoint("", outcome.predicted_us / 1000, 100 * outcome.miou, row.label)
                for outcome in outcomes
                if outcome.arm == row.arm and outcome.miou is not None
            ]
    if not points:
        return []
    path = study.out / f"{ablation.name}.png"
    return [accuracy_against_latency(points, path, ablation.title, sweeps={"β sweep"})]


def _record(row: Row) -> dict[str, str | int | float | None]:
    """One line of the CSV."""
    record: dict[str, str | int | float | None] = {"arm": row.arm, "label": row.label, "networks": row.networks}
    for name in ("miou_percent", "fps", "latency_ms", "parameters_m"):
        spread = getattr(row, name)
        record[f"{name}_mean"] = spread.mean if spread else None
        record[f"{name}_sd"] = spread.deviation if spread else None
    return record | {f"paper_{name}": value for name, value in asdict(row.paper).items()}


def _size(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _text(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "–"
    return f"{spread.mean:.{digits}f}" + (f" ± {spread.deviation:.{digits}f}" if spread.deviation is not None else "")


def _printed(value: float | None, spread: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")

"""What a search leaves in its folder: the genotype, where it came from, and pictures of both."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from latency_tables.contract import LatencyTable
from latency_tables.latencies import IN_WORDS, basis_of
from latency_tables.plain_text import moment
from lgcnet_search.errors import Refused
from lgcnet_search.plots.charts import heatmap_cells, latency_heatmap, search_curves
from lgcnet_search.plots.networks import fusion_cell, searched_cells
from lgcnet_search.search.findings import DRAWN, Findings, candidates_per_cell, constant_cells, light_share
from lgcnet_search.search.search import SearchResult
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies, TransferLatencies

HISTORY = "history.json"
GENOTYPE = "genotype.json"
COURSE = ("cross_entropy", "latency_us", "temperature", "entropy")


class ResultError(Refused):
    """A folder that holds no result of a search; the message says what to give."""


def write_result(result: SearchResult, latencies: Latencies, found: Findings, out: Path) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings, findings, every step."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / GENOTYPE
    genotype.write_text(json.dumps(result.genotype.to_dict(), indent=1) + "\n", "utf-8")
    (out / HISTORY).write_text(json.dumps(_described(result, latencies, found), indent=1) + "\n", "utf-8")
    return genotype


def _described(result: SearchResult, latencies: Latencies, found: Findings) -> dict[str, Any]:
    return {
        "device": latencies.device.name,
        "runtime": latencies.runtime.model_dump(mode="json"),
        **latencies.origin,
        "latencies_digest": result.latencies_digest,
        "space_digest": space_digest(),
        "predicted_us": result.predicted_us,
        "findings": found.to_dict(),
        "most_entropy": fmean(math.log(len(edge.candidates)) for edge in result.genotype.space.graph.edges),
        "settings": {**asdict(result.settings), "warm_up_steps": result.settings.warm_up_steps},
        "proxy": asdict(result.proxy),
        "judged": [{"miou": network.miou, "predicted_us": network.predicted_us} for network in result.judged],
        "history": [asdict(record) for record in result.history],
    }


def draw_genotype(
    genotype: Genotype,
    out: Path,
    title: str = "",
    suffix: str = "png",
    *,
    undecided: Collection[str] = (),
    fused: Collection[str] = (),
) -> list[Path]:
    """Draw the cells and, where there is one, the fusion cell (Figs. 8 to 11); returns the pictures' paths.

    Below the title stand how many candidates a cell has and where the light ones are; edges that the search left
    `undecided` have a question mark, those in `fused`, which a library executed in one kernel with other operations,
    are boxed, and a cell whose output is constant says so.
    """
    light = ", ".join(f"{share:.0%} at stride {stride}" for stride, share in light_share(genotype).items())
    summary = f"{candidates_per_cell(genotype):.1f} different candidates a cell; zero, skip and pooling: {light}"
    cells = "\n".join(filter(None, (title, summary)))
    marks = {"undecided": undecided, "fused": fused}
    path, constant = out / f"cells.{suffix}", constant_cells(genotype)
    pictures = [searched_cells(genotype.choices, path, cells, constant=constant, **marks)]
    if genotype.space.aggregation == "dense":
        pictures.append(fusion_cell(genotype.choices, out / f"fusion.{suffix}", title, **marks))
    return pictures


def draw_table(table: LatencyTable, out: Path) -> Path:
    """Draw table.png, the heat map of a table: what operations take alone."""
    doubtful = sum(not row.quality.sound for row in table.rows)
    title = (
        f"{table.device.name}, {table.runtime}, {moment(table.created_at)}\n"
        f"{IN_WORDS[basis_of(table)]} of each operation alone; {doubtful} of {len(table.rows)} doubtful"
    )
    return latency_heatmap(heatmap_cells(table), out / "table.png", title)


def title_of(genotype: Path) -> str:
    """A title for the pictures of a genotype's file: its path, and what the search beside it predicts."""
    try:
        described = json.loads((genotype.parent / HISTORY).read_text("utf-8"))
        return f"{genotype}; {_title(described, None)}" if genotype.name == GENOTYPE else str(genotype)
    except (OSError, ValueError, KeyError, TypeError):
        return str(genotype)


def draw_result(
    result: SearchResult, latencies: Latencies, found: Findings, out: Path, measured_us: float | None = None
) -> list[Path]:
    """Draw cells, fusion cell, the search's course and the table it used, if any; returns the pictures' paths."""
    out.mkdir(parents=True, exist_ok=True)
    described = _described(result, latencies, found)
    return [
        *draw_genotype(result.genotype, out, _title(described, measured_us), undecided=found.undecided),
        _draw_course(described, out, measured_us),
        *([] if isinstance(latencies, TransferLatencies) else [draw_table(latencies.table, out)]),
    ]


def draw_written(folder: Path, measured_us: float | None = None) -> list[Path]:
    """Draw again what `write_result` left in a folder, now with a measured latency; returns the pictures' paths.

    Raises ResultError, GenotypeError, OSError.
    """
    path = folder / HISTORY
    genotype = Genotype.load(folder / GENOTYPE)
    try:
        described = json.loads(path.read_text("utf-8"))
        title, undecided = _title(described, measured_us), described["findings"]["undecided"]
        return [
            *draw_genotype(genotype, folder, title, undecided=undecided),
            _draw_course(described, folder, measured_us),
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path} is none of a search ({error!r}); give a folder that search wrote") from error


def _title(described: Mapping[str, Any], measured_us: float | None) -> str:
    title = f"{described['device']}: {described['predicted_us'] / 1000:.2f} ms predicted"
    return title if measured_us is None else f"{title}, {measured_us / 1000:.2f} ms measured, at quiet speed"


def _draw_course(described: Mapping[str, Any], out: Path, measured_us: float | None) -> Path:
    settings, history = described["settings"], described["history"]
    levels = {
        "predicted": described["predicted_us"],
        "measured": measured_us,
        "ceiling": settings["ceiling_us"],
    }
    place = f"slower than {described['findings']['latency_percentile']:.0%} of {DRAWN} random networks"
    table = described.get("table_id")
    source = f"table {table}" if table else f"transfer {described['transfer_id']}"
    about = f"β {settings['beta']:g}, {settings['steps']} steps, {source}; {place}"
    return search_curves(
        out / "search.png",
        **{name: [record[name] for record in history] for name in COURSE},
        title=f"{_title(described, measured_us)}\n{about}",
        levels_us={name: value for name, value in levels.items() if value is not None},
        held=settings["warm_up_steps"],
        most_entropy=described.get("most_entropy"),
    )

"""What a search leaves in its folder: the genotype, where it came from, and pictures of both."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from latency_tables.contract import LatencyTable
from lgcnet_search.plots.charts import heatmap_cells, latency_heatmap, search_curves
from lgcnet_search.plots.networks import fusion_cell, searched_cells
from lgcnet_search.search.findings import RANDOM_NETWORKS, Findings, candidates_per_cell, constant_cells, light_share
from lgcnet_search.search.search import SearchResult
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies


def write_result(result: SearchResult, latencies: Latencies, found: Findings, out: Path) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings, findings, every step."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / "genotype.json"
    genotype.write_text(json.dumps(result.genotype.to_dict(), indent=1) + "\n", "utf-8")
    table, calibration = latencies.table, latencies.calibration
    origin = {
        "device": table.device.name,
        "runtime": table.runtime.model_dump(mode="json"),
        "table_id": str(table.id),
        "table_digest": table.digest,
        "calibration_id": None if calibration is None else str(calibration.id),
        "latencies_digest": result.latencies_digest,
        "space_digest": space_digest(),
        "predicted_us": result.predicted_us,
        "findings": found.to_dict(),
        "settings": asdict(result.settings),
        "proxy": asdict(result.proxy),
        "history": [asdict(record) for record in result.history],
    }
    (out / "history.json").write_text(json.dumps(origin, indent=1) + "\n", "utf-8")
    return genotype


def draw_genotype(
    genotype: Genotype, out: Path, title: str = "", suffix: str = "png", undecided: Collection[str] = ()
) -> list[Path]:
    """Draw the cells and, where there is one, the fusion cell (Figs. 8 to 11); returns the pictures' paths.

    Below the title stand how many candidates a cell has and where the light ones are; edges that the search left
    `undecided` have a question mark, and a cell whose output is constant says so.
    """
    light = ", ".join(f"{share:.0%} at stride {stride}" for stride, share in light_share(genotype).items())
    summary = f"{candidates_per_cell(genotype):.1f} different candidates a cell; zero, skip and pooling: {light}"
    cells = "\n".join(filter(None, (title, summary)))
    pictures = [
        searched_cells(genotype.choices, out / f"cells.{suffix}", cells, undecided, constant_cells(genotype)),
    ]
    if genotype.space.aggregation == "dense":
        pictures.append(fusion_cell(genotype.choices, out / f"fusion.{suffix}", title, undecided))
    return pictures


def draw_table(table: LatencyTable, out: Path) -> Path:
    """Draw table.png, the heat map of a table."""
    return latency_heatmap(heatmap_cells(table), out / "table.png", f"{table.device.name}, median latency")


def draw_result(
    result: SearchResult, latencies: Latencies, found: Findings, out: Path, measured_us: float | None = None
) -> list[Path]:
    """Draw cells, fusion cell, the search's course and the table it used; returns the pictures' paths."""
    out.mkdir(parents=True, exist_ok=True)
    table = latencies.table
    title = f"{table.device.name}: {result.predicted_us / 1000:.2f} ms predicted"
    if measured_us is not None:
        title += f", {measured_us / 1000:.2f} ms measured"
    settings = result.settings
    levels = {"predicted": result.predicted_us, "measured": measured_us, "ceiling": settings.ceiling_us}
    about = f"β {settings.beta:g}, {settings.steps} steps, table {table.id}"
    place = f"slower than {found.latency_percentile:.0%} of {RANDOM_NETWORKS} random networks"
    return [
        *draw_genotype(result.genotype, out, title, undecided=found.undecided),
        search_curves(
            out / "search.png",
            cross_entropy=[record.cross_entropy for record in result.history],
            latency_us=[record.latency_us for record in result.history],
            temperature=[record.temperature for record in result.history],
            entropy=[record.entropy for record in result.history],
            title=f"{title}\n{about}; {place}",
            levels_us={name: value for name, value in levels.items() if value is not None},
            held=settings.warm_up_steps,
        ),
        draw_table(table, out),
    ]

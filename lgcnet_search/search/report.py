"""What a search leaves in its folder: the genotype, where it came from, and pictures of both."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from latency_tables.contract import LatencyTable
from lgcnet_search.plots.charts import heatmap_cells, latency_heatmap, search_curves
from lgcnet_search.plots.networks import fusion_cell, searched_cells
from lgcnet_search.search.search import SearchResult
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies, TransferLatencies


def write_result(result: SearchResult, latencies: Latencies, out: Path) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings and every step."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / "genotype.json"
    genotype.write_text(json.dumps(result.genotype.to_dict(), indent=1) + "\n", "utf-8")
    origin = {
        "device": latencies.device.name,
        "runtime": latencies.runtime.model_dump(mode="json"),
        **latencies.origin,
        "latencies_digest": result.latencies_digest,
        "space_digest": space_digest(),
        "predicted_us": result.predicted_us,
        "settings": asdict(result.settings),
        "proxy": asdict(result.proxy),
        "history": [asdict(record) for record in result.history],
    }
    (out / "history.json").write_text(json.dumps(origin, indent=1) + "\n", "utf-8")
    return genotype


def draw_genotype(
    genotype: Genotype, out: Path, title: str = "", suffix: str = "png", fused: Collection[str] = frozenset()
) -> list[Path]:
    """Draw the cells and, where there is one, the fusion cell (Figs. 8 to 11); returns the pictures' paths.

    The edges in `fused`, which a library executed in one kernel with other operations, are marked.
    """
    pictures = [searched_cells(genotype.choices, out / f"cells.{suffix}", title, fused)]
    if genotype.space.aggregation == "dense":
        pictures.append(fusion_cell(genotype.choices, out / f"fusion.{suffix}", title, fused))
    return pictures


def draw_table(table: LatencyTable, out: Path) -> Path:
    """Draw table.png, the heat map of a table."""
    return latency_heatmap(heatmap_cells(table), out / "table.png", f"{table.device.name}, median latency")


def draw_result(result: SearchResult, latencies: Latencies, out: Path) -> list[Path]:
    """Draw cells, fusion cell, the search's course and the table it used, if any; returns the pictures' paths."""
    out.mkdir(parents=True, exist_ok=True)
    name = latencies.device.name
    title = f"{name}: {result.predicted_us / 1000:.2f} ms predicted"
    return [
        *draw_genotype(result.genotype, out, title),
        search_curves(
            out / "search.png",
            cross_entropy=[record.cross_entropy for record in result.history],
            latency_us=[record.latency_us for record in result.history],
            temperature=[record.temperature for record in result.history],
            entropy=[record.entropy for record in result.history],
            title=f"search for {name}",
        ),
        *([] if isinstance(latencies, TransferLatencies) else [draw_table(latencies.table, out)]),
    ]

"""What a search leaves in its folder: the genotype, where it came from, and pictures of both."""

import json
from dataclasses import asdict
from pathlib import Path

from lgcnet_search import plots
from lgcnet_search.digest import space_digest
from lgcnet_search.search import SearchResult
from lut_server.schemas import LatencyTable


def write_result(result: SearchResult, table: LatencyTable, out: Path) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings and every step."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / "genotype.json"
    genotype.write_text(json.dumps(result.genotype.to_dict(), indent=1) + "\n", "utf-8")
    origin = {
        "device": table.device.name,
        "runtime": table.runtime.model_dump(mode="json"),
        "table_id": str(table.id),
        "table_digest": result.table_digest,
        "space_digest": space_digest(),
        "predicted_us": result.predicted_us,
        "settings": asdict(result.settings),
        "proxy": asdict(result.proxy),
        "history": [asdict(record) for record in result.history],
    }
    (out / "history.json").write_text(json.dumps(origin, indent=1) + "\n", "utf-8")
    return genotype


def draw_result(result: SearchResult, table: LatencyTable, out: Path) -> list[Path]:
    """Draw cells, fusion cell, the search's course and the table it used; returns the pictures' paths."""
    out.mkdir(parents=True, exist_ok=True)
    choices = result.genotype.choices
    title = f"{table.device.name}: {result.predicted_us / 1000:.2f} ms predicted"
    return [
        plots.searched_cells(choices, out / "cells.png", title),
        plots.fusion_cell(choices, out / "fusion.png", title),
        plots.search_curves(
            out / "search.png",
            cross_entropy=[record.cross_entropy for record in result.history],
            latency_us=[record.latency_us for record in result.history],
            temperature=[record.temperature for record in result.history],
            entropy=[record.entropy for record in result.history],
            title=f"search for {table.device.name}",
        ),
        plots.latency_heatmap(plots.heatmap_cells(table), out / "table.png", f"{table.device.name}, median latency"),
    ]

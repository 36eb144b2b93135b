"""What an evolution leaves in its folder: the genotype, every network that was evaluated, and pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lgcnet_search.evolution.genetic import EvolutionSettings, Evolved, front_of
from lgcnet_search.evolution.searching import EvolutionResult, OnePathSupernet
from lgcnet_search.plots.generations import EvolvedPoint, generations
from lgcnet_search.search.findings import candidates_per_cell, constant_cells, latency_percentile, light_share
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.report import draw_genotype, draw_table
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.latencies import Latencies


def write_evolution(
    result: EvolutionResult,
    supernet: OnePathSupernet,
    settings: EvolutionSettings,
    latencies: Latencies,
    out: Path,
) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings and every network."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / "genotype.json"
    genotype.write_text(json.dumps(result.best.genotype.to_dict(), indent=1) + "\n", "utf-8")
    table, calibration = latencies.table, latencies.calibration
    content = {
        "method": "evolution",
        "device": table.device.name,
        "runtime": table.runtime.model_dump(mode="json"),
        "table_id": str(table.id),
        "table_digest": table.digest,
        "calibration_id": None if calibration is None else str(calibration.id),
        "latencies_digest": latencies.digest,
        "space_digest": space_digest(),
        "predicted_us": result.best.predicted_us,
        "inherited_miou": result.best.miou,
        "candidates_per_cell": candidates_per_cell(result.best.genotype),
        "light_share": light_share(result.best.genotype),
        "latency_percentile": latency_percentile(RandomSearch(supernet.space, latencies), result.best.predicted_us),
        "constant_cells": constant_cells(result.best.genotype),
        "settings": {"evolution": asdict(settings), "supernet": asdict(supernet.settings)},
        "proxy": asdict(supernet.proxy),
        "front": _records(front_of(result.evolved)),
        "history": _records(result.evolved),
    }
    (out / "history.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return genotype


def draw_evolution(result: EvolutionResult, settings: EvolutionSettings, latencies: Latencies, out: Path) -> list[Path]:
    """Draw cells, fusion cell, the networks by generation and the table; returns the pictures' paths."""
    name = latencies.table.device.name
    points = [EvolvedPoint(one.predicted_us / 1000, 100 * one.miou, one.generation) for one in result.evolved]
    return [
        *draw_genotype(result.best.genotype, out, f"{name}: {result.best.predicted_us / 1000:.2f} ms predicted"),
        generations(
            points,
            (result.best.predicted_us / 1000, 100 * result.best.miou),
            out / "evolution.png",
            ceiling_ms=None if settings.ceiling_us is None else settings.ceiling_us / 1000,
            title=f"evolution for {name}",
        ),
        draw_table(latencies.table, out),
    ]


def _records(networks: Sequence[Evolved]) -> list[dict[str, object]]:
    return [
        {
            "generation": one.generation,
            "miou": one.miou,
            "predicted_us": one.predicted_us,
            "cells": one.genotype.cells,
            "fusion": one.genotype.fusion,
        }
        for one in networks
    ]

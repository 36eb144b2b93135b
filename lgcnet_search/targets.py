"""Several targets of one space: every device with every weight of the latency loss, each in a folder of its own."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lgcnet_search.network import count_parameters
from lgcnet_search.search import SearchResult
from lut_server.schemas import LatencyTable

CHECKPOINT = "search.pt"


@dataclass(frozen=True)
class Target:
    """A search to be made: for the device of `table`, with `beta`, in `folder`."""

    table: LatencyTable
    beta: float
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT


@dataclass(frozen=True)
class Found:
    """A line of the summary."""

    folder: str
    device: str
    runtime: str
    beta: float
    predicted_us: float
    parameters: int
    cross_entropy: float
    """Mean over the last tenth of the steps."""

    @classmethod
    def of(cls, target: Target, result: SearchResult) -> "Found":
        last = result.history[-max(1, len(result.history) // 10) :]
        return cls(
            folder=str(target.folder),
            device=target.table.device.name,
            runtime=f"{target.table.runtime.mode} {target.table.runtime.precision}",
            beta=target.beta,
            predicted_us=result.predicted_us,
            parameters=count_parameters(result.genotype.space.graph.derive(result.genotype.choices)),
            cross_entropy=sum(record.cross_entropy for record in last) / len(last),
        )


def targets(tables: Sequence[LatencyTable], betas: Sequence[float], out: Path) -> list[Target]:
    """Every table with every β; `out` itself is the folder of a single target."""
    if len(tables) * len(betas) == 1:
        return [Target(tables[0], betas[0], out)]
    names = [re.sub(r"[^a-z0-9]+", "-", table.device.name.lower()).strip("-") for table in tables]
    for index, table in enumerate(tables):
        if names.count(names[index]) > 1:
            names[index] += f"-{re.sub(r'[^A-Za-z0-9]+', '-', table.device.uuid)}"
    return [
        Target(table, beta, out / f"{name}-beta{beta:g}")
        for table, name in zip(tables, names, strict=True)
        for beta in betas
    ]


def write_summary(found: Sequence[Found], out: Path) -> Path:
    """Write summary.json, one object for each target."""
    path = out / "summary.json"
    path.write_text(json.dumps([asdict(line) for line in found], indent=1) + "\n", "utf-8")
    return path

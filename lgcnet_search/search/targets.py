"""Several targets of one space: every device with every weight of the latency loss, each in a folder of its own."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lgcnet_search.search.search import SearchResult
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import count_parameters

CHECKPOINT = "search.pt"


@dataclass(frozen=True)
class Target:
    """A search to be made: for a device by its `latencies`, with `beta`, in `folder`."""

    latencies: Latencies
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
        table = target.latencies.table
        return cls(
            folder=str(target.folder),
            device=table.device.name,
            runtime=str(table.runtime),
            beta=target.beta,
            predicted_us=result.predicted_us,
            parameters=count_parameters(result.genotype.space.graph.derive(result.genotype.choices)),
            cross_entropy=sum(record.cross_entropy for record in last) / len(last),
        )


def targets(devices: Sequence[Latencies], betas: Sequence[float], out: Path) -> list[Target]:
    """Every device with every β; `out` itself is the folder of a single target."""
    if len(devices) * len(betas) == 1:
        return [Target(devices[0], betas[0], out)]
    tables = [latencies.table for latencies in devices]
    names = [re.sub(r"[^a-z0-9]+", "-", table.device.name.lower()).strip("-") for table in tables]
    devices_of = Counter(names)
    for index, table in enumerate(tables):
        if devices_of[names[index]] > 1:
            names[index] += f"-{re.sub(r'[^A-Za-z0-9]+', '-', table.device.uuid)}"
    return [
        Target(latencies, beta, out / f"{name}-beta{beta:g}")
        for latencies, name in zip(devices, names, strict=True)
        for beta in betas
    ]


def write_summary(found: Sequence[Found], out: Path) -> Path:
    """Write summary.json, one object for each target."""
    path = out / "summary.json"
    path.write_text(json.dumps([asdict(line) for line in found], indent=1) + "\n", "utf-8")
    return path

"""Several targets of one space: every device with every weight of the latency loss, each in a folder of its own."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.loading import shares
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.search.architecture import Architecture
from lgcnet_search.search.search import SearchResult, SearchSettings, StepRecord, search
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import count_parameters
from lgcnet_search.space.space import Space

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

    def search(
        self,
        space: Space,
        proxy: Space,
        data: DataFolder,
        batch: int,
        settings: SearchSettings,
        computing: Computing,
        save_every: int,
        *,
        on_step: Callable[[StepRecord], None] | None = None,
        on_architecture: Callable[[int, Architecture], None] | None = None,
        crops: SegmentationFiles | None = None,
    ) -> SearchResult:
        """Search on crops of a folder's pictures, `batch` in an update, from the checkpoint where there is one.

        `crops` are of some of its training pictures; None: of all.
        Raises what `search` raises, DataError, and ValueError for a batch that the processes cannot share.
        """
        crops = crops or data.search_crops(space, proxy, settings.seed)
        return search(
            space,
            proxy,
            self.latencies,
            shares(crops, batch, settings.seed, computing),
            replace(settings, beta=self.beta),
            computing,
            on_step,
            checkpoints=Checkpoints(
                self.checkpoint, save_every, f"{len(crops)} pictures of {data.root}, {batch} images in an update"
            ),
            on_architecture=on_architecture,
        )

    def summary(self, result: SearchResult) -> dict[str, Any]:
        """A line of the summary; `cross_entropy` is the mean over the last tenth of the steps."""
        last = result.history[-max(1, len(result.history) // 10) :]
        return {
            "folder": str(self.folder),
            "device": self.latencies.device.name,
            "runtime": str(self.latencies.runtime),
            "beta": self.beta,
            "predicted_us": result.predicted_us,
            "parameters": count_parameters(result.genotype.space.graph.derive(result.genotype.choices)),
            "cross_entropy": sum(record.cross_entropy for record in last) / len(last),
        }


def targets(devices: Sequence[Latencies], betas: Sequence[float], out: Path) -> list[Target]:
    """Every device with every β; `out` itself is the folder of a single target."""
    if len(devices) * len(betas) == 1:
        return [Target(devices[0], betas[0], out)]
    names = [re.sub(r"[^a-z0-9]+", "-", latencies.device.name.lower()).strip("-") for latencies in devices]
    devices_of = Counter(names)
    for index, latencies in enumerate(devices):
        if devices_of[names[index]] > 1:
            names[index] += f"-{re.sub(r'[^A-Za-z0-9]+', '-', latencies.device.uuid)}"
    return [
        Target(latencies, beta, out / f"{name}-beta{beta:g}")
        for latencies, name in zip(devices, names, strict=True)
        for beta in betas
    ]


def write_summary(summaries: Sequence[dict[str, Any]], out: Path) -> Path:
    """Write summary.json, one object for each target."""
    path = out / "summary.json"
    path.write_text(json.dumps(summaries, indent=1) + "\n", "utf-8")
    return path

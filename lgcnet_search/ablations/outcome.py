"""What became of one network of an ablation, kept in a file of its own."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latency_tables.contract import canonical_json
from latency_tables.whole_files import write_whole
from lgcnet_search.computing.checkpoint import CheckpointError, require_same
from lgcnet_search.space.genotype import Genotype

RESULT = "result.json"


@dataclass(frozen=True)
class Outcome:
    """One network: which, how fast the table says it is, how accurate it became (None where it was not trained)."""

    arm: str
    seed: int
    genotype: dict[str, Any]
    predicted_us: float
    batch_size: int
    parameters: int
    miou: float | None
    class_iou: dict[str, float | None]

    @property
    def fps(self) -> float:
        return 1e6 * self.batch_size / self.predicted_us

    @property
    def architecture(self) -> Genotype:
        return Genotype.from_json(canonical_json(self.genotype))

    def save(self, folder: Path, origin: Mapping[str, Any]) -> None:
        """Write result.json as a whole or not at all; `origin` is what the outcome follows from."""
        text = json.dumps({"origin": origin, "outcome": asdict(self)}, indent=1) + "\n"
        write_whole(folder / RESULT, text.encode())

    @classmethod
    def load(cls, folder: Path, origin: Mapping[str, Any]) -> "Outcome | None":
        """The folder's outcome, None without one. Raises CheckpointError where it follows from something else."""
        path = folder / RESULT
        try:
            content = json.loads(path.read_text("utf-8"))
            there, outcome = content["origin"], cls(**content["outcome"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); remove it, and its network is made again") from error
        require_same(path, there, json.loads(canonical_json(origin)))
        return outcome

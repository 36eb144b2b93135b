"""The trace of a run: every block of every workload and reference, in the order in which they were taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from profiler_agent.doubt import Doubt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Entry(NamedTuple):
    """One block: `at_s` is when it ended, counted from the start of the run."""

    name: str
    round: int
    process: int
    at_s: float
    latency_us: float
    doubt: Doubt
    kept: bool


@dataclass(frozen=True)
class Trace:
    """Columns of equal length, one row per block; `name` is an index of `names`.

    `names` lists the workloads' keys, then the references, so many as `references` says. `kept` is False for a block
    that the policy threw away.
    """

    names: tuple[str, ...]
    references: int
    name: Integers
    round: Integers
    process: Integers
    at_s: Floats
    latency_us: Floats
    doubtful: Flags
    kept: Flags

    @classmethod
    def of(cls, keys: Sequence[str], references: Sequence[str], entries: Sequence[Entry]) -> "Trace":
        names = (*keys, *references)
        index = {name: number for number, name in enumerate(names)}
        columns: Mapping[str, Sequence[object]] = (
            dict(zip(Entry._fields, zip(*entries, strict=True), strict=True))
            if entries
            else dict.fromkeys(Entry._fields, ())
        )
        return cls(
            names=names,
            references=len(references),
            name=np.array([index[str(name)] for name in columns["name"]], dtype=np.int64),
            round=np.array(columns["round"], dtype=np.int64),
            process=np.array(columns["process"], dtype=np.int64),
            at_s=np.array(columns["at_s"], dtype=np.float64),
            latency_us=np.array(columns["latency_us"], dtype=np.float64),
            doubtful=np.array([doubt is not Doubt.NONE for doubt in columns["doubt"]], dtype=np.bool_),
            kept=np.array(columns["kept"], dtype=np.bool_),
        )

    @property
    def keys(self) -> tuple[str, ...]:
        return self.names[: len(self.names) - self.references]

    @property
    def reference_names(self) -> tuple[str, ...]:
        return self.names[len(self.names) - self.references :]

    def save(self, path: Path) -> None:
        """Write an .npz file; `load` reads it. Raises OSError."""
        columns: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with path.open("wb") as file:
            np.savez_compressed(file, **columns)

    @classmethod
    def load(cls, path: Path) -> "Trace":
        """Raises OSError, or KeyError where a column is missing."""
        with np.load(path, allow_pickle=False) as columns:
            return cls(
                names=tuple(str(name) for name in columns["names"]),
                references=int(columns["references"]),
                **{
                    field.name: columns[field.name]
                    for field in fields(cls)
                    if field.name not in ("names", "references")
                },
            )

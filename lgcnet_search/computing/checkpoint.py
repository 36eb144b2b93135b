"""Checkpoints: a whole file or none, checked before it is used, and only for the run that wrote it."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from latency_tables.whole_files import write_whole
from lgcnet_search.computing.processes import Processes

MAGIC = b"lgcnet-checkpoint-2\n"
_HEADER = len(MAGIC) + hashlib.sha256().digest_size


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be continued from; the message says why, and the way out."""


def require_same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises CheckpointError naming what differs between the run that wrote `path` and the one that is wanted."""
    wrong = [
        f"{name}: {found.get(name, 'absent')} there, {wanted.get(name, 'absent')} now"
        for name in dict.fromkeys((*found, *wanted))
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CheckpointError(
            f"{path} belongs to another run ({'; '.join(wrong)}); give what was given there, or another folder"
        )


@dataclass(frozen=True)
class Checkpoint:
    """`origin` says what the run is (plain values by name); `state` is what it needs to go on (tensors and values)."""

    origin: Mapping[str, Any]
    state: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write atomically: a reader, and a run killed at any moment, finds the old file or the new one."""
        buffer = io.BytesIO()
        torch.save({"origin": dict(self.origin), "state": dict(self.state)}, buffer)
        content = buffer.getbuffer()
        write_whole(path, MAGIC, hashlib.sha256(content).digest(), content, fsync=True)

    @classmethod
    def load(cls, path: Path, origin: Mapping[str, Any]) -> "Checkpoint":
        """Read a checkpoint of the run that `origin` describes. Raises CheckpointError, OSError."""
        found = cls._read(path)
        require_same(path, found.origin, origin)
        return found

    @classmethod
    def _read(cls, path: Path) -> "Checkpoint":
        content = path.read_bytes()
        digest = hashlib.sha256(memoryview(content)[_HEADER:]).digest()
        if not content.startswith(MAGIC) or content[len(MAGIC) : _HEADER] != digest:
            raise CheckpointError(f"{path} is damaged or no checkpoint of this version; remove it and begin anew")
        # Tensors stay on the CPU until they are copied into what they belong to.
        loaded = torch.load(io.BytesIO(memoryview(content)[_HEADER:]), map_location="cpu", weights_only=True)
        return cls(loaded["origin"], loaded["state"])


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its state, and after how many steps. `data` says what the batches are."""

    path: Path
    every: int
    data: str = ""

    def found(self, origin: Mapping[str, Any], processes: Processes) -> Mapping[str, Any] | None:
        """The state that the first process finds there, in every process. Raises CheckpointError."""
        there = processes.first and self.path.exists()
        checkpoint = processes.from_first(Checkpoint.load(self.path, self._with_data(origin)) if there else None)
        return checkpoint.state if checkpoint else None

    def due(self, step: int, last: int, processes: Processes) -> bool:
        """Whether this process keeps the state after `step` of `last` steps."""
        return processes.first and (step % self.every == 0 or step >= last)

    def keep(self, origin: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        Checkpoint(self._with_data(origin), state).save(self.path)

    def _with_data(self, origin: Mapping[str, Any]) -> dict[str, Any]:
        return {**origin, "data": self.data}

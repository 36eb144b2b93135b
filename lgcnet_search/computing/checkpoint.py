"""Checkpoints: a whole file or none, checked before it is used, and only for the run that wrote it."""

import hashlib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from latency_tables.whole_files import write_whole
from lgcnet_search.computing.processes import Processes
from lgcnet_search.errors import Refused

MAGIC = b"lgcnet-checkpoint-2\n"
_HEADER = len(MAGIC) + hashlib.sha256().digest_size


class CheckpointError(Refused):
    """A checkpoint that cannot be continued from; the message says why, and the way out."""


SHARING = ("processes", "accumulate")
"""How an update is divided. The images of an update do not depend on it, so a run goes on with another division."""


def require_same(path: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CheckpointError naming what differs between the run that wrote `path` and this one.

    Another division of equal updates is only said: sums round otherwise, and BatchNorm sees parts of another size.
    """
    differences = [
        f"{name}: {there.get(name, 'absent')} there, {now.get(name, 'absent')} now"
        for name in dict.fromkeys((*there, *now))
        if there.get(name) != now.get(name)
    ]
    divided = [difference for difference in differences if difference.startswith(SHARING)]
    if divided and divided == differences:
        print(f"{path} goes on with other parts of each update ({'; '.join(divided)})", file=sys.stderr)
    elif differences:
        raise CheckpointError(
            f"{path} belongs to another run ({'; '.join(differences)}); repeat its options, or take another folder"
        )


@dataclass(frozen=True)
class Checkpoint:
    """What the run is, as plain values by name (`origin`), and what it needs to go on (`state`)."""

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
        checkpoint = cls._read(path)
        require_same(path, checkpoint.origin, origin)
        return checkpoint

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
    """A run's file, and after how many steps it is written. `data` says what the batches are."""

    path: Path
    every: int
    data: str = ""

    def load(self, origin: Mapping[str, Any], processes: Processes) -> Mapping[str, Any] | None:
        """The state in the first process's file, in every process; None without a file. Raises CheckpointError."""
        exists = processes.first and self.path.exists()
        checkpoint = processes.from_first(Checkpoint.load(self.path, self._with_data(origin)) if exists else None)
        return checkpoint.state if checkpoint else None

    def due(self, step: int, last: int, processes: Processes) -> bool:
        """Whether this process saves the state after `step` of `last` steps."""
        return processes.first and (step % self.every == 0 or step >= last)

    def save(self, origin: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        Checkpoint(self._with_data(origin), state).save(self.path)

    def _with_data(self, origin: Mapping[str, Any]) -> dict[str, Any]:
        return {**origin, "data": self.data}

"""The agent's state folder: what outlives it, and the lock that keeps a device to one agent."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import uuid6
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from latency_tables.whole_files import write_whole
from profiler_agent.errors import AgentMustStop

_READINGS: TypeAdapter[dict[str, float]] = TypeAdapter(dict[str, float])


class DeviceInUse(AgentMustStop):
    """Another agent has the device; the message says where."""


def lock_folder() -> Path:
    """Where all agents of this machine lock their devices. Raises OSError."""
    folder = Path(tempfile.gettempdir()) / "profiler-agent"
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # as the folder around it: anyone adds, nobody deletes another's
    return folder


def lock_device(uuid: str) -> FileLock:
    """Lock a device until the process ends: the kernel holds the lock (flock), so no crash leaves it behind.

    All agents of the machine use the same lock file, whatever their state folders.

    Raises:
        DeviceInUse: another agent has it.
        OSError: the lock cannot be written.
    """
    path = lock_folder() / f"{uuid}.lock"
    lock = FileLock(path, mode=0o666)  # every user of the machine may lock, whoever made the file
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DeviceInUse(
            f"another agent measures on device {uuid} (it holds {path}); "
            "stop it first: two agents on one device disturb each other"
        ) from error
    return lock


class DeviceState:
    """The folder of one device under the agent's state folder; the device is locked until the process ends.

    Raises:
        DeviceInUse: another agent has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, state_dir: Path, uuid: str) -> None:
        self.folder = state_dir / uuid
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_device(uuid)
        self._claim = self.folder / "claim"

    def claim_id(self) -> UUID:
        """The id of the current claim, also after a crash; a new one if there is none."""
        with suppress(OSError, ValueError):
            return UUID(self._claim.read_text())
        id = uuid6.uuid7()
        self._claim.write_text(str(id))
        return id

    def end_claim(self) -> None:
        """Forget the claim, whose lease is over: the next one has another id."""
        self._claim.unlink(missing_ok=True)

    def standard(self, conditions: Sequence[str]) -> dict[str, float] | None:
        """The references' readings (µs) in this device's standard state under these conditions."""
        with suppress(OSError, ValidationError):
            return _READINGS.validate_json(self._standard(conditions).read_bytes())
        return None

    def keep_standard(self, conditions: Sequence[str], readings: dict[str, float]) -> None:
        path = self._standard(conditions)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, _READINGS.dump_json(readings))

    def _standard(self, conditions: Sequence[str]) -> Path:
        return self.folder / "standard" / f"{sha256(' '.join(conditions).encode()).hexdigest()[:32]}.json"

"""The agent's state folder: what outlives it, and the lock that keeps a device to one agent."""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import uuid6
from filelock import FileLock, Timeout
from pydantic import ValidationError

from latency_tables.whole_files import write_whole
from profiler_agent.errors import AgentMustStop
from profiler_agent.machine.cpu import checked_id, known_machine_id
from profiler_agent.messages import Standard


class DeviceInUse(AgentMustStop):
    """Another agent has the device; the message says where."""


_HELD: list[FileLock] = []

LOCK_DIR = "LUT_LOCK_DIR"
"""The variable of the environment that names another folder for locks, for all agents of a machine alike."""


def lock_folder() -> Path:
    """Where all agents of this machine lock their devices: one place, whatever TMPDIR a user or job has.

    Raises OSError.
    """
    places = [Path(name) for name in ("/run/lock", "/var/lock", "/dev/shm", "/tmp")]
    # The first that everybody may write to, so that root takes the same one as others.
    place = next((place for place in places if place.is_dir() and place.stat().st_mode & 0o002), Path("/tmp"))
    folder = Path(os.environ.get(LOCK_DIR) or place) / "profiler-agent"
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # as the folder around it: anyone adds, nobody deletes another's
    return folder


def keep_device_id(state_dir: Path, given: str | None) -> str | None:
    """The identity of this machine's CPU as a device: the given one, else that of `state_dir`, else None.

    A given one is kept in `state_dir` for the next start. Where the system has nothing that tells it from others for
    good, as most containers, one is made and kept. Raises OSError, and AgentMustStop for what is no identity.
    """
    path = state_dir / "device-id"
    kept = path.read_text(errors="replace").strip() if path.is_file() else None
    id = checked_id(given) or kept or (None if known_machine_id() else f"CPU-{uuid6.uuid7().hex}")
    if id is not None and id != kept:
        state_dir.mkdir(parents=True, exist_ok=True)
        write_whole(path, f"{id}\n".encode())
    return id


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
    _HELD.append(lock)  # whoever forgets it keeps it all the same
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

    def standard(self, conditions: Sequence[str]) -> Standard:
        """What is known of this device's standard state under these conditions."""
        with suppress(OSError, ValidationError):
            return Standard.model_validate_json(self._standard(conditions).read_bytes())
        return Standard()

    def keep_standard(self, conditions: Sequence[str], standard: Standard) -> None:
        path = self._standard(conditions)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, standard.model_dump_json().encode())

    def _standard(self, conditions: Sequence[str]) -> Path:
        return self.folder / "standard" / f"{sha256(' '.join(conditions).encode()).hexdigest()[:32]}.json"

"""The agent's state folder: what outlives it, and the lock that keeps a device to one agent."""

from contextlib import suppress
from pathlib import Path
from uuid import UUID

import uuid6
from filelock import FileLock, Timeout


class DeviceInUse(Exception):
    """Another agent has the device; the message says where."""


class DeviceState:
    """The folder of one device under the agent's state folder, locked until the process ends.

    The kernel holds the lock (flock), so no crash leaves it behind.

    Raises:
        DeviceInUse: another agent has it.
        OSError: the folder cannot be written.
    """

    def __init__(self, state_dir: Path, uuid: str) -> None:
        self.folder = state_dir / uuid
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise DeviceInUse(
                f"another agent measures on device {uuid} (it holds {self.folder / 'lock'}); "
                "stop it first: two agents on one device disturb each other"
            ) from error
        self._claim = self.folder / "claim"

    def claim_id(self) -> UUID:
        """The id of the claim that is under way, also after a crash; a new one if there is none."""
        with suppress(OSError, ValueError):
            return UUID(self._claim.read_text())
        id = uuid6.uuid7()
        self._claim.write_text(str(id))
        return id

    def end_claim(self) -> None:
        """The lease of this claim is over: the next claim has another id."""
        self._claim.unlink(missing_ok=True)

"""Results survive a crash and an absent server: on disk before they are sent, deleted after the receipt."""

import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from latency_tables.client import LutError, ServerUnavailable
from latency_tables.contract import Measurement
from latency_tables.whole_files import write_whole
from profiler_agent.agent.refusals import is_refusal

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 10.0


class Outbox:
    """A folder with one file per result that the server has not confirmed, oldest first; another for refused ones.

    Each server has its own: results for one are never sent to another.
    """

    def __init__(self, folder: Path, server: str) -> None:
        # A password in the server's URL is not for the names of folders.
        self._folder = folder / quote(re.sub(r"(?<=://)[^/?#]*@", "", server.strip().rstrip("/")), safe="")
        self.rejected = self._folder / "rejected"
        self.rejected.mkdir(parents=True, exist_ok=True)

    def put(self, measurement: Measurement) -> None:
        """Keep a result. When this returns it survives a crash of the process and of the machine.

        Raises:
            OSError: the folder cannot be written (a full disk, say).
        """
        write_whole(self._folder / f"{measurement.id}.json", measurement.model_dump_json().encode(), fsync=True)

    def pending(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def deliver(self, path: Path, send: Callable[[Measurement], object]) -> None:
        """Send one result, then delete it; one that the server refuses for good goes to `rejected` with the reason.

        Raises:
            LutError: the server did not take it now; it stays.
        """
        try:
            measurement = Measurement.model_validate_json(path.read_bytes())
        except ValidationError as error:
            self._reject(path, f"not a measurement of this version: {error}")
            return
        try:
            send(measurement)
        except LutError as error:
            if not is_refusal(error):
                raise
            self._reject(path, str(error))
            return
        path.unlink()

    def _reject(self, path: Path, reason: str) -> None:
        write_whole(self.rejected / f"{path.stem}.reason.txt", f"{reason}\n".encode(), fsync=True)
        path.replace(self.rejected / path.name)


class Courier:
    """Delivers an outbox in a thread of its own, for as long as it takes; `say` hears of trouble, once each."""

    def __init__(self, outbox: Outbox, send: Callable[[Measurement], object], say: Callable[[str], None]) -> None:
        self._outbox = outbox
        self._send = send
        self._say = say
        self._wake = threading.Event()
        self._told = ""
        threading.Thread(target=self._run, name="courier", daemon=True).start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            self._wake.clear()
            trouble = self._deliver_all()
            self._tell(trouble)
            if trouble:
                # Not woken early: a server that is down is asked less often, however many results come.
                time.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(MAX_WAIT_S, wait_s * 2)
            else:
                wait_s = FIRST_WAIT_S
                self._wake.wait()

    def _deliver_all(self) -> str:
        """Try every pending result; why one of them still waits, or nothing."""
        trouble = ""
        for path in self._outbox.pending():
            error = self._attempt(path)
            trouble = str(error) or repr(error) if error else trouble
            if isinstance(error, ServerUnavailable):
                break
        return trouble

    def _attempt(self, path: Path) -> Exception | None:
        """Any error is reported and the result tried again: an agent whose courier has ended waits for ever."""
        try:
            self._outbox.deliver(path, self._send)
        except Exception as error:
            return error
        return None

    def _tell(self, trouble: str) -> None:
        if trouble and not self._told:
            self._say(f"results wait in the outbox: {trouble}")
        elif self._told and not trouble:
            self._say("the outbox is delivered")
        self._told = trouble

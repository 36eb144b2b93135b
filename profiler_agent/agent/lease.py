"""A lease in this agent's hands, renewed from a thread of its own until it ends."""

import threading
from collections.abc import Callable
from types import TracebackType

from latency_tables.client import LutClient, LutError
from latency_tables.contract import Lease, Progress
from profiler_agent.agent.refusals import is_refusal


class Renewal:
    """Renews `lease` as often as the server asks, with the current progress; a context manager.

    `on_end` is called once, from the thread, with the reason, when the server says that the lease is over.
    """

    def __init__(self, client: LutClient, lease: Lease, on_end: Callable[[str], None]) -> None:
        self._client = client
        self._lease = lease
        self._on_end = on_end
        self._over = threading.Event()
        self.progress = lease.job.progress

    def __enter__(self) -> "Renewal":
        threading.Thread(target=self._run, name="renewal", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()

    def advance(self, done: int, total: int, share: float | None = None, stage: str | None = None) -> None:
        """What the next renewal tells the server; see Progress."""
        self.progress = Progress(done=done, total=total, share=share, stage=stage)

    def _run(self) -> None:
        while not self._over.wait(self._lease.renew_every_s):
            reason = self._renew()
            if reason and not self._over.is_set():
                self._on_end(reason)
                return

    def _renew(self) -> str | None:
        """Why the lease is over, if it is. While the server is away it is not: it goes by the server's clock."""
        try:
            renewal = self._client.renew(self._lease.id, self._lease.token, self.progress)
        except LutError as error:
            return f"the lease is lost: {error}" if is_refusal(error) else None
        except Exception as error:  # this thread must not end without a word: the job would outlive its lease
            return f"the lease cannot be renewed: {error!r}"
        return "the job was cancelled" if renewal.cancelled else None

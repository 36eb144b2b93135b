"""What is remembered of a database between requests: computed from rows that never change, so it is never stale."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Values by key; once there are `limit` of them it starts anew. Threads may share it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[Key, Value] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, compute: Callable[[], Value]) -> Value:
        """The value of a key; computed, outside of the lock, if it is not remembered."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = compute()
        with self._lock:
            if len(self._values) >= self._limit:
                self._values.clear()
            return self._values.setdefault(key, value)


def remembered(session: Session, name: str, limit: int, key: Key, compute: Callable[[], Value]) -> Value:
    """A value of the memory of this name that belongs to a session's database."""
    memory: Memory[Key, Value] = session.info["memories"].setdefault(name, Memory(limit))
    return memory.get(key, compute)

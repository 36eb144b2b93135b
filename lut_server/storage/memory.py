"""What is remembered of a database between requests: computed from rows that never change, so it is never stale."""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.orm import Session

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_UNKNOWN: Final = object()


class Memory(Generic[Key, Value]):
    """Values by key; once there are `limit` of them it starts anew. Threads may share it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[Key, Value] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, compute: Callable[[], Value]) -> Value:
        """The value of a key; computed, outside of the lock, if it is not remembered."""
        return self.get_all([key], lambda _: {key: compute()})[key]

    def get_all(self, keys: Iterable[Key], compute: Callable[[Sequence[Key]], Mapping[Key, Value]]) -> dict[Key, Value]:
        """The values of keys; of those that are not remembered all are computed at once, outside of the lock."""
        with self._lock:
            found: dict[Key, Any] = {key: self._values.get(key, _UNKNOWN) for key in keys}
        missing = [key for key, value in found.items() if value is _UNKNOWN]
        if missing:
            computed = compute(missing)
            with self._lock:
                for key in missing:
                    if len(self._values) >= self._limit:
                        self._values.clear()
                    found[key] = self._values.setdefault(key, computed[key])
        return found


def remembered(session: Session, name: str, limit: int, key: Key, compute: Callable[[], Value]) -> Value:
    """A value of the memory of this name that belongs to a session's database."""
    memory: Memory[Key, Value] = _memory(session, name, limit)
    return memory.get(key, compute)


def all_remembered(
    session: Session,
    name: str,
    limit: int,
    keys: Iterable[Key],
    compute: Callable[[Sequence[Key]], Mapping[Key, Value]],
) -> dict[Key, Value]:
    """The values of several keys; `compute` gets those that are not remembered."""
    memory: Memory[Key, Value] = _memory(session, name, limit)
    return memory.get_all(keys, compute)


def _memory(session: Session, name: str, limit: int) -> Memory[Any, Any]:
    memory: Memory[Any, Any] = session.info["memories"].setdefault(name, Memory(limit))
    return memory

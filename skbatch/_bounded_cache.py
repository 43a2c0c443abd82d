"""What is kept from one fit to the next, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")
_ALL: list[BoundedCache] = []


class BoundedCache(Generic[Value]):
    """Values by key, with their sizes in bytes; the least recently used leave first."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = Lock()
        self.size = 0
        _ALL.append(self)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable) -> Value | None:
        """Look up a value."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: Hashable, value: Value, size: int, limit: int) -> None:
        """Hold a value, dropping others beyond the limit."""
        with self._lock:
            if key not in self._held:
                self._held[key] = value, size
                self.size += size
            while self.size > limit:
                self.size -= self._held.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._held.clear()
            self.size = 0


def clear_all() -> None:
    """Drop the values of all caches of the process."""
    for cache in _ALL:
        cache.clear()

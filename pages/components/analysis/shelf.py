"""Values that all sessions share: by key, bounded in number, in bytes and in idle time."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Value = TypeVar("Value")


class Shelf(Generic[Value]):
    """Keep values by key, and compute each once at a time.

    `most` bounds their number and `most_bytes` the sum of their sizes; the ones used longest ago go first, and
    those that were not used for `idle_s` seconds at the next `sweep`. `release` is called after some were dropped.
    """

    def __init__(
        self,
        most: int,
        *,
        most_bytes: float = float("inf"),
        idle_s: float = float("inf"),
        size: Callable[[Value], int] = lambda value: 0,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.most, self.most_bytes, self.idle_s = most, most_bytes, idle_s
        self._size, self._release = size, release
        self._values: dict[str, tuple[Value, int, float]] = {}  # oldest use first
        self._lock = Lock()
        self._computing: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    def get(self, key: str, compute: Callable[[], Value]) -> Value:
        """Return the value of a key; compute it first where it is not there. Errors are not kept."""
        with self._lock:
            own = self._computing.setdefault(key, Lock())
        with own:
            kept = self._use(key)
            if kept is None:
                kept = (compute(),)
                self._put(key, kept[0])
        return kept[0]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def drop(self, start: str) -> None:
        """Drop every value whose key begins like this."""
        with self._lock:
            self._drop([key for key in self._values if key.startswith(start)])

    def sweep(self) -> None:
        """Drop what was not used for too long."""
        oldest = time.monotonic() - self.idle_s
        with self._lock:
            self._drop([key for key, (_, _, used) in self._values.items() if used < oldest])

    def _use(self, key: str) -> tuple[Value] | None:
        with self._lock:
            entry = self._values.pop(key, None)
            if entry is None:
                return None
            self._values[key] = (entry[0], entry[1], time.monotonic())
        return (entry[0],)

    def _put(self, key: str, value: Value) -> None:
        size = self._size(value)
        if size > self.most_bytes:
            return
        with self._lock:
            self._values[key] = (value, size, time.monotonic())
            sizes = {key: size for key, (_, size, _) in self._values.items()}
            leaving, total = [], sum(sizes.values())
            for old in sizes:
                if len(sizes) - len(leaving) <= self.most and total <= self.most_bytes:
                    break
                leaving.append(old)
                total -= sizes[old]
            self._drop(leaving)

    def _drop(self, keys: list[str]) -> None:
        for key in keys:
            del self._values[key]
        if keys:
            self._release()

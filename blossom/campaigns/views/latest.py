"""What many look at is made once: two hundred open pages of a campaign ask the database as often as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_FORGOTTEN_AFTER = 60.0
"""Seconds after which what nobody has looked at any more is dropped."""


@dataclass
class _Slot(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    made_at: float = float("-inf")
    value: T | None = None
    failed_at: float = float("-inf")
    failure: Exception | None = None


class Latest(Generic[T]):
    """Values by key, each as old as who asks for it bears. Threads that ask at once wait for the one that makes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot[T]] = {}

    def get(self, key: Hashable, oldest: float, make: Callable[[], T]) -> T:
        """The value of `key`, made anew by `make` if it is older than `oldest` seconds. What `make` raises is raised to
        those as well who waited for it, and not kept: with a database that is away they would wait in line, each for
        a time-out of its own."""
        now = time.monotonic()
        with self._lock:
            for stale in [each for each, slot in self._slots.items() if now - slot.made_at > _FORGOTTEN_AFTER]:
                if not self._slots[stale].lock.locked():
                    del self._slots[stale]
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if slot.failure is not None and slot.failed_at > now:
                raise slot.failure
            if slot.value is None or time.monotonic() - slot.made_at >= oldest:
                try:
                    slot.value, slot.made_at, slot.failure = make(), time.monotonic(), None
                except Exception as failure:
                    slot.failure, slot.failed_at = failure, time.monotonic()
                    raise
            return slot.value

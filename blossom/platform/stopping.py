"""Whether this process has been asked to end. A worker's SIGTERM sets it; long jobs look at it between two batches."""

from __future__ import annotations

import threading

_asked = threading.Event()


def request() -> None:
    """Ask for the end (safe in a signal handler)."""
    _asked.set()


def requested() -> bool:
    return _asked.is_set()


def wait(seconds: float) -> bool:
    """Sleep, but wake at once when the end is asked for; whether it was."""
    return _asked.wait(seconds)


def forget() -> None:
    """For tests that stop one worker and start the next in the same process."""
    _asked.clear()

"""Whether this process has been asked to end. A worker's SIGTERM sets it; long jobs look at it between two batches.

A plain flag, looked at every fifth of a second: an Event that is set by a signal handler while the same thread waits
for it can block for ever.
"""

from __future__ import annotations

import threading
import time

_NAP = 0.2
_asked = False
_never = threading.Event()


def request() -> None:
    """Ask for the end (safe in a signal handler)."""
    global _asked
    _asked = True


def requested() -> bool:
    return _asked


def wait(seconds: float) -> bool:
    """Sleep, but not much beyond the moment when the end is asked for; whether it was."""
    until = time.monotonic() + seconds
    while not _asked and (left := until - time.monotonic()) > 0:
        _never.wait(min(left, _NAP))
    return _asked


def forget() -> None:
    """For tests that stop one worker and start the next in the same process."""
    global _asked
    _asked = False

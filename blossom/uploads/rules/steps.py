"""The steps of a file, its bounds, and for how long it is kept."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class State(StrEnum):
    RECEIVING = "receiving"  # its parts are coming in
    RECEIVED = "received"  # all of it is here; what its columns are is to be said
    CHECKING = "checking"  # a worker counts what an import would do
    CHECKED = "checked"  # counted; whether to import is to be said
    IMPORTING = "importing"
    COMPLETED = "completed"  # the file itself is gone
    FAILED = "failed"  # stopped by a fault of ours; it can be gone on with


WORKING = (State.CHECKING, State.IMPORTING)
"""A worker has it, or is to have it."""

OPEN = (State.RECEIVING, State.RECEIVED, State.CHECKING, State.CHECKED, State.FAILED, State.IMPORTING)
"""The file itself is kept."""

MOST_BYTES = 100_000_000
"""Of a file: about half a million customers as Shopify exports them, and more than a spreadsheet can hold."""

PART_BYTES = 2 * 1024 * 1024
"""A file comes in parts, so that none waits long on a slow line, each has a session token of its own, and a line that
breaks costs one part. Far below the app's bound on a request (`app.MAX_BODY_BYTES`)."""

MOST_OPEN = 5
"""Files of a shop that wait at once."""

FILE_KEPT = timedelta(days=2)
"""A file that nobody goes on with."""

REFUSED_KEPT = timedelta(days=7)
"""The refused lines of an import, for the merchant to correct."""

IN_HAND = timedelta(seconds=40)
"""How long a worker has a file to itself; each chunk counts it anew, and so does the worker's heartbeat.
One that was killed is followed by another."""

_SECONDS = (5, 30, 120, 600)
MOST_TRIES = len(_SECONDS)


def retry_after(tries: int) -> timedelta:
    """How long to wait after so many failures in a row (from 1 on)."""
    return timedelta(seconds=_SECONDS[min(tries, MOST_TRIES) - 1])


def part_count(size: int) -> int:
    """In how many parts a file of so many bytes comes."""
    return -(-size // PART_BYTES)


def part_size(size: int, number: int) -> int | None:
    """The bytes of part `number` (from 0 on); None where there is no such part."""
    if not 0 <= number < part_count(size):
        return None
    return min(PART_BYTES, size - number * PART_BYTES)

"""Where messages stand: the ids of a dispatch's messages are one range, and those of a batch a part of it.

A message's id is its dispatch's id × 10,000,000 and its place in it: message 70000042 is the 42nd of dispatch 7. So the
primary key alone finds a dispatch's messages, a batch's, and one; and a table that is split by ranges of ids is split
by dispatches.
"""

from __future__ import annotations

from dataclasses import dataclass

SPAN = 10_000_000
"""Ids that a dispatch has room for."""

MOST_RECIPIENTS = SPAN - 1


@dataclass(frozen=True)
class IdRange:
    """From `first` to `last`, both included."""

    first: int
    last: int


def dispatch_of(message_id: int) -> int:
    """The dispatch that a message stands in."""
    return message_id // SPAN


def of_dispatch(dispatch_id: int) -> IdRange:
    """Where the messages of a dispatch may stand."""
    return IdRange(dispatch_id * SPAN + 1, dispatch_id * SPAN + MOST_RECIPIENTS)

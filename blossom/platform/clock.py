"""The one source of the current time, so that tests and the sandbox can move it.

Contract: `now()` is an aware `datetime` in UTC. Pure rules never call it; they take `now` as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_offset = timedelta(0)
_frozen: datetime | None = None


def now() -> datetime:
    """The current time, aware, in UTC."""
    if _frozen is not None:
        return _frozen
    return datetime.now(UTC) + _offset


@contextmanager
def frozen_at(moment: datetime) -> Iterator[None]:
    """Within the block the clock stands still at `moment` (aware)."""
    global _frozen
    if moment.tzinfo is None:
        raise ValueError("the clock takes aware datetimes only")
    before, _frozen = _frozen, moment.astimezone(UTC)
    try:
        yield
    finally:
        _frozen = before


def set_offset(offset: timedelta) -> None:
    """Let the whole process live `offset` later than the machine (used by the sandbox only)."""
    global _offset
    _offset = offset

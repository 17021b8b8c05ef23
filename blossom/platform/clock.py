"""The one source of the current time, so that all hosts agree on it and tests can move it.

Contract: `now()` is an aware `datetime` in UTC. Pure rules never call it; they take `now` as an argument.

Claims, leases and turns are compared across hosts, so each process lives by the database's clock: it measures how far
its own host is from that (`follow`), when it starts and then each minute, and `now()` makes up for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from blossom.platform import stopping

log = structlog.get_logger()

TOLERANCE = timedelta(seconds=5)
"""What two processes that follow the database may differ by at most, and what a host may without a warning."""

_GRAVE = timedelta(seconds=60)
_FOLLOW_SECONDS = 60.0
_AGAIN_SECONDS = 5.0
_PROBES = 3

_offset = timedelta(0)
_follow_at: float | None = None  # time.monotonic() of the next measurement; None: there was none yet
_known = False
_frozen: datetime | None = None


def now() -> datetime:
    """The current time by the database's clock, aware, in UTC."""
    if _frozen is not None:
        return _frozen
    return _host_time() + _offset


def follow(engine: Engine) -> bool:
    """Measure how far the host's clock is from the database's, unless that was done in the last minute.

    To be called where no transaction is open: it takes a connection for a moment. Never raises for the database; the
    last measurement holds on. Whether there was ever one.
    """
    global _offset, _follow_at, _known
    if _follow_at is not None and time.monotonic() < _follow_at:
        return _known
    _follow_at = time.monotonic() + _AGAIN_SECONDS
    try:
        with engine.engine.connect() as connection:
            offset, margin = measure(lambda: connection.execute(text("SELECT clock_timestamp()")).scalar_one())
    except SQLAlchemyError as error:
        log.warning("clock.not_measured", error=type(error).__name__)
        return _known
    if margin > TOLERANCE:
        log.warning("clock.not_measured", margin_seconds=margin.total_seconds())
        return _known
    _offset, _known = offset, True
    _follow_at = time.monotonic() + _FOLLOW_SECONDS
    _tell(offset)
    return True


def follow_in_background(engine: Engine) -> None:
    """Let a thread `follow` until the process is asked to stop: for servers, which have no pause between two jobs."""

    def keep_following() -> None:
        while True:
            follow(engine)
            if stopping.wait(_AGAIN_SECONDS):
                return

    threading.Thread(target=keep_following, name="clock", daemon=True).start()


def measure(ask: Callable[[], datetime]) -> tuple[timedelta, timedelta]:
    """How far what `ask` tells is ahead of this host, and by how much that may be wrong.

    The answer is taken for the time in the middle of its round trip; of several tries the quickest counts.
    """
    found = []
    for _ in range(_PROBES):
        began_at, began = _host_time(), time.monotonic()
        told = ask()
        margin = timedelta(seconds=time.monotonic() - began) / 2
        found.append((margin, told - (began_at + margin)))
    margin, offset = min(found)
    return offset, margin


def _tell(offset: timedelta) -> None:
    """We make up for it; what reads the host's own clock (TLS, the provider's and Shopify's tokens) suffers."""
    if abs(offset) > TOLERANCE:
        tell = log.error if abs(offset) > _GRAVE else log.warning
        tell("clock.host_differs_from_database", seconds=round(offset.total_seconds(), 3))


def _host_time() -> datetime:
    return datetime.now(UTC)


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


def forget() -> None:
    """Live by the host's clock again, as a new process does: for tests."""
    global _offset, _follow_at, _known
    _offset, _follow_at, _known = timedelta(0), None, False

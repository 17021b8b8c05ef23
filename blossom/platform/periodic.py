"""Jobs by the clock. One row a job says when it is due next; a conditional UPDATE lets one of many clocks have it.

A clock that dies after taking a turn loses that turn only: everything periodic here looks at rows and catches up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Text, delete, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform import clock, queue, stopping
from blossom.platform.db import Base, engine, session, transaction

log = structlog.get_logger()


class PeriodicTurn(Base):
    """When the job `name` is due next."""

    __tablename__ = "periodic_turns"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    due_at: Mapped[datetime]


@dataclass(frozen=True)
class Periodic:
    """A job that runs every so often. `queue` as in `queue.QUEUES`; never more than one waits there."""

    name: str
    every: timedelta
    queue: str = "default"
    kwargs: dict[str, Any] = field(default_factory=dict)


_RECONCILE_SECONDS = 60.0
"""How often a clock looks at the table: during a deployment an older one, which lacks a job, may drop its row again."""

_ADD = text("INSERT INTO periodic_turns (name, due_at) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING")

# Counted on from now, not from when it was due: a clock that was down makes up for nothing. What is due further off
# than any right clock puts it was put there by a wrong one, which would have stopped the job for so long.
_TAKE = text("""
UPDATE periodic_turns SET due_at = :next WHERE name = :name AND (due_at <= :now OR due_at > :too_far) RETURNING name
""")


def reconcile(table: Sequence[Periodic]) -> None:
    """Make the rows match the table: new jobs are due at once, dropped ones go."""
    now = clock.now()
    for job in table:
        session.execute(_ADD, {"name": job.name, "now": now})
    session.execute(delete(PeriodicTurn).where(PeriodicTurn.name.not_in([job.name for job in table])))


def tick(table: Sequence[Periodic], now: datetime | None = None) -> list[str]:
    """Enqueue what is due, each once however many clocks tick. The names of the jobs that this clock got."""
    now = now or clock.now()
    taken = []
    for job in table:
        following = now + job.every
        values = {"name": job.name, "now": now, "next": following, "too_far": following + clock.TOLERANCE}
        if session.execute(_TAKE, values).one_or_none():
            queue.enqueue(job.name, queue=job.queue, unless_waiting=True, **job.kwargs)
            taken.append(job.name)
    return taken


def run(table: Sequence[Periodic], seconds: float = 1.0) -> None:
    """Tick until the process is asked to stop. A database that is away is waited for, and no turn is taken before its
    time is known: so what a turn puts off is due by `every` after the database's time, and no later."""
    reconcile_at = time.monotonic()
    while not stopping.requested():
        started = time.monotonic()
        try:
            if clock.follow(engine()):
                with transaction():
                    if started >= reconcile_at:
                        reconcile(table)
                    tick(table)
                if started >= reconcile_at:  # only once that is committed
                    reconcile_at = started + _RECONCILE_SECONDS
        except OperationalError as error:
            log.warning("clock.no_database", error=type(error.orig).__name__)
        stopping.wait(max(0.0, seconds - (time.monotonic() - started)))

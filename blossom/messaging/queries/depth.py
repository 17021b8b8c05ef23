"""The whole installation's queue of texts, for the operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from blossom.platform import clock
from blossom.platform.db import session

# Only what is open, and what was recorded in the last day, is read.
_STATS = text("""
SELECT count(*) FILTER (WHERE b.state = 'pending') AS waiting,
       count(*) FILTER (WHERE b.state = 'claimed') AS active,
       count(*) FILTER (WHERE b.state = 'done' AND b.failed < b.size) AS completed,
       count(*) FILTER (WHERE b.state = 'done' AND b.failed = b.size) AS failed,
       coalesce(sum(b.sent + b.delivered + b.failed + b.unconfirmed) FILTER (WHERE b.recorded_at > :minute_ago), 0)
           AS last_minute,
       min(b.due_at) FILTER (WHERE b.state = 'pending' AND b.due_at <= :now AND b.text_number IS NOT NULL
                                AND d.state = 'sending') AS oldest_due
FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.finished_at IS NULL OR d.finished_at > :day_ago
""")


@dataclass(frozen=True)
class QueueStats:
    """Batches of dispatches that are open or ended in the last 24 h. `per_second`: texts, over the last minute."""

    waiting: int
    active: int
    completed: int
    failed: int
    per_second: float
    oldest_due: datetime | None

    @property
    def total(self) -> int:
        return self.waiting + self.active + self.completed + self.failed


def queue_stats() -> QueueStats:
    now = clock.now()
    values = {"now": now, "minute_ago": now - timedelta(minutes=1), "day_ago": now - timedelta(days=1)}
    row = session.execute(_STATS, values).one()
    return QueueStats(
        row.waiting, row.active, row.completed, row.failed, round(row.last_minute / 60, 1), row.oldest_due
    )

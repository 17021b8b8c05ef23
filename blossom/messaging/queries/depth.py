"""The whole installation's queue of texts, for the operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from blossom.platform import clock, kept
from blossom.platform.db import session

# All that is open, and what ended in this hour or in the first, begun one of the day.
_LIVE = text("""
SELECT count(*) FILTER (WHERE b.state = 'pending') AS waiting,
       count(*) FILTER (WHERE b.state = 'claimed') AS active,
       count(*) FILTER (WHERE b.state = 'done' AND b.failed < b.size) AS completed,
       count(*) FILTER (WHERE b.state = 'done' AND b.failed = b.size) AS failed,
       coalesce(sum(b.sent + b.delivered + b.failed + b.unconfirmed) FILTER (WHERE b.recorded_at > :minute_ago), 0)
           AS last_minute,
       min(b.due_at) FILTER (WHERE b.state = 'pending' AND b.due_at <= :now AND b.text_number IS NOT NULL
                                AND d.state = 'sending') AS oldest_due
FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.finished_at IS NULL OR d.finished_at >= :until OR (d.finished_at > :day_ago AND d.finished_at < :since)
""")

# Of what ended in the full hours between, which only late receipts change.
_ENDED = text("""
SELECT count(*) FILTER (WHERE b.state = 'done' AND b.failed < b.size) AS completed,
       count(*) FILTER (WHERE b.state = 'done' AND b.failed = b.size) AS failed
FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.finished_at >= :since AND d.finished_at < :until
""")

KEPT_SECONDS = 60


@dataclass(frozen=True)
class QueueStats:
    """Batches of dispatches that are open or ended in the last 24 h. `per_second`: texts, over the last minute.

    A look every few seconds reads what is open; of what had ended by the full hour, `completed` and `failed`
    are up to a minute old.
    """

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
    """As it stands now. One statement, two once a minute."""
    now = clock.now()
    until = now.replace(minute=0, second=0, microsecond=0)
    since = until - timedelta(hours=23)
    # What has ended since a minute before the hour is read each time: its texts may be the last minute's.
    until -= timedelta(minutes=1)
    values = {"now": now, "minute_ago": now - timedelta(minutes=1), "day_ago": now - timedelta(days=1)}
    row = session.execute(_LIVE, {**values, "since": since, "until": until}).one()
    completed, failed = _ended(since, until)
    return QueueStats(
        row.waiting,
        row.active,
        row.completed + completed,
        row.failed + failed,
        round(row.last_minute / 60, 1),
        row.oldest_due,
    )


def _ended(since: datetime, until: datetime) -> tuple[int, int]:
    """Batches that were done, and of them those that failed whole, of dispatches that ended then."""
    key = f"queue-ended:{until:%Y-%m-%dT%H}"
    found = kept.known(key)
    if found is None:
        row = session.execute(_ENDED, {"since": since, "until": until}).one()
        found = [row.completed, row.failed]
        kept.keep(key, found, seconds=KEPT_SECONDS)
    completed, failed = found
    return completed, failed

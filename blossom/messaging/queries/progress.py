"""How dispatches stand: sums over batches, never a count over messages, so a million is as quick as a thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import NotFound

_PROGRESS = text("""
SELECT d.id, d.state, d.total, d.left_out, d.failure_code, d.failure_text, d.created_at, d.prepared_at, d.finished_at,
       coalesce(b.sent, 0) AS sent, coalesce(b.delivered, 0) AS delivered, coalesce(b.failed, 0) AS failed,
       coalesce(b.skipped, 0) AS skipped, coalesce(b.cancelled, 0) AS cancelled,
       coalesce(b.unconfirmed, 0) AS unconfirmed, coalesce(b.sending, 0) AS sending,
       coalesce(b.waiting, 0) AS waiting, coalesce(b.recent, 0) AS recent, b.recent_from, b.last_at, b.next_due
FROM dispatches d
LEFT JOIN LATERAL (
    SELECT sum(sent) AS sent, sum(delivered) AS delivered, sum(failed) AS failed, sum(skipped) AS skipped,
           sum(cancelled) AS cancelled, sum(unconfirmed) AS unconfirmed,
           sum(size - sent - delivered - failed - skipped - cancelled - unconfirmed)
               FILTER (WHERE state = 'claimed') AS sending,
           sum(sent + delivered + failed + unconfirmed) FILTER (WHERE recorded_at > :recent_since) AS recent,
           min(recorded_at) FILTER (WHERE recorded_at > :recent_since) AS recent_from,
           max(recorded_at) AS last_at,
           min(due_at) FILTER (WHERE state = 'pending' AND text_number IS NOT NULL AND due_at > :now) AS next_due,
           sum(size) FILTER (WHERE state = 'pending' AND text_number IS NULL) AS waiting
    FROM batches b WHERE b.dispatch_id = d.id
) b ON true
WHERE d.shop_id = :shop_id AND d.id = ANY(CAST(:ids AS bigint[]))
""")

_RECENT = timedelta(seconds=10)


@dataclass(frozen=True)
class Progress:
    """A dispatch at one moment. Counts are of messages; each message is in exactly one of `sent` (accepted by Mitto,
    no final word yet), `delivered`, `failed`, `skipped`, `cancelled`, `unconfirmed`, `sending`, `pending`.

    `processed`: those with an outcome. `percent` of total, 0 to 100. `messages_per_second` over the last ten seconds;
    `seconds_left` None when nothing moves. `next_due_at`: when the next recipients that wait may be texted. `waiting`:
    those of `pending` who get the winner of a test that is not known yet; no time is told for them.
    """

    dispatch_id: int
    state: DispatchState
    total: int
    sent: int
    delivered: int
    failed: int
    skipped: int
    cancelled: int
    unconfirmed: int
    sending: int
    left_out: dict[str, int]
    messages_per_second: float
    seconds_left: int | None
    failure_code: str | None
    failure_text: str | None
    started_at: datetime | None
    finished_at: datetime | None
    last_progress_at: datetime | None
    next_due_at: datetime | None
    waiting: int = 0

    @property
    def processed(self) -> int:
        return self.sent + self.delivered + self.failed + self.skipped + self.cancelled + self.unconfirmed

    @property
    def pending(self) -> int:
        return self.total - self.processed - self.sending

    @property
    def percent(self) -> float:
        return round(100 * self.processed / self.total, 1) if self.total else 0.0


def progress(shop_id: int, dispatch_id: int) -> Progress:
    """One dispatch. Raises `NotFound`."""
    found = progress_many(shop_id, [dispatch_id])
    if dispatch_id not in found:
        raise NotFound("dispatch")
    return found[dispatch_id]


_HELD = text("""
SELECT r.amount - r.captured - r.released
FROM dispatches d JOIN reservations r ON r.shop_id = d.shop_id AND r.id = d.reservation_id
WHERE d.shop_id = :shop_id AND d.id = :dispatch_id AND r.state = 'open'
""")


def held_credits(shop_id: int, dispatch_id: int) -> int:
    """Credits that are held for what a dispatch has still to send."""
    return int(session.scalar(_HELD, {"shop_id": shop_id, "dispatch_id": dispatch_id}) or 0)


def progress_many(shop_id: int, dispatch_ids: Sequence[int]) -> dict[int, Progress]:
    """Several dispatches of a shop in one statement; those of other shops are left out."""
    now = clock.now()
    values = {"shop_id": shop_id, "ids": list(dispatch_ids), "now": now, "recent_since": now - _RECENT}
    return {row.id: _progress(row, now) for row in session.execute(_PROGRESS, values)}


def _progress(row: Row[Any], now: datetime) -> Progress:
    counts = {
        name: int(getattr(row, name))
        for name in ("sent", "delivered", "failed", "skipped", "cancelled", "unconfirmed", "sending")
    }
    rate = _rate(int(row.recent), row.recent_from, now) if row.finished_at is None else 0.0
    remaining = row.total - sum(counts.values()) + counts["sending"]
    movable = remaining - int(row.waiting)
    return Progress(
        dispatch_id=row.id,
        state=DispatchState(row.state),
        total=row.total,
        **counts,
        left_out=row.left_out,
        messages_per_second=rate,
        seconds_left=round(movable / rate) if rate and movable else (0 if not remaining else None),
        failure_code=row.failure_code,
        failure_text=row.failure_text,
        started_at=row.prepared_at,
        finished_at=row.finished_at,
        last_progress_at=row.last_at,
        next_due_at=row.next_due,
        waiting=int(row.waiting),
    )


def _rate(recent: int, since: datetime | None, now: datetime) -> float:
    if not recent or since is None:
        return 0.0
    return round(recent / max((now - since).total_seconds(), 1.0), 1)

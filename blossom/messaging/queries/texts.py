"""All that a phone ever got, or was to get: one index range, however many texts there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from blossom.messaging.rules.states import DispatchKind, MessageState
from blossom.platform.db import session

# As in queries/recipients.py: a pending message of a claimed batch is shown as being sent, one of a closed batch as
# what it is about to become.
_TEXTS = text("""
SELECT m.id, m.dispatch_id, d.kind, m.reason, m.created_at, m.sent_at, m.delivered_at, m.failed_at, m.segments,
       CASE WHEN d.kind IN ('reply', 'stop_reply') THEN d.source END AS words,
       CASE WHEN m.state <> 'pending' THEN m.state
            WHEN b.state = 'claimed' THEN 'sending'
            WHEN b.state = 'cancelled' THEN CASE d.state WHEN 'failed' THEN 'failed' ELSE 'cancelled' END
            ELSE 'pending' END AS state
FROM messages m
JOIN dispatches d ON d.shop_id = m.shop_id AND d.id = m.dispatch_id
JOIN batches b ON b.dispatch_id = m.dispatch_id AND b.number = m.batch_number
WHERE m.phone_hash = :phone_hash AND m.shop_id = :shop_id AND m.dispatch_id < :before
ORDER BY m.dispatch_id DESC LIMIT :limit
""")


@dataclass(frozen=True)
class TextRow:
    """One text to the phone, as it is shown. `words`: of an answer what it said; of others they are not kept as each
    person got them."""

    id: int
    dispatch_id: int
    kind: DispatchKind
    state: MessageState
    reason: str | None
    segments: int
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    words: str | None


def texts_to(shop_id: int, phone_hash: bytes, *, before: int | None = None, limit: int = 20) -> list[TextRow]:
    """A page of them, the newest first; `before` is the last dispatch of the page before."""
    values = {"shop_id": shop_id, "phone_hash": phone_hash, "before": before or 2**63 - 1, "limit": limit}
    return [
        TextRow(
            id=row.id,
            dispatch_id=row.dispatch_id,
            kind=DispatchKind(row.kind),
            state=MessageState(row.state),
            reason=row.reason,
            segments=row.segments,
            created_at=row.created_at,
            sent_at=row.sent_at,
            delivered_at=row.delivered_at,
            failed_at=row.failed_at,
            words=row.words,
        )
        for row in session.execute(_TEXTS, values)
    ]

"""The messages of a dispatch, one by one, and what became of them by cause and country."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from blossom.messaging.rules import message_ids
from blossom.messaging.rules.states import MessageState
from blossom.platform import crypto
from blossom.platform.db import session

# A pending message of a claimed batch is shown as being sent, one of a closed batch as what it is about to become.
_ROWS = text("""
SELECT m.*, a.bulk_id, b.due_at, b.text_number,
       CASE WHEN m.state <> 'pending' THEN m.state
            WHEN b.state = 'claimed' THEN 'sending'
            WHEN b.state = 'cancelled' THEN CASE d.state WHEN 'failed' THEN 'failed' ELSE 'cancelled' END
            ELSE 'pending' END AS shown_state
FROM messages m
JOIN dispatches d ON d.shop_id = m.shop_id AND d.id = m.dispatch_id
JOIN batches b ON b.dispatch_id = m.dispatch_id AND b.number = m.batch_number
LEFT JOIN attempts a ON a.id = m.attempt_id
WHERE m.id BETWEEN :first_id AND :last_id AND m.shop_id = :shop_id AND m.dispatch_id = :dispatch_id
  AND (CAST(:phone_hash AS bytea) IS NULL OR m.phone_hash = CAST(:phone_hash AS bytea))
ORDER BY m.id LIMIT :limit
""")

_PHONE = text("""
SELECT phone_hash FROM messages WHERE id = :message_id AND shop_id = :shop_id AND phone_sealed IS NOT NULL
""")

_BY_CAUSE = text("""
SELECT coalesce(m.error, 'unknown') AS error, m.delivery_status, count(*) AS number
FROM batches b CROSS JOIN LATERAL (
    SELECT m.error, m.delivery_status FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
      AND m.state = 'failed'
    OFFSET 0
) m
WHERE b.shop_id = :shop_id AND b.dispatch_id = :dispatch_id AND b.failed > 0
GROUP BY 1, 2 ORDER BY 3 DESC
""")

_BY_REASON = text("""
SELECT coalesce(m.reason, 'unknown') AS reason, count(*) AS number
FROM batches b CROSS JOIN LATERAL (
    SELECT m.reason FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
      AND m.state = 'skipped'
    OFFSET 0
) m
WHERE b.shop_id = :shop_id AND b.dispatch_id = :dispatch_id AND b.skipped > 0
GROUP BY 1 ORDER BY 2 DESC
""")

_BY_COUNTRY = text("""
SELECT country, count(*) FILTER (WHERE state IN ('sent', 'delivered', 'unconfirmed')) AS texts,
       coalesce(sum(segments) FILTER (WHERE state IN ('sent', 'delivered', 'unconfirmed')), 0) AS segments,
       sum(credits) AS credits
FROM messages
WHERE id BETWEEN :first_id AND :last_id AND shop_id = :shop_id AND dispatch_id = :dispatch_id
GROUP BY country ORDER BY credits DESC, country
""")


@dataclass(frozen=True)
class RecipientRow:
    """One message as the merchant sees it; `phone` in the clear (E.164), for the merchant whose contact it is.

    `text_number`: which of the dispatch's texts they get, from 0; None: the winner, which is not known yet.
    """

    id: int
    phone: str | None
    country: str
    state: MessageState
    reason: str | None
    error: str | None
    delivery_status: str | None
    provider_message_id: str | None
    bulk_id: str | None
    retry_count: int
    segments: int
    credits: int
    due_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    text_number: int | None = 0


@dataclass(frozen=True)
class FailureCause:
    error: str
    delivery_status: str | None
    messages: int


@dataclass(frozen=True)
class CountryCosts:
    country: str
    texts: int
    segments: int
    credits: int


def phone_hash_of(shop_id: int, message_id: int) -> bytes | None:
    """Whom a text went to, by the hash of their phone; None for no text of this shop's, or of somebody forgotten."""
    found: bytes | None = session.scalar(_PHONE, {"shop_id": shop_id, "message_id": message_id})
    return found


def recipients(
    shop_id: int,
    dispatch_id: int,
    *,
    phone: str | None = None,
    after_id: int = 0,
    limit: int = 50,
) -> list[RecipientRow]:
    """Messages in order of id, from after `after_id` on. `phone`: E.164, exact. Those of one state: `walk.stretch`."""
    cipher, stand = crypto.for_shop(shop_id), message_ids.of_dispatch(dispatch_id)
    values = {
        "shop_id": shop_id,
        "dispatch_id": dispatch_id,
        "first_id": max(stand.first, after_id + 1),
        "last_id": stand.last,
        "limit": limit,
        "phone_hash": cipher.lookup(phone) if phone else None,
    }
    return [row_of(row, cipher) for row in session.execute(_ROWS, values)]


def failures_by_cause(shop_id: int, dispatch_id: int) -> list[FailureCause]:
    """Why messages failed, the commonest cause first."""
    return [FailureCause(*row) for row in session.execute(_BY_CAUSE, {"shop_id": shop_id, "dispatch_id": dispatch_id})]


def skipped_by_reason(shop_id: int, dispatch_id: int) -> dict[str, int]:
    """Why messages were skipped at the moment of sending."""
    rows = session.execute(_BY_REASON, {"shop_id": shop_id, "dispatch_id": dispatch_id})
    return {row.reason: row.number for row in rows}


def costs_by_country(shop_id: int, dispatch_id: int) -> list[CountryCosts]:
    """What was spent where. Reads every message of the dispatch: for a report, not for a live page."""
    stand = message_ids.of_dispatch(dispatch_id)
    values = {"shop_id": shop_id, "dispatch_id": dispatch_id, "first_id": stand.first, "last_id": stand.last}
    rows = session.execute(_BY_COUNTRY, values)
    return [CountryCosts(row.country, row.texts, row.segments, row.credits) for row in rows]


def row_of(row: Row[Any], cipher: crypto.ShopCipher) -> RecipientRow:
    return RecipientRow(
        id=row.id,
        phone=cipher.open(row.phone_sealed, "phone"),
        country=row.country,
        state=MessageState(row.shown_state),
        reason=row.reason,
        error=row.error,
        delivery_status=row.delivery_status,
        provider_message_id=row.provider_message_id,
        bulk_id=row.bulk_id,
        retry_count=row.retry_count,
        segments=row.segments,
        credits=row.credits,
        due_at=row.due_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        failed_at=row.failed_at,
        text_number=row.text_number,
    )

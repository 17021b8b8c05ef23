"""What became of a dispatch's messages, by country, cause and minute: two statements that read each of them once.

For a job, or for a dispatch of some thousands: a million messages take a second or two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from blossom.messaging.rules import message_ids
from blossom.messaging.rules.groups import Group
from blossom.messaging.rules.states import MessageState
from blossom.platform.db import session

# A pending row of a closed batch counts as what it is about to become, as in the batch's own counts.
_GROUPS = text("""
SELECT m.country,
       CASE WHEN m.state <> 'pending' THEN m.state
            WHEN b.state = 'cancelled' THEN CASE d.state WHEN 'failed' THEN 'failed' ELSE 'cancelled' END
            ELSE 'pending' END AS state,
       CASE WHEN m.state = 'pending' AND b.state = 'cancelled' AND d.state = 'failed' THEN d.failure_code
            ELSE m.error END AS error,
       m.delivery_status, m.reason,
       CASE WHEN m.state IN ('failed', 'unconfirmed') THEN EXISTS (
           SELECT FROM consents c
           WHERE c.shop_id = m.shop_id AND c.phone_hash = m.phone_hash AND c.state = 'opted_out'
       ) ELSE false END AS opted_out,
       count(*) AS messages, coalesce(sum(m.segments), 0) AS segments, coalesce(sum(m.credits), 0) AS credits
FROM dispatches d
JOIN messages m ON m.dispatch_id = d.id
JOIN batches b ON b.dispatch_id = m.dispatch_id AND b.number = m.batch_number
WHERE d.shop_id = :shop_id AND d.id = :dispatch_id AND m.id BETWEEN :first_id AND :last_id
GROUP BY 1, 2, 3, 4, 5, 6
""")

_MINUTES = text("""
SELECT date_trunc('minute', m.delivered_at) AS delivered, date_trunc('minute', m.failed_at) AS failed,
       grouping(date_trunc('minute', m.delivered_at)) = 0 AS is_delivered, count(*) AS messages
FROM messages m
WHERE m.id BETWEEN :first_id AND :last_id AND m.shop_id = :shop_id AND m.dispatch_id = :dispatch_id
GROUP BY GROUPING SETS ((1), (2))
""")


def groups(shop_id: int, dispatch_id: int) -> list[Group]:
    """All messages of a dispatch in groups: some for each country and cause."""
    return [_group(row) for row in session.execute(_GROUPS, _values(shop_id, dispatch_id))]


def minutes(shop_id: int, dispatch_id: int) -> dict[str, list[tuple[datetime, int]]]:
    """`delivered` and `failed` → how many in each minute that had any, in order. What failed without having left counts
    for when that was known."""
    found: dict[str, list[tuple[datetime, int]]] = {"delivered": [], "failed": []}
    for row in session.execute(_MINUTES, _values(shop_id, dispatch_id)):
        event = "delivered" if row.is_delivered else "failed"
        at = getattr(row, event)
        if at is not None:
            found[event].append((at, row.messages))
    return {event: sorted(counted) for event, counted in found.items()}


def _values(shop_id: int, dispatch_id: int) -> dict[str, Any]:
    stand = message_ids.of_dispatch(dispatch_id)
    return {"shop_id": shop_id, "dispatch_id": dispatch_id, "first_id": stand.first, "last_id": stand.last}


def _group(row: Row[Any]) -> Group:
    return Group(
        row.country,
        MessageState(row.state),
        row.error,
        row.delivery_status,
        row.reason,
        row.opted_out,
        row.messages,
        int(row.segments),
        int(row.credits),
    )

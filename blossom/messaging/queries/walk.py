"""A dispatch's messages in the order in which they are sent, batch by batch: a page of those in one state, or all of
them for a file. No index holds a state; the batches' own counts tell which of them have such messages at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from blossom.messaging.queries.recipients import RecipientRow, row_of
from blossom.messaging.rules.states import MessageState
from blossom.platform import crypto
from blossom.platform.db import session


@dataclass(frozen=True)
class Place:
    """After which message a walk goes on: its batch's number, and its id."""

    batch: int
    message_id: int


@dataclass(frozen=True)
class Stretch:
    """Some messages, and where the next ones begin; None at the end."""

    rows: Sequence[RecipientRow]
    after: Place | None


_OPEN = "b.size - b.sent - b.delivered - b.failed - b.skipped - b.cancelled - b.unconfirmed"
_UNCOUNTED = (MessageState.PENDING, MessageState.SENDING)
_TO_GO, _ANY = "to go", "any"
_IN_BATCH: dict[str, str] = {
    _ANY: "b.size",
    _TO_GO: f"CASE WHEN b.state IN ('pending', 'claimed') THEN {_OPEN} ELSE 0 END",
    MessageState.PENDING.value: f"CASE WHEN b.state = 'pending' THEN {_OPEN} ELSE 0 END",
    MessageState.SENDING.value: f"CASE WHEN b.state = 'claimed' THEN {_OPEN} ELSE 0 END",
    **{state.value: f"b.{state.value}" for state in MessageState if state not in _UNCOUNTED},
}
"""How many messages that are shown so a batch counts."""

# The first batches that together have enough, of those that have any: each has one at least, so no more of them are
# summed than a page is long. Of the one that the walk stands in nobody knows how many are left, so it counts for none.
# A batch's messages stand in its range, among others' at most.
_STRETCH = """
WITH counted AS (
    SELECT b.*, {in_batch} AS wanted FROM batches b
    WHERE b.shop_id = :shop_id AND b.dispatch_id = :dispatch_id AND b.number >= :batch AND {in_batch} > 0
    ORDER BY b.number LIMIT :limit + 2
), summed AS (
    SELECT c.*, sum(CASE WHEN c.number = :batch AND :message_id > 0 THEN 0 ELSE c.wanted END)
                OVER (ORDER BY c.number) - c.wanted AS before
    FROM counted c
)
SELECT m.*, a.bulk_id, b.number, b.due_at, b.text_number, m.shown_state
FROM (SELECT * FROM summed WHERE before <= :limit) b
CROSS JOIN LATERAL (
    SELECT m.*, CASE WHEN m.state <> 'pending' THEN m.state
                     WHEN b.state = 'claimed' THEN 'sending'
                     WHEN b.state = 'cancelled' THEN CASE :dispatch_failed WHEN true THEN 'failed' ELSE 'cancelled' END
                     ELSE 'pending' END AS shown_state
    FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
      AND (b.number > :batch OR m.id > :message_id)
      AND (CAST(:stored AS text[]) IS NULL OR m.state = ANY(CAST(:stored AS text[])))
    OFFSET 0
) m
LEFT JOIN attempts a ON a.id = m.attempt_id
WHERE CAST(:states AS text[]) IS NULL OR m.shown_state = ANY(CAST(:states AS text[]))
ORDER BY b.number, m.id LIMIT :limit + 1
"""
_STATEMENTS = {shown: text(_STRETCH.format(in_batch=in_batch)) for shown, in_batch in _IN_BATCH.items()}

_STORED_AS_PENDING = (MessageState.SENDING, MessageState.FAILED, MessageState.CANCELLED)
"""What rows are shown as whose batch is in a worker's hands, or was closed and they are not yet."""

_FAILED = text("SELECT state = 'failed' FROM dispatches WHERE shop_id = :shop_id AND id = :dispatch_id")


def stretch(
    shop_id: int,
    dispatch_id: int,
    *,
    state: MessageState | None = None,
    exactly: bool = False,
    after: Place | None = None,
    limit: int = 50,
) -> Stretch:
    """Up to `limit` messages after `after`, those shown as `state` alone if one is given. `PENDING`: all that are still
    to go, those that are being sent too, unless `exactly`. Reads some batches' messages however many the dispatch has:
    as many as it takes to fill the page."""
    values: dict[str, Any] = {"shop_id": shop_id, "dispatch_id": dispatch_id}
    failed = bool(session.scalar(_FAILED, values))
    shown_as, states, stored = _ANY, None, None
    if state is MessageState.PENDING and not exactly:
        shown_as, states, stored = _TO_GO, [each.value for each in _UNCOUNTED], [state.value]
    elif state is not None:
        shown_as, states = state.value, [state.value]
        stored = [*states, *([MessageState.PENDING.value] if state in _STORED_AS_PENDING else [])]
    values |= {
        "batch": after.batch if after else 0,
        "message_id": after.message_id if after else 0,
        "limit": limit,
        "states": states,
        "stored": stored,
        "dispatch_failed": failed,
    }
    found = session.execute(_STATEMENTS[shown_as], values).all()
    cipher = crypto.for_shop(shop_id)
    shown = found[:limit]
    more = Place(shown[-1].number, shown[-1].id) if len(found) > limit else None
    return Stretch([row_of(row, cipher) for row in shown], more)

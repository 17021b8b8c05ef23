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
_COUNTED = (state for state in MessageState if state not in (MessageState.PENDING, MessageState.SENDING))
_IN_BATCH: dict[MessageState | None, str] = {
    None: "b.size",
    MessageState.PENDING: f"CASE WHEN b.state IN ('pending', 'claimed') THEN {_OPEN} ELSE 0 END",
    **{state: f"b.{state.value}" for state in _COUNTED},
}
"""How many messages of a state a batch counts. `PENDING` stands for all that are still to go: `SENDING` too."""

# The first batches that together have enough; of the one that the walk stands in nobody knows how many are left, so it
# counts for none. A batch's messages stand in its range, among others' at most.
_STRETCH = """
WITH counted AS (
    SELECT b.*, {in_batch} AS wanted FROM batches b
    WHERE b.shop_id = :shop_id AND b.dispatch_id = :dispatch_id AND b.number >= :batch
), summed AS (
    SELECT c.*, sum(CASE WHEN c.number = :batch AND :message_id > 0 THEN 0 ELSE c.wanted END)
                OVER (ORDER BY c.number) - c.wanted AS before
    FROM counted c WHERE c.wanted > 0
)
SELECT m.*, a.bulk_id, b.number, b.due_at, m.shown_state
FROM (SELECT * FROM summed WHERE before <= :limit ORDER BY number LIMIT :limit + 2) b
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
_STATEMENTS = {state: text(_STRETCH.format(in_batch=in_batch)) for state, in_batch in _IN_BATCH.items()}

_SHOWN_AS = {MessageState.PENDING: [MessageState.PENDING.value, MessageState.SENDING.value]}

_PERHAPS = {MessageState.FAILED: [MessageState.PENDING.value], MessageState.CANCELLED: [MessageState.PENDING.value]}
"""States that rows of closed batches are shown in → the one that they are stored in until a job has closed them too."""

_FAILED = text("SELECT state = 'failed' FROM dispatches WHERE shop_id = :shop_id AND id = :dispatch_id")


def stretch(
    shop_id: int, dispatch_id: int, *, state: MessageState | None = None, after: Place | None = None, limit: int = 50
) -> Stretch:
    """Up to `limit` messages after `after`, those shown as `state` alone if one is given (`PENDING`: all that are still
    to go). Reads some batches' messages however many the dispatch has: as many as it takes to fill the page."""
    values: dict[str, Any] = {"shop_id": shop_id, "dispatch_id": dispatch_id}
    failed = bool(session.scalar(_FAILED, values))
    values |= {
        "batch": after.batch if after else 0,
        "message_id": after.message_id if after else 0,
        "limit": limit,
        "states": None if state is None else _SHOWN_AS.get(state, [state.value]),
        "stored": None if state is None else [state.value, *_PERHAPS.get(state, ())],
        "dispatch_failed": failed,
    }
    found = session.execute(_STATEMENTS[state], values).all()
    cipher = crypto.for_shop(shop_id)
    shown = found[:limit]
    more = Place(shown[-1].number, shown[-1].id) if len(found) > limit else None
    return Stretch([row_of(row, cipher) for row in shown], more)

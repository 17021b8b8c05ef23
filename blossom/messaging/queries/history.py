"""All that is known of one message: its tries, the calls that were made for it, and what the provider said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from blossom.messaging.queries.recipients import RecipientRow, recipients
from blossom.messaging.rules import message_ids
from blossom.platform.db import session
from blossom.platform.errors import NotFound

_MOST = 100
"""Of tries, calls and receipts each: more of one text would be a fault of somebody's."""

_MESSAGE = text("""
SELECT m.created_at, m.batch_number, d.prepared_at FROM messages m JOIN dispatches d ON d.id = m.dispatch_id
WHERE m.id = :message_id AND m.shop_id = :shop_id AND m.dispatch_id = :dispatch_id
""")

_TRIES = text("""
SELECT try AS number, batch_number, state, error, delivery_status, provider_message_id, sent_at, failed_at, again_at
FROM earlier_tries WHERE message_id = :message_id AND shop_id = :shop_id ORDER BY try LIMIT :most
""")

_CALLS = text("""
SELECT batch_number, state, claimed_at, called_at, ended_at, code FROM attempts
WHERE shop_id = :shop_id AND dispatch_id = :dispatch_id AND batch_number = ANY(CAST(:batches AS integer[]))
ORDER BY id LIMIT :most
""")

_RECEIPTS = text("""
SELECT provider_message_id, status, error_code, occurred_at, received_at FROM receipts
WHERE provider_message_id = ANY(CAST(:provider_ids AS text[])) AND state = 'applied' AND message_id = :message_id
ORDER BY received_at, id LIMIT :most
""")


@dataclass(frozen=True)
class Try:
    """How the message had ended before it was sent again at `again_at`."""

    number: int
    batch_number: int
    state: str
    error: str | None
    delivery_status: str | None
    provider_message_id: str | None
    sent_at: datetime | None
    failed_at: datetime | None
    again_at: datetime


@dataclass(frozen=True)
class Call:
    """A worker took the message's batch in hand. `called_at` None: no call was made; `state` as of an attempt."""

    batch_number: int
    state: str
    claimed_at: datetime
    called_at: datetime | None
    ended_at: datetime | None
    code: str | None


@dataclass(frozen=True)
class Word:
    """A receipt. `occurred_at`: when the provider says that it happened."""

    provider_message_id: str
    status: str
    error_code: str | None
    occurred_at: datetime | None
    received_at: datetime


@dataclass(frozen=True)
class History:
    """`message` as it stands; `queued_at`: when its dispatch's audience was fixed."""

    message: RecipientRow
    queued_at: datetime
    tries: Sequence[Try]
    calls: Sequence[Call]
    words: Sequence[Word]


def history(shop_id: int, dispatch_id: int, message_id: int) -> History:
    """Raises `NotFound` for a message that the dispatch does not have."""
    stand = message_ids.of_dispatch(dispatch_id)
    if not stand.first <= message_id <= stand.last:
        raise NotFound("message")
    values: dict[str, Any] = {
        "shop_id": shop_id,
        "dispatch_id": dispatch_id,
        "message_id": message_id,
        "most": _MOST,
    }
    found = session.execute(_MESSAGE, values).one_or_none()
    shown = recipients(shop_id, dispatch_id, after_id=message_id - 1, limit=1)
    if found is None or not shown:
        raise NotFound("message")
    (message,) = shown
    tries = [Try(*row) for row in session.execute(_TRIES, values)]
    batches = sorted({found.batch_number, *(each.batch_number for each in tries)})
    provider_ids = {message.provider_message_id, *(each.provider_message_id for each in tries)} - {None}
    calls = session.execute(_CALLS, {**values, "batches": batches})
    words = session.execute(_RECEIPTS, {**values, "provider_ids": sorted(map(str, provider_ids))})
    return History(
        message=message,
        queued_at=found.prepared_at or found.created_at,
        tries=tries,
        calls=[Call(*row) for row in calls],
        words=[Word(*row) for row in words],
    )

"""Sending again: what failed for the moment, what the merchant chooses, and, with a warning, what is unconfirmed.

Never what was delivered, and never, since consent is asked again at the moment of sending, whoever opted out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Row, any_, literal, text
from sqlalchemy.dialects.postgresql import ARRAY

from blossom.messaging.errors import BEING_ASKED_ABOUT, CallsStillOpen, InvalidDispatchState, NothingToRetry
from blossom.messaging.models import Dispatch, Message
from blossom.messaging.queries import estimate
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.retrying import failed_for_now
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import dispatches, orphans, recording
from blossom.platform import clock, config
from blossom.platform.db import session
from blossom.shops import service as shop_service
from blossom.wallet import service as wallet

_RETRYABLE = (DispatchState.COMPLETED, DispatchState.FAILED)

# The candidates' rows are locked: a receipt that says "delivered" at this moment is waited for, and then counts.
_CANDIDATES = text("""
SELECT m.id, m.batch_number, m.error, m.delivery_status, s.state AS consent, a.called_at
FROM messages m LEFT JOIN consents s ON s.shop_id = m.shop_id AND s.phone_hash = m.phone_hash
LEFT JOIN attempts a ON a.id = m.attempt_id
WHERE m.id BETWEEN :first_id AND :last_id AND m.dispatch_id = :dispatch_id AND m.state = :state
  AND (CAST(:ids AS bigint[]) IS NULL OR m.id = ANY(CAST(:ids AS bigint[])))
ORDER BY m.id FOR UPDATE OF m
""")

# What the row said of this try goes, and is kept for the message's history.
_KEEP_TRY = text("""
INSERT INTO earlier_tries (message_id, try, shop_id, dispatch_id, batch_number, state, error, delivery_status,
                           provider_message_id, attempt_id, sent_at, failed_at, again_at)
SELECT id, retry_count, shop_id, dispatch_id, batch_number, state, error, delivery_status, provider_message_id,
       attempt_id, sent_at, failed_at, :now
FROM messages WHERE id = ANY(CAST(:ids AS bigint[])) AND state = :state
ON CONFLICT (message_id, try) DO NOTHING
""")

# Each goes to its new batch; the batches that they leave count them no more. Of these the rows are locked already.
_AGAIN = text("""
WITH again AS (
    UPDATE messages m
    SET state = 'pending', retry_count = retry_count + 1, error = NULL, reason = NULL, failed_at = NULL, sent_at = NULL,
        delivery_status = NULL, provider_message_id = NULL, batch_number = v.number
    FROM unnest(CAST(:ids AS bigint[]), CAST(:befores AS integer[]), CAST(:numbers AS integer[]))
        AS v(id, before, number)
    WHERE m.id = v.id AND m.state = :state
    RETURNING v.before
)
UPDATE batches b
SET size = b.size - c.people, failed = b.failed - CASE :state WHEN 'failed' THEN c.people ELSE 0 END,
    unconfirmed = b.unconfirmed - CASE :state WHEN 'unconfirmed' THEN c.people ELSE 0 END
FROM (SELECT before, count(*) AS people FROM again GROUP BY before) c
WHERE b.dispatch_id = :dispatch_id AND b.number = c.before
""")


@dataclass(frozen=True)
class RetryOutcome:
    """`left_out`: reason → messages that were not chosen. `credits`: reserved for the second try."""

    retried: int
    left_out: dict[str, int]
    credits: int


def retry_failed(shop_id: int, dispatch_id: int, message_ids: Sequence[int] | None = None) -> RetryOutcome:
    """Send again what failed for a reason that passes, or exactly the failed messages that the merchant names.

    Raises `InvalidDispatchState` while the dispatch goes on, `CallsStillOpen` while a failed one has texts in a call,
    `NothingToRetry`, `InsufficientCredit`, `ShopLeft`.
    """
    dispatch = _ended(shop_id, dispatch_id)
    rows = _candidates(dispatch_id, MessageState.FAILED, message_ids)
    left_out: Counter[str] = Counter()
    chosen = []
    for row in rows:
        if row.consent == "opted_out":
            left_out["opted_out"] += 1
        elif message_ids is None and not failed_for_now(row.error, row.delivery_status):
            left_out["failed_for_good"] += 1
        else:
            chosen.append(row)
    if message_ids is not None:
        left_out["not_failed"] += len(set(message_ids)) - len(rows)
    return _send_again(dispatch, chosen, MessageState.FAILED, +left_out)


def retry_unconfirmed(shop_id: int, dispatch_id: int, *, even_asked_about: bool = False) -> RetryOutcome:
    """Send the unconfirmed again. Some of them may have had the text already: the caller has warned of that.

    Not those whom a receipt may be about that Mitto is still being asked after, unless `even_asked_about`: whose it is
    shows in seconds, and whoever it is of has had the text. Which of them, nobody knows before. Raises as
    `retry_failed`.
    """
    dispatch = _ended(shop_id, dispatch_id)
    rows = _candidates(dispatch_id, MessageState.UNCONFIRMED, None)
    # Looked for with the candidates locked: an answer that comes now waits, and finds whoever is left out unconfirmed.
    unanswered = None if even_asked_about else orphans.newest_unanswered(shop_id)
    left_out: Counter[str] = Counter()
    chosen = []
    for row in rows:
        if row.consent == "opted_out":
            left_out["opted_out"] += 1
        elif unanswered is not None and row.called_at is not None and row.called_at <= unanswered:
            left_out[BEING_ASKED_ABOUT] += 1
        else:
            chosen.append(row)
    return _send_again(dispatch, chosen, MessageState.UNCONFIRMED, left_out)


def _ended(shop_id: int, dispatch_id: int) -> Dispatch:
    dispatch = dispatches.lock(shop_id, dispatch_id)
    shop_service.require_installed(shop_id)
    if dispatch.state not in _RETRYABLE:
        raise InvalidDispatchState("sent again", dispatch.state)
    if texts := dispatches.in_flight(dispatch_id):
        raise CallsStillOpen(texts)
    dispatches.close_at_once(dispatch)
    return dispatch


def _candidates(dispatch_id: int, state: MessageState, ids: Sequence[int] | None) -> Sequence[Row[Any]]:
    stand = message_ids.of_dispatch(dispatch_id)
    values = {
        "dispatch_id": dispatch_id,
        "first_id": stand.first,
        "last_id": stand.last,
        "state": state.value,
        "ids": list(ids) if ids is not None else None,
    }
    return session.execute(_CANDIDATES, values).all()


def _send_again(
    dispatch: Dispatch, chosen: Sequence[Row[Any]], state: MessageState, left_out: dict[str, int]
) -> RetryOutcome:
    if not chosen:
        raise NothingToRetry(dict(left_out))
    ids = [row.id for row in chosen]
    which = Message.id == any_(literal(ids, ARRAY(BigInteger)))  # ten thousand values in a list are planned for seconds
    cost = estimate.cost_of_messages(dispatch.shop_id, dispatch, which)
    now = clock.now()
    idle = dispatches.held_for(dispatch)
    first_new = _next_number(dispatch.id)
    with session.begin_nested():  # without credit all of it is undone
        session.execute(_KEEP_TRY, {"ids": ids, "state": state.value, "now": now})
        recording.lock_batches(dispatch.id, {row.batch_number for row in chosen})
        befores, groups = {row.id: row.batch_number for row in chosen}, []
        for before, of_text in _by_text(dispatch.id, chosen):
            groups += [(before, batch) for batch in _in_batches(of_text, config.current().mitto_batch_size)]
        numbers = recording.new_batches(dispatch.id, groups, due_at=now)
        moved = [
            (message_id, number) for number, (_, batch) in zip(numbers, groups, strict=True) for message_id in batch
        ]
        session.execute(
            _AGAIN,
            {
                "ids": [message_id for message_id, _ in moved],
                "befores": [befores[message_id] for message_id, _ in moved],
                "numbers": [number for _, number in moved],
                "state": state.value,
                "dispatch_id": dispatch.id,
            },
        )
        dispatches.release_credits(dispatch)
        reservation = wallet.reserve(  # the wallet last, as receipts take it
            dispatch.shop_id,
            cost,
            reference=f"dispatch:{dispatch.id}:again:{first_new}",
            expires_at=now + idle,
            idle_limit=idle,
        )
    dispatch.state, dispatch.finished_at = DispatchState.SENDING.value, None
    dispatch.failure_code = dispatch.failure_text = None
    dispatch.reservation_id = reservation.id if reservation else None
    session.flush()
    dispatches.nudge_lanes()
    dispatches.tell_owner(dispatch)
    return RetryOutcome(len(ids), dict(left_out), cost)


_TEXTS = text("""
SELECT number, text_number FROM batches
WHERE dispatch_id = :dispatch_id AND number = ANY(CAST(:numbers AS integer[]))
""")


def _by_text(dispatch_id: int, chosen: Sequence[Row[Any]]) -> Iterable[tuple[int, list[int]]]:
    """For each text that some of these got, a batch that they were in, and their ids in order: whoever is texted again
    gets the same text."""
    numbers = sorted({row.batch_number for row in chosen})
    rows = session.execute(_TEXTS, {"dispatch_id": dispatch_id, "numbers": numbers})
    texts: dict[int, int | None] = {row.number: row.text_number for row in rows}
    found: dict[int | None, tuple[int, list[int]]] = {}
    for row in chosen:
        found.setdefault(texts[row.batch_number], (row.batch_number, []))[1].append(row.id)
    return found.values()


_WIDEST = 20_000
"""Ids that a batch of texts that are sent again may span: each look at the batch reads all that stand between."""


def _in_batches(ids: Sequence[int], size: int) -> list[list[int]]:
    """Ascending ids in batches of up to `size` that stand near to each other."""
    batches: list[list[int]] = []
    for message_id in ids:
        if not batches or len(batches[-1]) == size or message_id - batches[-1][0] >= _WIDEST:
            batches.append([])
        batches[-1].append(message_id)
    return batches


def _next_number(dispatch_id: int) -> int:
    found = session.execute(
        text("SELECT coalesce(max(number), 0) + 1 FROM batches WHERE dispatch_id = :id"), {"id": dispatch_id}
    )
    return int(found.scalar_one())

"""Receipts applied in bulk, with the same end in any order and any number.

A message's state after receipts is a function of the *set* of receipts stored for its text, not of their order: each
application reads all of them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DataError, IntegrityError

from blossom.messaging.rules.states import MessageState, ReceiptFact, furthest, moves_forward
from blossom.mitto import payloads
from blossom.platform import clock
from blossom.platform.db import rows_changed, session
from blossom.platform.errors import BlossomError
from blossom.wallet import queries as prices
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit

log = structlog.get_logger()

CHUNK = 2_000
"""Receipts applied in one transaction."""

_FAULTS_OF_A_RECEIPT = (IntegrityError, DataError, BlossomError)
"""What the rows that a receipt names can be to blame for. All else (a lost connection, a deadlock, a mistake in the
code) concerns every receipt, and is raised."""

_DUE = text("""
SELECT r.id, r.provider_message_id, r.named_shop_id, p.shop_id, p.message_id
FROM receipts r LEFT JOIN provider_messages p ON p.provider_message_id = r.provider_message_id
WHERE r.state = 'new' ORDER BY r.id LIMIT :chunk FOR UPDATE OF r SKIP LOCKED
""")

_DUE_OF_TEXT = text("""
SELECT r.id, r.provider_message_id, r.named_shop_id, p.shop_id, p.message_id
FROM receipts r LEFT JOIN provider_messages p ON p.provider_message_id = r.provider_message_id
WHERE r.state = 'new' AND r.provider_message_id = :only ORDER BY r.id LIMIT :chunk FOR UPDATE OF r SKIP LOCKED
""")

_MESSAGES = text("""
SELECT m.id, m.shop_id, m.dispatch_id, m.batch_number, m.state, m.provider_message_id, m.country, m.segments,
       m.credits, m.delivery_status, m.error, m.delivered_at, m.failed_at, d.price_list_id
FROM messages m JOIN dispatches d ON d.id = m.dispatch_id
WHERE m.id = ANY(CAST(:ids AS bigint[])) ORDER BY m.id FOR NO KEY UPDATE OF m
""")

# Those that name another shop are about to be refused, and don't count while they wait for it. Text by text, behind a
# fence (OFFSET 0): while the table has no statistics, the planner would take many ids for all that there are.
_ALL_OF = text("""
SELECT p.provider_message_id, said.status, said.error_code, said.at
FROM unnest(CAST(:provider_ids AS text[])) AS named(id)
JOIN provider_messages p ON p.provider_message_id = named.id
CROSS JOIN LATERAL (
    SELECT r.status, r.error_code, coalesce(r.occurred_at, r.received_at) AS at FROM receipts r
    WHERE r.provider_message_id = named.id AND r.state IN ('new', 'applied')
      AND (r.named_shop_id IS NULL OR r.named_shop_id = p.shop_id)
    OFFSET 0
) said
""")

# JSON rather than an array for each column, which psycopg writes element by element: a quarter of a worker's profile.
_CHANGE = text("""
UPDATE messages m
SET state = v.state, delivery_status = v.raw, error = v.error, credits = m.credits + v.credits,
    provider_message_id = v.provider_message_id,
    sent_at = coalesce(m.sent_at, v.at),
    delivered_at = CASE WHEN v.state = 'delivered' THEN v.at END,
    failed_at = CASE WHEN v.state = 'failed' THEN v.at END
FROM json_to_recordset(CAST(:changes AS json))
     AS v(id bigint, state text, raw text, error text, credits integer, provider_message_id text, at timestamptz)
WHERE m.id = v.id
""")

# Rows that this transaction has changed already: it waits for nobody.
_FORGIVE = text("""
UPDATE messages m SET credits = m.credits - v.credits
FROM unnest(CAST(:ids AS bigint[]), CAST(:credits AS integer[])) AS v(id, credits)
WHERE m.id = v.id
""")

_LOCK_BATCHES = text("""
SELECT b.dispatch_id, b.number, b.state FROM batches b
JOIN unnest(CAST(:dispatch_ids AS bigint[]), CAST(:numbers AS integer[])) AS v(dispatch_id, number)
  ON b.dispatch_id = v.dispatch_id AND b.number = v.number
ORDER BY b.dispatch_id, b.number FOR NO KEY UPDATE OF b
""")

_CLOSED_AS = text("""
SELECT id, CASE state WHEN 'failed' THEN 'failed' ELSE 'cancelled' END AS closed_as FROM dispatches
WHERE id = ANY(CAST(:ids AS bigint[]))
""")

_SHIFT = text("""
UPDATE batches b
SET sent = b.sent + v.sent, delivered = b.delivered + v.delivered, failed = b.failed + v.failed,
    unconfirmed = b.unconfirmed + v.unconfirmed
FROM unnest(CAST(:dispatch_ids AS bigint[]), CAST(:numbers AS integer[]), CAST(:sent AS integer[]),
            CAST(:delivered AS integer[]), CAST(:failed AS integer[]), CAST(:unconfirmed AS integer[]))
     AS v(dispatch_id, number, sent, delivered, failed, unconfirmed)
WHERE b.dispatch_id = v.dispatch_id AND b.number = v.number
""")

_MARK = text("""
UPDATE receipts r SET state = v.state, shop_id = v.shop_id, message_id = v.message_id, applied_at = :now
FROM json_to_recordset(CAST(:marks AS json)) AS v(id bigint, state text, shop_id bigint, message_id bigint)
WHERE r.id = v.id
""")


@dataclass(frozen=True, slots=True)
class _Change:
    """A message's new state. `was`: the state that its batch counts it in. `credits`: what its cost changes by (a
    refund is negative)."""

    message: Row[Any]
    was: MessageState
    fact: ReceiptFact
    provider_message_id: str
    credits: int


def apply_receipts(limit: int = CHUNK, *, only: str | None = None) -> int:
    """Apply up to `limit` stored receipts, oldest first, in the caller's transaction. How many were taken up.

    `only`: those about the text with this id of the provider's, for a request that must not do everybody's work.

    Workers side by side take different ones. Locks: receipts → messages → batches → wallets.
    When they can't be applied, the oldest half of them is tried, until they can, or one is alone and set aside as
    `stuck`: nobody's receipt may keep everybody's from being applied. The rest is for the next call.
    """
    values = {"chunk": limit, "only": only}
    due = session.execute(_DUE if only is None else _DUE_OF_TEXT, values).all()
    while due:
        try:
            with session.begin_nested():
                _apply(due)
        except _FAULTS_OF_A_RECEIPT as fault:
            if len(due) == 1:
                _set_aside(due[0], fault)
                return 1
            due = due[: len(due) // 2]
        else:
            return len(due)
    return 0


def _apply(due: Sequence[Row[Any]]) -> None:
    named = [row for row in due if row.message_id is not None and row.named_shop_id in (None, row.shop_id)]
    messages = {row.id: row for row in session.execute(_MESSAGES, {"ids": sorted({row.message_id for row in named})})}
    states = _states(messages.values())
    facts = _facts({row.provider_message_id for row in named})
    changes = _changes(named, messages, states, facts)
    _write(changes)
    _settle_money(changes, min((row.id for row in named), default=0))
    _mark(due)


def _set_aside(receipt: Row[Any], fault: Exception) -> None:
    log.error(
        "receipts.stuck",
        receipt_id=receipt.id,
        message_id=receipt.message_id,
        fault=type(fault).__name__,
        exc_info=True,
    )
    session.execute(text("UPDATE receipts SET state = 'stuck' WHERE id = :id"), {"id": receipt.id})


def _states(messages: Collection[Row[Any]]) -> dict[int, MessageState]:
    """The state of each message as its batch counts it, the batches locked. That of a batch which was closed early has
    its end already, though its row still says pending (`dispatches.close_messages`)."""
    keys = sorted({(message.dispatch_id, message.batch_number) for message in messages})
    locked = session.execute(_LOCK_BATCHES, {"dispatch_ids": [key[0] for key in keys], "numbers": [k[1] for k in keys]})
    closed = {(row.dispatch_id, row.number) for row in locked if row.state == "cancelled"}
    late = {m.id: m.dispatch_id for m in messages if m.state == "pending" and (m.dispatch_id, m.batch_number) in closed}
    rows = session.execute(_CLOSED_AS, {"ids": sorted(set(late.values()))}).all() if late else []
    ends = {row.id: row.closed_as for row in rows}
    return {m.id: MessageState(ends[m.dispatch_id] if m.id in late else m.state) for m in messages}


def _facts(provider_ids: set[str]) -> dict[str, list[ReceiptFact]]:
    """Every receipt ever stored for these texts."""
    facts: dict[str, list[ReceiptFact]] = defaultdict(list)
    for provider_id, status, error_code, at in session.execute(_ALL_OF, {"provider_ids": list(provider_ids)}):
        state = MessageState(payloads.delivery_state(status))
        facts[provider_id].append(ReceiptFact(state, status, at, error_code))
    return facts


def _changes(
    named: Sequence[Row[Any]],
    messages: dict[int, Row[Any]],
    states: dict[int, MessageState],
    facts: dict[str, list[ReceiptFact]],
) -> list[_Change]:
    changes: dict[int, _Change] = {}
    for row in named:
        message = messages.get(row.message_id)
        if message is None:
            continue
        fact = furthest(facts[row.provider_message_id])
        current, own = states[message.id], message.provider_message_id == row.provider_message_id
        if not own and fact.state is not MessageState.DELIVERED:
            continue  # about an earlier try of a message that is being tried again
        forward = moves_forward(current, fact.state)
        if not forward and not (own and current == fact.state and _says_otherwise(message, fact)):
            continue
        known = changes.get(message.id)
        if known is None or moves_forward(known.fact.state, fact.state):
            change = _credits_changed(message, current, fact) if forward else 0
            changes[message.id] = _Change(message, current, fact, row.provider_message_id, change)
    return list(changes.values())


def _says_otherwise(message: Row[Any], fact: ReceiptFact) -> bool:
    """Whether the deciding receipt of a state that the message is in already differs from the one written there."""
    final_at = {MessageState.DELIVERED: message.delivered_at, MessageState.FAILED: message.failed_at}
    written = message.delivery_status, message.error, final_at.get(fact.state, fact.at)
    return written != (fact.raw, _error(fact), fact.at)


def _credits_changed(message: Row[Any], current: MessageState, fact: ReceiptFact) -> int:
    """By how much a text's cost changes: a failed one is given back if its price list says so, and charged again if
    it turns out to have been delivered."""
    price_list = prices.price_list(message.price_list_id)
    if not price_list.refund_failed:
        return 0
    cost = price_list.credits(message.country, message.segments)
    if fact.state is MessageState.FAILED:
        return -min(cost, int(message.credits))
    refunded = current is MessageState.FAILED and message.delivery_status is not None  # a receipt failed it
    waits = current in (MessageState.FAILED, MessageState.PENDING) and message.credits < cost  # an earlier text's was
    return cost if refunded or waits else 0


def _write(changes: Sequence[_Change]) -> None:
    if not changes:
        return
    written = [
        {
            "id": change.message.id,
            "state": change.fact.state.value,
            "raw": change.fact.raw,
            "error": _error(change.fact),
            "credits": change.credits,
            "provider_message_id": change.provider_message_id,
            "at": change.fact.at,
        }
        for change in changes
    ]
    session.execute(_CHANGE, {"changes": orjson.dumps(written).decode()})
    shifts: dict[tuple[int, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for change in changes:
        shift = shifts[change.message.dispatch_id, change.message.batch_number]
        shift[change.was.value] -= 1
        shift[change.fact.state.value] += 1
    moved = {key: shift for key, shift in sorted(shifts.items()) if any(shift.values())}
    keys = {"dispatch_ids": [key[0] for key in moved], "numbers": [key[1] for key in moved]}
    counts = {
        name: [shift[name] for shift in moved.values()] for name in ("sent", "delivered", "failed", "unconfirmed")
    }
    session.execute(_SHIFT, {**keys, **counts})


def _error(fact: ReceiptFact) -> str | None:
    if fact.state is not MessageState.FAILED:
        return None
    return fact.error_code or ("expired" if fact.raw.lower() == "expired" else "not_delivered")


def _settle_money(changes: Sequence[_Change], first_receipt: int) -> None:
    """One ledger line a dispatch for what is given back, one for what is charged again.

    Their reference is the first receipt that was applied, which happens once; an orphan's second look would not do.
    """
    settled: dict[tuple[int, int, bool], list[_Change]] = defaultdict(list)
    for change in changes:
        if change.credits:
            key = change.message.shop_id, change.message.dispatch_id, change.credits < 0
            settled[key].append(change)
    for (shop_id, dispatch_id, back), those in sorted(settled.items(), key=lambda item: item[0]):
        reference = f"receipts:{first_receipt}:{dispatch_id}"
        if back:
            wallet.refund(shop_id, -sum(change.credits for change in those), reference, dispatch_id=dispatch_id)
        else:
            _charge_again(shop_id, dispatch_id, reference, those)


def _charge_again(shop_id: int, dispatch_id: int, reference: str, changes: Sequence[_Change]) -> None:
    """Take back what was given back for texts that were delivered after all: for as many as the shop has credits for.
    The others keep it, and their rows say so: what they cost in sum stays what the ledger says."""
    amount = sum(change.credits for change in changes)
    try:
        wallet.reverse_refund(shop_id, amount, reference, dispatch_id=dispatch_id)
    except InsufficientCredit as error:  # raised with the wallet locked: what is free stays free
        paid, unpaid = 0, []
        for change in changes:
            if paid + change.credits <= error.available:
                paid += change.credits
            else:
                unpaid.append(change)
        wallet.reverse_refund(shop_id, paid, reference, dispatch_id=dispatch_id)
        values = {"ids": [each.message.id for each in unpaid], "credits": [each.credits for each in unpaid]}
        session.execute(_FORGIVE, values)
        log.warning("receipts.reversal_unpaid", dispatch_id=dispatch_id, texts=len(unpaid), credits=amount - paid)


def _mark(due: Sequence[Row[Any]]) -> None:
    marks = []
    for row in due:
        state = "applied"
        if row.message_id is None:
            state = "orphan"
        elif row.named_shop_id not in (None, row.shop_id):
            log.warning("receipts.wrong_shop", receipt_id=row.id, named_shop_id=row.named_shop_id)
            state = "refused"
        marks.append({"id": row.id, "state": state, "shop_id": row.shop_id, "message_id": row.message_id})
    session.execute(_MARK, {"marks": orjson.dumps(marks).decode(), "now": clock.now()})


_REMATCH = text("""
UPDATE receipts r SET state = 'new'
FROM provider_messages p
WHERE r.state = 'orphan' AND p.provider_message_id = r.provider_message_id
""")


def rematch_orphans() -> int:
    """Wake receipts whose message has got its name since they were looked at (the two can miss each other)."""
    return rows_changed(_REMATCH)


def any_due() -> bool:
    """Whether any receipt waits to be applied."""
    return bool(session.execute(text("SELECT EXISTS (SELECT FROM receipts WHERE state = 'new')")).scalar_one())

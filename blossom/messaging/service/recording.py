"""The third step of sending: what became of a call is written down, for the whole batch at once.

Order of locks, here and wherever several are taken: attempt → messages → batch → wallet → reservation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import text

from blossom.messaging.rules import manifest
from blossom.messaging.rules.states import MessageState, SkipReason
from blossom.platform import bulk, config, queue
from blossom.platform.db import session
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit

log = structlog.get_logger()

# One statement: the messages' outcomes, the names that the provider gave them, and the receipts that came before their
# message had its name. By id alone: with the dispatch in the condition, a planner without statistics reads all of it.
_RECORD = text("""
WITH v AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:errors AS text[]),
        CAST(:provider_ids AS text[]), CAST(:segments AS smallint[]), CAST(:credits AS integer[])
    ) AS v(id, state, reason, error, provider_message_id, segments, credits)
), recorded AS (
    UPDATE messages m
    SET state = v.state, reason = v.reason, error = v.error, provider_message_id = v.provider_message_id,
        attempt_id = :attempt_id, segments = v.segments, credits = m.credits + v.credits,
        sent_at = CASE WHEN v.state IN ('sent', 'unconfirmed') THEN CAST(:called_at AS timestamptz) ELSE m.sent_at END,
        failed_at = CASE WHEN v.state = 'failed' THEN CAST(:now AS timestamptz) END
    FROM v
    WHERE m.id = v.id AND m.shop_id = :shop_id AND m.state IN ('pending', 'unconfirmed')
    RETURNING v.credits
), named AS (
    INSERT INTO provider_messages (provider_message_id, shop_id, message_id)
    SELECT v.provider_message_id, :shop_id, v.id FROM v WHERE v.provider_message_id IS NOT NULL
    ON CONFLICT (provider_message_id) DO NOTHING
    RETURNING provider_message_id
), woken AS (
    UPDATE receipts r SET state = 'new' FROM named
    WHERE r.state = 'orphan' AND r.provider_message_id = named.provider_message_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM recorded) AS rows, (SELECT coalesce(sum(credits), 0) FROM recorded) AS credits,
       (SELECT count(*) FROM woken) AS woken
""")

_END_ATTEMPT = text("""
UPDATE attempts a SET state = :outcome, ended_at = :now, bulk_id = :bulk_id, code = :code,
                      manifest = CASE WHEN :keep_manifest THEN a.manifest END
FROM (SELECT id, state, manifest FROM attempts WHERE id = :attempt_id FOR UPDATE) before
WHERE a.id = before.id AND before.state IN ('claimed', 'calling', 'lost')
RETURNING before.state, CASE WHEN before.state = 'lost' THEN before.manifest END AS manifest
""")

# When every outcome was written to a pending row, the counts follow from the outcomes.
_ADD = text("""
UPDATE batches b
SET sent = b.sent + :sent, failed = b.failed + :failed, skipped = b.skipped + :skipped,
    unconfirmed = b.unconfirmed + :unconfirmed, tries = 0, recorded_at = :now,
    state = CASE
        WHEN b.sent + b.delivered + b.failed + b.skipped + b.cancelled + b.unconfirmed + :all = b.size THEN 'done'
        ELSE 'pending' END
WHERE b.dispatch_id = :dispatch_id AND b.number = :batch_number
RETURNING b.state = 'done' AND NOT EXISTS (
    SELECT FROM batches o
    WHERE o.dispatch_id = :dispatch_id AND o.number <> :batch_number AND o.state IN ('pending', 'claimed')
)
""")

# Taken before counting: a receipt that is being applied has shifted the counts, and is waited for.
_LOCK_BATCH = text("""
SELECT first_id, last_id FROM batches WHERE dispatch_id = :dispatch_id AND number = :batch_number FOR NO KEY UPDATE
""")

_RECOUNT = text("""
UPDATE batches b
SET size = c.size, sent = c.sent, delivered = c.delivered, failed = c.failed, skipped = c.skipped,
    cancelled = c.cancelled, unconfirmed = c.unconfirmed,
    state = CASE WHEN c.pending = 0 THEN 'done' WHEN :close THEN 'pending' ELSE b.state END,
    tries = CASE WHEN :close THEN 0 ELSE b.tries END,
    recorded_at = CASE WHEN :close THEN CAST(:now AS timestamptz) ELSE b.recorded_at END
FROM (
    SELECT count(*) AS size,
           count(*) FILTER (WHERE state = 'pending') AS pending,
           count(*) FILTER (WHERE state = 'sent') AS sent,
           count(*) FILTER (WHERE state = 'delivered') AS delivered,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'skipped') AS skipped,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE state = 'unconfirmed') AS unconfirmed
    FROM messages
    WHERE id BETWEEN :first_id AND :last_id AND dispatch_id = :dispatch_id AND batch_number = :batch_number
) c
WHERE b.dispatch_id = :dispatch_id AND b.number = :batch_number
RETURNING NOT EXISTS (
    SELECT FROM batches o
    WHERE o.dispatch_id = :dispatch_id AND o.number <> :batch_number AND o.state IN ('pending', 'claimed')
) AND c.pending = 0
""")

_HOLD_NUMBERS = text(
    "SELECT pg_advisory_xact_lock(hashtext('batch numbers'), CAST(:dispatch_id % 2147483647 AS integer))"
)
_NEXT_NUMBER = text("SELECT max(number) + 1 FROM batches WHERE dispatch_id = :dispatch_id")

_NEW_BATCH = text("""
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id, text_number)
SELECT dispatch_id, :new_number, shop_id, 'pending', :due_at, :valid_until, :size, :first_id, :last_id, text_number
FROM batches WHERE dispatch_id = :dispatch_id AND number = :batch_number
""")

_NEW_BATCHES = text("""
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id, text_number)
SELECT b.dispatch_id, v.number, b.shop_id, 'pending', :due_at, :valid_until, v.size, v.first_id, v.last_id,
       b.text_number
FROM unnest(CAST(:numbers AS integer[]), CAST(:sources AS integer[]), CAST(:sizes AS integer[]),
            CAST(:first_ids AS bigint[]), CAST(:last_ids AS bigint[])) AS v(number, source, size, first_id, last_id)
JOIN batches b ON b.dispatch_id = :dispatch_id AND b.number = v.source
""")

_MOVE = text("""
UPDATE messages SET batch_number = :new_number
WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'
""")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message in an attempt. `segments` and `credits` are 0 for what never left."""

    message_id: int
    state: MessageState
    reason: str | None = None
    error: str | None = None
    provider_message_id: str | None = None
    segments: int = 0
    credits: int = 0


@dataclass(frozen=True)
class AttemptKey:
    attempt_id: int
    shop_id: int
    dispatch_id: int
    batch_number: int


def record(
    key: AttemptKey,
    outcomes: Sequence[Outcome],
    *,
    attempt_state: str,
    called_at: datetime | None,
    now: datetime,
    reservation_id: int | None,
    cover_id: int | None = None,
    bulk_id: str | None = None,
    code: str | None = None,
    later: Mapping[datetime, Sequence[int]] | None = None,
    valid_until: datetime | None = None,
) -> bool:
    """Write down an attempt's outcomes, charge for what left (or may have), close the batch.

    `later`: due moment → messages that move to a batch of their own, valid until `valid_until` and as much longer as
    they are put off. `cover_id`: what was held for this one call beside the dispatch's credits.

    Safe to come late: messages that moved on in the meantime stay where they are. Whether the dispatch may be done.
    """
    unsure = any(outcome.state is MessageState.UNCONFIRMED for outcome in outcomes)
    ended = {
        "attempt_id": key.attempt_id,
        "outcome": attempt_state,
        "now": now,
        "bulk_id": bulk_id,
        "code": code,
        "keep_manifest": unsure,
    }
    before = session.execute(_END_ATTEMPT, ended).one_or_none()
    if before is None:
        return False  # already recorded
    if before.state == "lost":
        return _record_late(key, outcomes, before.manifest, called_at=called_at, now=now)
    for due_at, ids in sorted((later or {}).items()):
        until = valid_until + (due_at - now) if valid_until else None
        move_to_new_batch(key.dispatch_id, key.batch_number, ids, due_at=due_at, valid_until=until)
    written = write_outcomes(key, outcomes, called_at=called_at, now=now)
    if later or not outcomes or written.rows != len(outcomes):
        may_be_done = recount(key.dispatch_id, key.batch_number, now=now)
    else:
        may_be_done = _add(key, outcomes, now)
    if written.rows != len(outcomes):
        _cost_others(key, outcomes)
    spent = sum(outcome.credits for outcome in outcomes)
    if cover_id is not None:
        wallet.release(key.shop_id, cover_id)
    if reservation_id is not None and spent:
        _charge(key, reservation_id, spent)
    return may_be_done


_COST_OTHERS = text("""
UPDATE messages m SET credits = m.credits + v.credits
FROM unnest(CAST(:ids AS bigint[]), CAST(:credits AS integer[])) AS v(id, credits)
WHERE m.id = v.id AND m.shop_id = :shop_id AND m.attempt_id IS DISTINCT FROM :attempt_id
""")


def _cost_others(key: AttemptKey, outcomes: Sequence[Outcome]) -> None:
    """What this call cost for messages that had moved on meanwhile, by a receipt of an earlier try: the text has left
    all the same, is charged, and stands in its row."""
    costly = [outcome for outcome in outcomes if outcome.credits]
    values = {
        "ids": bulk.bigint_array(outcome.message_id for outcome in costly),
        "credits": bulk.bigint_array(outcome.credits for outcome in costly),
        "shop_id": key.shop_id,
        "attempt_id": key.attempt_id,
    }
    session.execute(_COST_OTHERS, values)


def _record_late(
    key: AttemptKey, outcomes: Sequence[Outcome], lost: bytes | None, *, called_at: datetime | None, now: datetime
) -> bool:
    """Record a call whose worker the sweeper took for dead: its texts are unconfirmed and charged already.

    What was refused is given back. Who was skipped or put off may be in another worker's hands by now, and is left
    alone. Always False: the sweeper closed the batch.
    """
    charged = {entry.message_id: entry.credits for entry in manifest.unpack(lost or b"")}
    known = [
        replace(outcome, credits=-charged[outcome.message_id] if outcome.state is MessageState.FAILED else 0)
        for outcome in outcomes
        if outcome.message_id in charged
    ]
    written = write_outcomes(key, known, called_at=called_at, now=now)
    recount(key.dispatch_id, key.batch_number, now=now, close=False)
    wallet.refund(key.shop_id, -written.credits, f"late:{key.attempt_id}", dispatch_id=key.dispatch_id)
    return False


def _charge(key: AttemptKey, reservation_id: int, spent: int) -> None:
    """Charge for texts that have left, from what the dispatch holds and then from what is free."""
    reference = attempt_reference(key.attempt_id)
    charge = partial(wallet.capture, key.shop_id, reservation_id, reference=reference, dispatch_id=key.dispatch_id)
    try:
        charge(amount=spent, overdraw=True)
    except InsufficientCredit as error:  # texts can't be called back, and their record must not be undone for it
        log.error("wallet.shortfall", attempt_id=key.attempt_id, missing=spent - error.available)
        charge(amount=error.available, overdraw=True)


def attempt_reference(attempt_id: int) -> str:
    """How the ledger names the charge for an attempt, and the wallet what is held for it beside the reservation."""
    return f"attempt:{attempt_id}"


@dataclass(frozen=True)
class Written:
    """`rows` that were still to be written, and the credits that were added to them."""

    rows: int
    credits: int


def write_outcomes(
    key: AttemptKey, outcomes: Sequence[Outcome], *, called_at: datetime | None, now: datetime
) -> Written:
    """The messages' rows and the names that the provider gave them."""
    if not outcomes:
        return Written(0, 0)
    result = session.execute(
        _RECORD,
        {
            "ids": bulk.bigint_array(outcome.message_id for outcome in outcomes),
            "states": bulk.text_array(outcome.state for outcome in outcomes),
            "reasons": bulk.text_array(outcome.reason for outcome in outcomes),
            "errors": bulk.text_array(outcome.error for outcome in outcomes),
            "provider_ids": bulk.text_array(outcome.provider_message_id for outcome in outcomes),
            "segments": bulk.bigint_array(outcome.segments for outcome in outcomes),
            "credits": bulk.bigint_array(outcome.credits for outcome in outcomes),
            "attempt_id": key.attempt_id,
            "shop_id": key.shop_id,
            "called_at": called_at,
            "now": now,
        },
    ).one()
    if result.woken:
        queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    return Written(int(result.rows), int(result.credits))


def _add(key: AttemptKey, outcomes: Sequence[Outcome], now: datetime) -> bool:
    """Add these outcomes to their batch's counts and close it. Whether it was the dispatch's last open one."""
    counts = Counter(outcome.state.value for outcome in outcomes)
    values = {name: counts[name] for name in ("sent", "failed", "skipped", "unconfirmed")}
    keys = {"dispatch_id": key.dispatch_id, "batch_number": key.batch_number, "now": now, "all": len(outcomes)}
    return bool(session.execute(_ADD, {**values, **keys}).scalar_one())


def recount(dispatch_id: int, batch_number: int, *, now: datetime, close: bool = True) -> bool:
    """Set a batch's counts from its rows; with `close`, its state too. Whether it was the dispatch's last open one."""
    values = {"dispatch_id": dispatch_id, "batch_number": batch_number, "now": now, "close": close}
    held = session.execute(_LOCK_BATCH, values).one()
    stand = {"first_id": held.first_id, "last_id": held.last_id}
    return bool(session.execute(_RECOUNT, {**values, **stand}).scalar_one())


_LOCK_BATCHES = text("""
SELECT number FROM batches WHERE dispatch_id = :dispatch_id AND number = ANY(CAST(:numbers AS integer[]))
ORDER BY number FOR NO KEY UPDATE
""")


def lock_batches(dispatch_id: int, numbers: Collection[int]) -> None:
    """Hold these batches, in their order, before their counts are changed: a receipt that is being applied has shifted
    them, and is waited for."""
    session.execute(_LOCK_BATCHES, {"dispatch_id": dispatch_id, "numbers": sorted(numbers)})


def skipped(reasons: Mapping[int, SkipReason]) -> list[Outcome]:
    return [Outcome(message_id, MessageState.SKIPPED, reason=reason.value) for message_id, reason in reasons.items()]


def split_batch(key: AttemptKey, ids: Sequence[int], valid_until: datetime, now: datetime) -> None:
    """Move the second half of a refused call's messages to a batch of its own, so that the bad one is found."""
    move_to_new_batch(key.dispatch_id, key.batch_number, ids[len(ids) // 2 :], due_at=now, valid_until=valid_until)


def new_batches(dispatch_id: int, groups: Sequence[tuple[int, Sequence[int]]], *, due_at: datetime) -> Sequence[int]:
    """Make a pending batch for each group of messages: a batch that they were in, whose text they get again, and their
    ascending ids. The numbers of the new ones; the caller moves the messages, and takes them from the old batches'
    counts."""
    session.execute(_HOLD_NUMBERS, {"dispatch_id": dispatch_id})
    first: int = session.execute(_NEXT_NUMBER, {"dispatch_id": dispatch_id}).scalar_one()
    numbers = range(first, first + len(groups))
    values = {
        "dispatch_id": dispatch_id,
        "numbers": list(numbers),
        "sources": [before for before, _ in groups],
        "sizes": [len(ids) for _, ids in groups],
        "first_ids": [ids[0] for _, ids in groups],
        "last_ids": [ids[-1] for _, ids in groups],
        "due_at": due_at,
        "valid_until": due_at + timedelta(hours=config.current().message_validity_hours),
    }
    session.execute(_NEW_BATCHES, values)
    return numbers


def move_to_new_batch(
    dispatch_id: int, batch_number: int, ids: Sequence[int], *, due_at: datetime, valid_until: datetime | None = None
) -> int:
    """Make a pending batch of these pending messages, which get the same text as before; its number. The batch they
    leave is recounted by the caller."""
    session.execute(_HOLD_NUMBERS, {"dispatch_id": dispatch_id})
    new_number: int = session.execute(_NEXT_NUMBER, {"dispatch_id": dispatch_id}).scalar_one()
    valid_until = valid_until or due_at + timedelta(hours=config.current().message_validity_hours)
    values = {
        "dispatch_id": dispatch_id,
        "batch_number": batch_number,
        "new_number": new_number,
        "due_at": due_at,
        "valid_until": valid_until,
        "size": len(ids),
        "first_id": min(ids),
        "last_id": max(ids),
        "ids": list(ids),
    }
    session.execute(_NEW_BATCH, values)
    session.execute(_MOVE, values)
    return new_number

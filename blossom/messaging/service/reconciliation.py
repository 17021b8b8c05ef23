"""Setting right what a crash, a lost job or an emptied Redis left behind. Everything here may run twice, or at once.

The sweep runs every few seconds and looks only at small indexes: attempts whose worker went silent, work that is due
and that no job tells of. The reconciliation runs every few minutes and compares counts with rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy import text

from blossom.messaging.models import Attempt, Dispatch
from blossom.messaging.rules import manifest
from blossom.messaging.rules.states import MessageState
from blossom.messaging.service import claiming, dispatches, orphans, provider, receipts, receiving, recording
from blossom.messaging.service.recording import AttemptKey, Outcome
from blossom.mitto.errors import SendError
from blossom.mitto.payloads import Receipt
from blossom.platform import clock, config, queue, stopping
from blossom.platform.db import session, transaction
from blossom.platform.errors import NotFound
from blossom.wallet import queries as wallets
from blossom.wallet import service as wallet

log = structlog.get_logger()
T = TypeVar("T")

COUNTED_AGAIN = timedelta(minutes=10)
"""Batches recorded this lately are compared with their rows: three runs see each, should one be missed."""

MOST_COUNTED_AGAIN = 1_000
"""Batches of one run, of up to 500 messages each."""

_LOST = text("""
SELECT id FROM attempts WHERE state IN ('claimed', 'calling') AND lease_until < :now ORDER BY id LIMIT 100
""")

_DUE_WORK = text("""
SELECT EXISTS (
    SELECT FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
    WHERE d.state = 'sending' AND b.state = 'pending' AND b.text_number IS NOT NULL AND b.due_at <= :now
)
""")

_UNPREPARED = text("""
SELECT shop_id, id FROM dispatches WHERE finished_at IS NULL AND state = 'preparing' AND created_at < :before
ORDER BY id LIMIT 100
""")

_UNSETTLED = text("""
SELECT d.shop_id, d.id FROM dispatches d
WHERE d.finished_at IS NULL AND d.state = 'sending'
  AND NOT EXISTS (SELECT FROM batches b WHERE b.dispatch_id = d.id AND b.state IN ('pending', 'claimed'))
UNION
SELECT d.shop_id, d.id FROM dispatches d JOIN reservations r ON r.shop_id = d.shop_id AND r.id = d.reservation_id
WHERE d.finished_at IS NOT NULL AND r.state = 'open'
ORDER BY id LIMIT 100
""")

# A batch that is claimed by nobody: its attempt ended, and the batch's own row did not follow.
_STRAYED = text("""
SELECT b.dispatch_id, b.number FROM batches b
WHERE b.state = 'claimed' AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.dispatch_id = b.dispatch_id AND a.batch_number = b.number
      AND a.state IN ('claimed', 'calling')
)
  AND (CAST(:dispatch_id AS bigint) IS NULL OR (b.dispatch_id = :dispatch_id AND b.number = :number))
LIMIT 1000
""")

# While it is held, nobody claims the batch.
_HOLD_BATCH = text("""
SELECT number FROM batches WHERE dispatch_id = :dispatch_id AND number = :number FOR NO KEY UPDATE
""")

# Of what was recorded or closed since a bit before the last run, the newest: to count the rows of a whole day each time
# would read millions.
_DRIFTED = text("""
SELECT b.dispatch_id, b.number
FROM (
    SELECT b.*
    FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
    CROSS JOIN LATERAL (
        SELECT greatest(b.recorded_at, CASE WHEN b.state = 'cancelled' THEN d.finished_at END) AS at
    ) changed
    WHERE (d.finished_at IS NULL OR d.finished_at > :day_ago) AND b.state IN ('done', 'cancelled')
      AND changed.at > :since
    ORDER BY changed.at DESC, b.dispatch_id, b.number LIMIT :most
) b
JOIN LATERAL (
    SELECT count(*) AS size,
           count(*) FILTER (WHERE state = 'pending') AS pending,
           count(*) FILTER (WHERE state = 'sent') AS sent, count(*) FILTER (WHERE state = 'delivered') AS delivered,
           count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'skipped') AS skipped,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE state = 'unconfirmed') AS unconfirmed
    FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
) c ON true
WHERE (b.state = 'done' OR (b.state = 'cancelled' AND c.pending = 0))
  AND (b.size, b.sent, b.delivered, b.failed, b.skipped, b.cancelled, b.unconfirmed)
      IS DISTINCT FROM (c.size, c.sent, c.delivered, c.failed, c.skipped, c.cancelled, c.unconfirmed)
""")

_STALLED = text("""
SELECT d.id, d.shop_id FROM dispatches d
WHERE d.finished_at IS NULL AND (
    (d.state = 'preparing' AND d.created_at < :before)
    OR (d.state = 'sending'
        AND EXISTS (SELECT FROM batches b WHERE b.dispatch_id = d.id AND b.state = 'pending'
                      AND b.text_number IS NOT NULL AND b.due_at < :before)
        AND NOT EXISTS (SELECT FROM batches b WHERE b.dispatch_id = d.id AND b.recorded_at > :before))
)
LIMIT 100
""")

_UNCLOSED = text("""
SELECT DISTINCT d.shop_id, d.id FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.finished_at > :since AND b.state = 'cancelled'
  AND EXISTS (SELECT FROM messages m
              WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id
                AND m.batch_number = b.number AND m.state = 'pending')
LIMIT 100
""")

# A batch that was given back to a dispatch that had ended in the meantime.
_LEFT_OPEN = text("""
SELECT DISTINCT d.shop_id, d.id FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.finished_at IS NOT NULL AND b.state = 'pending' LIMIT 100
""")

# Sent a while ago and no final word yet; found through the batches, since no index of messages holds a state. Those
# of which nothing was heard at all come first. Of one dispatch the oldest; of all of them any, so that texts that the
# provider has no news of don't stand in the way of others for a day.
_UNANSWERED = text("""
SELECT m.provider_message_id
FROM (
    SELECT b.dispatch_id, b.number, b.first_id, b.last_id, b.recorded_at FROM batches b
    WHERE b.sent > 0 AND b.recorded_at BETWEEN :since AND :before
      AND (CAST(:dispatch_id AS bigint) IS NULL OR b.dispatch_id = :dispatch_id)
    ORDER BY CASE WHEN CAST(:dispatch_id AS bigint) IS NULL THEN random() END, b.recorded_at LIMIT :most
) b
CROSS JOIN LATERAL (
    SELECT m.id, m.provider_message_id, m.delivery_status FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
      AND m.state = 'sent' AND m.provider_message_id IS NOT NULL
    OFFSET 0
) m
ORDER BY m.delivery_status IS NOT NULL, CASE WHEN CAST(:dispatch_id AS bigint) IS NULL THEN random() END,
         b.recorded_at, m.id
LIMIT :most
""")


@dataclass(frozen=True)
class Refreshed:
    """A status asked for: `status` is the provider's word, None if it doesn't know the id; `error` a code if it could
    not be asked."""

    provider_message_id: str
    status: str | None
    error: str | None = None


def sweep(now: datetime | None = None) -> dict[str, int]:
    """Find what lost its worker or its job and set it going. Manages its transactions. What was found, by kind."""
    now = now or clock.now()
    found = {"lost": 0, "unprepared": 0, "orphans": 0, "unsettled": 0}
    with transaction():
        lost = session.scalars(_LOST, {"now": now}).all()
    found["lost"] = _each(lost, lambda attempt_id: _settle_lost(attempt_id, now))
    with transaction():
        for shop_id, dispatch_id in session.execute(_UNPREPARED, {"before": now - timedelta(seconds=10)}):
            queue.enqueue(
                "messaging.prepare_dispatch",
                queue="prepare",
                shop_id=shop_id,
                dispatch_id=dispatch_id,
                timeout_seconds=3600,
            )
            found["unprepared"] += 1
    with transaction():
        found["orphans"] = receipts.rematch_orphans()
        if receipts.any_due():
            queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
        if session.execute(_DUE_WORK, {"now": now}).scalar_one():
            dispatches.nudge_lanes()
        unsettled = session.execute(_UNSETTLED).all()
    found["unsettled"] = _each(unsettled, lambda ended: _finish(ended.shop_id, ended.id))
    return found


def reconcile(now: datetime | None = None) -> dict[str, int]:
    """Compare counts with rows, and ask after what stands still. Manages its transactions."""
    now = now or clock.now()
    settings = config.current()
    found = {"strayed": 0, "drifted": 0, "left_open": 0, "unclosed": 0, "stalled": 0, "expired": 0}
    day_ago = now - timedelta(hours=settings.unconfirmed_hours)
    with transaction():
        strayed = session.execute(_STRAYED, {"dispatch_id": None, "number": None}).all()
        newest = {"day_ago": day_ago, "since": now - COUNTED_AGAIN, "most": MOST_COUNTED_AGAIN}
        drifted = session.execute(_DRIFTED, newest).all()
        left_open = session.execute(_LEFT_OPEN).all()
    found["strayed"] = _each(strayed, lambda batch: _bring_back(batch.dispatch_id, batch.number, now))
    found["drifted"] = _each(drifted, lambda batch: _count_again(batch.dispatch_id, batch.number, now))
    found["left_open"] = _each(left_open, lambda ended: _finish(ended.shop_id, ended.id))
    with transaction():
        for shop_id, dispatch_id in session.execute(_UNCLOSED, {"since": day_ago}):
            queue.enqueue(
                "messaging.close_messages", queue="slow", shop_id=shop_id, dispatch_id=dispatch_id, timeout_seconds=3600
            )
            found["unclosed"] += 1
        before = now - timedelta(minutes=settings.stalled_minutes)
        for row in session.execute(_STALLED, {"before": before}):
            log.warning("dispatch.stalled", dispatch_id=row.id, shop_id=row.shop_id)
            dispatches.nudge_lanes()
            found["stalled"] += 1
    with transaction():
        found["expired"] = len(wallet.expire_due(now))
    if any(found.values()):
        log.info("reconciled", **found)
    return found


def refresh_unanswered(limit: int = 100, dispatch_id: int | None = None) -> list[Refreshed]:
    """Ask the provider after texts of the last day that have no final receipt. Manages its transactions.

    Once the provider turns out to be away, the rest get the same error without being asked.
    """
    now = clock.now()
    before = now - timedelta(minutes=config.current().stalled_minutes) if dispatch_id is None else now
    with transaction():
        provider_ids = session.scalars(
            _UNANSWERED,
            {
                "since": now - timedelta(hours=config.current().unconfirmed_hours),
                "before": before,
                "most": limit,
                "dispatch_id": dispatch_id,
            },
        ).all()
    refreshed = []
    away: str | None = None
    ends_at = time.monotonic() + orphans.ASKING_SECONDS
    for provider_id in provider_ids:
        if stopping.requested() or time.monotonic() > ends_at:
            break
        if away is not None:
            refreshed.append(Refreshed(provider_id, None, away))
            continue
        try:
            refreshed.append(_refresh(provider_id))
        except SendError as error:
            refreshed.append(Refreshed(provider_id, None, error.code))
            away = error.code if orphans.is_away(error) else None
    return refreshed


def refresh_status(shop_id: int, provider_message_id: str) -> Refreshed:
    """Ask the provider after one text of this shop. Manages its transactions. Raises `NotFound`."""
    with transaction():
        known = session.execute(
            text("SELECT shop_id FROM provider_messages WHERE provider_message_id = :id"), {"id": provider_message_id}
        ).scalar_one_or_none()
    if known != shop_id:
        raise NotFound("message")
    try:
        return _refresh(provider_message_id)
    except SendError as error:
        return Refreshed(provider_message_id, None, error.code)


def _refresh(provider_message_id: str) -> Refreshed:
    """A status is taken as a receipt, so that there is one way in which a message changes. Raises `SendError`."""
    status = provider.client().status(provider_message_id)
    if status is None:
        return Refreshed(provider_message_id, None)
    with transaction():
        receiving.store_receipts([Receipt(provider_message_id, status.status_raw, status.updated_at)])
        receipts.apply_receipts(only=provider_message_id)
    return Refreshed(provider_message_id, status.status_raw)


def _each(things: Iterable[T], settle: Callable[[T], bool]) -> int:
    """Settle each in a transaction of its own; how many were. One that can't be must not keep the others, perhaps of
    other shops, from it: it is logged and found again by the next run."""
    settled = 0
    for thing in things:
        try:
            with transaction():
                settled += settle(thing)
        except Exception:
            log.exception("reconciliation.failed", what=str(thing))
    return settled


def _finish(shop_id: int, dispatch_id: int) -> bool:
    dispatches.finish_if_done(shop_id, dispatch_id)
    return True


def _bring_back(dispatch_id: int, number: int, now: datetime) -> bool:
    """A batch that was claimed by nobody may be claimed again; not if somebody has claimed it since."""
    session.execute(_HOLD_BATCH, {"dispatch_id": dispatch_id, "number": number})
    if session.execute(_STRAYED, {"dispatch_id": dispatch_id, "number": number}).first() is None:
        return False
    recording.recount(dispatch_id, number, now=now)
    return True


def _count_again(dispatch_id: int, number: int, now: datetime) -> bool:
    recording.recount(dispatch_id, number, now=now, close=False)
    return True


def _settle_lost(attempt_id: int, now: datetime) -> bool:
    """An attempt whose worker went silent: given back if its call had not begun, else its texts are unconfirmed."""
    attempt = session.get(Attempt, attempt_id, with_for_update=True, populate_existing=True)
    if attempt is None or attempt.state not in ("claimed", "calling") or attempt.lease_until >= now:
        return False
    orphans.ask_anew(attempt_id)
    log.warning("attempt.lost", attempt_id=attempt_id, state=attempt.state, dispatch_id=attempt.dispatch_id)
    if attempt.state == "claimed":
        return claiming.give_back(attempt_id, outcome="given_back", due_at=now, tries=0, now=now)
    key = AttemptKey(attempt.id, attempt.shop_id, attempt.dispatch_id, attempt.batch_number)
    outcomes = [
        Outcome(entry.message_id, MessageState.UNCONFIRMED, segments=entry.segments, credits=entry.credits)
        for entry in manifest.unpack(attempt.manifest or b"")
    ]
    dispatch = session.get_one(Dispatch, attempt.dispatch_id)
    cover = wallets.reservation_by_reference(attempt.shop_id, recording.attempt_reference(attempt_id))
    recording.record(
        key,
        outcomes,
        attempt_state="lost",
        called_at=attempt.called_at,
        now=now,
        reservation_id=dispatch.reservation_id,
        cover_id=cover.id if cover else None,
        code="worker_lost",
    )
    return True

"""A dispatch on its way to its end: paused, resumed, cancelled, failed, finished. How it begins: `starting`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text

from blossom.messaging.errors import InvalidDispatchState
from blossom.messaging.models import Dispatch, Message
from blossom.messaging.queries import estimate
from blossom.messaging.rules.states import (
    FINAL_DISPATCH_STATES,
    DispatchState,
    MessageState,
)
from blossom.platform import clock, config, queue
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.shops import service as shop_service
from blossom.wallet import service as wallet


@dataclass(frozen=True)
class CancelOutcome:
    """`left`: texts that had left already, or may have; `failed`: those that Mitto, or the network, refused since;
    `cancelled`: those that never leave. Credits set free."""

    left: int
    cancelled: int
    in_flight: int
    released_credits: int
    failed: int = 0


def pause_dispatch(shop_id: int, dispatch_id: int) -> Dispatch:
    """Stop new calls at once; what is in a call ends by itself. Pausing what is paused changes nothing."""
    dispatch = lock(shop_id, dispatch_id)
    if dispatch.state == DispatchState.PAUSED:
        return dispatch
    if dispatch.state not in (DispatchState.PREPARING, DispatchState.SENDING):
        raise InvalidDispatchState("paused", dispatch.state)
    dispatch.state = DispatchState.PAUSED.value
    session.flush()
    return dispatch


def resume_dispatch(shop_id: int, dispatch_id: int) -> Dispatch:
    """Go on where it stopped. What waited beyond its validity may go still: the merchant has just said so.

    When its credits were freed meanwhile (a reservation ends a day after its last use), what is left to send is
    reserved anew; `InsufficientCredit` then leaves it paused. Raises `ShopLeft`.
    """
    dispatch = lock(shop_id, dispatch_id)
    shop_service.require_installed(shop_id)
    if dispatch.state in (DispatchState.PREPARING, DispatchState.SENDING):
        return dispatch
    if dispatch.state != DispatchState.PAUSED:
        raise InvalidDispatchState("resumed", dispatch.state)
    dispatch.failure_code = dispatch.failure_text = None
    if dispatch.prepared_at is None:
        dispatch.state = DispatchState.PREPARING.value
        session.flush()
        queue.enqueue(
            "messaging.prepare_dispatch",
            queue="prepare",
            shop_id=shop_id,
            dispatch_id=dispatch_id,
            timeout_seconds=3600,
        )
        return dispatch
    dispatch.state = DispatchState.SENDING.value
    session.flush()
    validity = timedelta(hours=config.current().message_validity_hours)
    session.execute(
        text("""
            UPDATE batches SET valid_until = greatest(valid_until, :valid_until)
            WHERE dispatch_id = :dispatch_id AND state = 'pending'
        """),
        {"dispatch_id": dispatch_id, "valid_until": clock.now() + validity},
    )
    reserve_anew(dispatch)
    nudge_lanes()
    return dispatch


def held_for(dispatch: Dispatch) -> timedelta:
    """How long its credits are held without use: a day, and as long as clicks have to decide what the rest gets."""
    waits = dispatch.decide_after if dispatch.winner is None else None
    return timedelta(hours=config.current().reservation_hours) + (waits or timedelta())


def reserve_anew(dispatch: Dispatch) -> None:
    """Hold what the pending messages will cost, unless the first reservation is open still: that lasts as long again,
    for many of them may be asleep."""
    if dispatch.reservation_id is not None and wallet.touch(dispatch.shop_id, dispatch.reservation_id):
        return
    cost = estimate.cost_of_messages(dispatch.shop_id, dispatch, Message.state == MessageState.PENDING.value)
    idle = held_for(dispatch)
    reservation = wallet.reserve(
        dispatch.shop_id,
        cost,
        reference=f"dispatch:{dispatch.id}:after:{dispatch.reservation_id}",
        expires_at=clock.now() + idle,
        idle_limit=idle,
    )
    if reservation is not None:
        dispatch.reservation_id = reservation.id
        session.flush()


def cancel_dispatch(shop_id: int, dispatch_id: int) -> CancelOutcome:
    """End it now: what has not left never leaves, and its credits are free. What has left has left.

    Batches whose call is being made end by themselves; their credits are settled when the last of them has.
    """
    dispatch = lock(shop_id, dispatch_id)
    if dispatch.state in FINAL_DISPATCH_STATES and dispatch.state != DispatchState.CANCELLED:
        raise InvalidDispatchState("cancelled", dispatch.state)
    if dispatch.state == DispatchState.CANCELLED:
        return _outcome(dispatch_id, 0)
    released = _close(dispatch, DispatchState.CANCELLED)
    return _outcome(dispatch_id, released)


def fail_dispatch(shop_id: int, dispatch_id: int, code: str, merchant_text: str) -> None:
    """End it since it can't be sent as such; what has not left is not sent. A dispatch that has ended stays so."""
    dispatch = lock(shop_id, dispatch_id)
    if dispatch.state not in FINAL_DISPATCH_STATES:
        dispatch.failure_code, dispatch.failure_text = code, merchant_text
        _close(dispatch, DispatchState.FAILED)


def stop_for_credit(shop_id: int, dispatch_id: int, missing: int) -> None:
    """Pause it: the next call is not paid for. The merchant tops up and resumes."""
    dispatch = lock(shop_id, dispatch_id)
    if dispatch.state == DispatchState.SENDING:
        dispatch.state = DispatchState.PAUSED.value
        dispatch.failure_code = "insufficient_credit"
        dispatch.failure_text = f"{missing} credits are missing for the next texts. Top up, then resume."
        session.flush()
        tell_owner(dispatch)


_FINISH = text("""
UPDATE dispatches d
SET state = CASE WHEN c.left_us = 0 AND c.failed > 0 THEN 'failed' ELSE 'completed' END,
    failure_code = CASE WHEN c.left_us = 0 AND c.failed > 0 THEN 'nothing_accepted' END,
    failure_text = CASE WHEN c.left_us = 0 AND c.failed > 0
                        THEN 'Mitto accepted none of the texts. See the causes below.' END,
    finished_at = :now
FROM (
    SELECT coalesce(sum(sent + delivered + unconfirmed), 0) AS left_us, coalesce(sum(failed), 0) AS failed,
           coalesce(bool_or(state IN ('pending', 'claimed')), false) AS open
    FROM batches WHERE dispatch_id = :dispatch_id
) c
WHERE d.shop_id = :shop_id AND d.id = :dispatch_id AND d.state = 'sending' AND NOT c.open
RETURNING d.id
""")


# Before the batches are looked at: a statement that waited for the row in between would have counted before it waited,
# and complete a dispatch that is being sent again.
_HOLD = text("SELECT id FROM dispatches WHERE shop_id = :shop_id AND id = :dispatch_id FOR NO KEY UPDATE")


def finish_if_done(shop_id: int, dispatch_id: int) -> bool:
    """Complete a dispatch whose every message has its outcome, and settle the money of one that was closed early."""
    keys = {"shop_id": shop_id, "dispatch_id": dispatch_id}
    session.execute(_HOLD, keys)
    finished = session.execute(_FINISH, {**keys, "now": clock.now()}).one_or_none() is not None
    dispatch = session.scalars(
        select(Dispatch)
        .where(Dispatch.shop_id == shop_id, Dispatch.id == dispatch_id)
        .execution_options(populate_existing=True)
    ).one()
    if dispatch.state in FINAL_DISPATCH_STATES:
        _close_batches(dispatch)
        release_credits(dispatch)
    if finished:
        tell_owner(dispatch)
    return finished


def release_credits(dispatch: Dispatch) -> int:
    """Free what a dispatch that has ended still holds, unless a call of it is still open. The credits set free."""
    if dispatch.reservation_id is None or in_flight(dispatch.id):
        return 0
    return wallet.release(dispatch.shop_id, dispatch.reservation_id)


def lock(shop_id: int, dispatch_id: int) -> Dispatch:
    """The dispatch, its row locked until the transaction ends: no call of it begins meanwhile. `NotFound` if none."""
    found = session.scalars(
        select(Dispatch)
        .where(Dispatch.shop_id == shop_id, Dispatch.id == dispatch_id)
        .with_for_update(key_share=True)  # the batches of a snapshot that is under way refer to the row, and go on
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("dispatch")
    return found


def tell_owner(dispatch: Dispatch) -> None:
    """Let whoever owns the dispatch know that its state changed, by the job that it named."""
    if dispatch.on_change:
        queue.enqueue(dispatch.on_change, shop_id=dispatch.shop_id, dispatch_id=dispatch.id)


def nudge_lanes() -> None:
    """Wake workers for what is due."""
    queue.enqueue("messaging.send_lane", queue="send", at_most=config.current().lanes, timeout_seconds=queue.NO_LIMIT)


def _close(dispatch: Dispatch, state: DispatchState) -> int:
    """End a dispatch early: its pending batches at once, their rows by a job. The credits set free at once."""
    dispatch.state, dispatch.finished_at = state.value, clock.now()
    session.flush()
    _close_batches(dispatch)
    tell_owner(dispatch)
    return release_credits(dispatch)


_CLOSE_BATCHES = text("""
UPDATE batches
SET state = 'cancelled',
    cancelled = cancelled + CASE WHEN :failed THEN 0
                            ELSE size - sent - delivered - failed - skipped - cancelled - unconfirmed END,
    failed = failed + CASE WHEN :failed THEN size - sent - delivered - failed - skipped - cancelled - unconfirmed
                      ELSE 0 END
WHERE dispatch_id = :dispatch_id AND state = 'pending'
RETURNING number
""")


def _close_batches(dispatch: Dispatch) -> None:
    """Close what is pending of an ended dispatch, also what a worker gave back since; the rows follow by a job."""
    values = {"dispatch_id": dispatch.id, "failed": dispatch.state == DispatchState.FAILED}
    if session.execute(_CLOSE_BATCHES, values).first():
        queue.enqueue(
            "messaging.close_messages",
            queue="slow",
            shop_id=dispatch.shop_id,
            dispatch_id=dispatch.id,
            timeout_seconds=3600,
        )


_CLOSE_ROWS = text("""
UPDATE messages m
SET state = :state, error = :error, failed_at = CASE WHEN :state = 'failed' THEN CAST(:now AS timestamptz) END
WHERE m.id BETWEEN :first_id AND :last_id AND m.dispatch_id = :dispatch_id
  AND m.batch_number = ANY(CAST(:numbers AS integer[])) AND m.state = 'pending'
""")

_UNCLOSED = text("""
SELECT b.number, b.first_id, b.last_id FROM batches b
WHERE b.dispatch_id = :dispatch_id AND b.state = 'cancelled'
  AND EXISTS (SELECT FROM messages m
              WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id
                AND m.batch_number = b.number AND m.state = 'pending')
ORDER BY b.first_id LIMIT 20
""")


def close_messages(shop_id: int, dispatch_id: int) -> int:
    """Give up to 20 closed batches' pending messages their final state; how many batches. 0: all have theirs.

    A dispatch that is being sent again has none: sending again has closed them (`close_at_once`).
    """
    held = select(Dispatch).where(Dispatch.shop_id == shop_id, Dispatch.id == dispatch_id).with_for_update(read=True)
    dispatch = session.scalars(held.execution_options(populate_existing=True)).one_or_none()
    if dispatch is None or dispatch.state not in FINAL_DISPATCH_STATES:
        return 0
    return _close_rows(dispatch)


def close_at_once(dispatch: Dispatch) -> None:
    """Close what is left pending of an ended dispatch, its rows too. Its row is locked by the caller, who is about to
    let it go on: then nobody could tell any more in which state they were to end."""
    _close_batches(dispatch)
    while _close_rows(dispatch):
        pass


def _close_rows(dispatch: Dispatch) -> int:
    unclosed = session.execute(_UNCLOSED, {"dispatch_id": dispatch.id}).all()
    if not unclosed:
        return 0
    failed = dispatch.state == DispatchState.FAILED
    session.execute(
        _CLOSE_ROWS,
        {
            "dispatch_id": dispatch.id,
            "numbers": [batch.number for batch in unclosed],
            "first_id": min(batch.first_id for batch in unclosed),
            "last_id": max(batch.last_id for batch in unclosed),
            "state": "failed" if failed else "cancelled",
            "error": dispatch.failure_code if failed else None,
            "now": clock.now(),
        },
    )
    return len(unclosed)


def in_flight(dispatch_id: int) -> int:
    """Messages in batches that a worker has in hand."""
    found = session.execute(
        text("SELECT coalesce(sum(size), 0) FROM batches WHERE dispatch_id = :dispatch_id AND state = 'claimed'"),
        {"dispatch_id": dispatch_id},
    )
    return int(found.scalar_one())


def _outcome(dispatch_id: int, released: int) -> CancelOutcome:
    """A batch that was given back since is pending until the sweep closes it: its texts never leave either."""
    row = session.execute(
        text("""
            SELECT coalesce(sum(sent + delivered + unconfirmed), 0) AS left_us,
                   coalesce(sum(cancelled), 0) + coalesce(
                       sum(size - sent - delivered - failed - skipped - cancelled - unconfirmed)
                           FILTER (WHERE state = 'pending'), 0) AS cancelled,
                   coalesce(sum(size) FILTER (WHERE state = 'claimed'), 0) AS in_flight,
                   coalesce(sum(failed), 0) AS failed
            FROM batches WHERE dispatch_id = :dispatch_id
        """),
        {"dispatch_id": dispatch_id},
    ).one()
    return CancelOutcome(int(row.left_us), int(row.cancelled), int(row.in_flight), released, int(row.failed))

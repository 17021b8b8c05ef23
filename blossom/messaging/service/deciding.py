"""The end of a test of texts: one of them is chosen, once, and the people who waited for it may be texted.

By clicks it is chosen by a job, some time after the last call of the test; by hand at any time before that. Whoever
decides holds the dispatch's row, so one of many does; the choice and the release of the rest are one transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import text

from blossom.messaging.errors import InvalidDispatchState, NothingToChoose
from blossom.messaging.models import Dispatch
from blossom.messaging.queries import showings
from blossom.messaging.rules.states import FINAL_DISPATCH_STATES, DispatchState
from blossom.messaging.rules.texts import BY_CLICKS, best
from blossom.messaging.service import dispatches
from blossom.platform import clock, config
from blossom.platform.db import session, transaction
from blossom.wallet.errors import InsufficientCredit

log = structlog.get_logger()

# A test is through when no batch of it is open; the time runs from the last of its calls.
_DUE = text("""
SELECT d.shop_id, d.id FROM dispatches d
CROSS JOIN LATERAL (
    SELECT bool_and(state IN ('done', 'cancelled')) FILTER (WHERE text_number IS NOT NULL) AS is_through,
           max(recorded_at) FILTER (WHERE text_number IS NOT NULL) AS last_at,
           bool_or(state = 'pending') FILTER (WHERE text_number IS NULL) AS waits
    FROM batches b WHERE b.dispatch_id = d.id
) b
WHERE d.finished_at IS NULL AND d.winner IS NULL AND d.decide_after IS NOT NULL AND d.state = 'sending'
  AND b.is_through AND b.waits AND b.last_at + d.decide_after <= :now
ORDER BY d.id LIMIT 100
""")

# While the audience is being fixed nobody waits yet, but somebody will, unless the texts share out all of it.
_HAS_REST = text("""
SELECT CASE WHEN d.prepared_at IS NULL
            THEN (SELECT sum(share) < 100 FROM dispatch_texts t WHERE t.dispatch_id = d.id)
            ELSE EXISTS (SELECT FROM batches b WHERE b.dispatch_id = d.id AND b.text_number IS NULL) END
FROM dispatches d WHERE d.id = :dispatch_id
""")

# All that waits, also what a failure closed: sent again, it gets the winner too.
_RELEASE = text("""
UPDATE batches
SET text_number = :winner,
    due_at = CASE WHEN state = 'pending' THEN greatest(due_at, :now) ELSE due_at END,
    valid_until = CASE WHEN state = 'pending'
                       THEN greatest(due_at, :now) + CAST(:validity AS interval) ELSE valid_until END
WHERE dispatch_id = :dispatch_id AND text_number IS NULL
""")


def choose_winner(shop_id: int, dispatch_id: int, number: int, *, by: str) -> bool:
    """Have the rest of an audience get the text of this number; whether this call chose it.

    The same choice again changes nothing. Raises `InvalidDispatchState` once another text was chosen or the dispatch
    has ended, `NothingToChoose` where there is no such text or nobody waits, and `InsufficientCredit` if what was held
    for the rest is free meanwhile and gone.
    """
    dispatch = dispatches.lock(shop_id, dispatch_id)
    if dispatch.winner == number:
        return False
    if dispatch.winner is not None or dispatch.state in FINAL_DISPATCH_STATES:
        raise InvalidDispatchState("given a winner", dispatch.state)
    found = showings.standing(shop_id, dispatch_id)
    has_rest = session.scalar(_HAS_REST, {"dispatch_id": dispatch_id})
    if found is None or not has_rest or not 0 <= number < len(found.texts):
        raise NothingToChoose()
    _choose(dispatch, number, by)
    if dispatch.state == DispatchState.SENDING:  # a paused one holds its credits anew when it goes on
        dispatches.reserve_anew(dispatch)
    return True


def decide_winners(now: datetime | None = None) -> int:
    """Decide the tests whose time has come, each in a transaction of its own; how many. May run twice, or at once."""
    now = now or clock.now()
    with transaction():
        due = session.execute(_DUE, {"now": now}).all()
    decided = 0
    for each in due:
        try:
            with transaction():
                decided += _decide(each.shop_id, each.id, now)
        except Exception:  # one that can't be decided must not keep the others, of all shops, from it
            log.exception("winner.undecided", dispatch_id=each.id, shop_id=each.shop_id)
    return decided


def _decide(shop_id: int, dispatch_id: int, now: datetime) -> bool:
    """Choose by clicks, if that is still to be done: looked at again, now that the dispatch is locked."""
    dispatch = dispatches.lock(shop_id, dispatch_id)
    if dispatch.state != DispatchState.SENDING or dispatch.winner is not None:
        return False
    found = showings.standing(shop_id, dispatch_id)
    if found is None or found.decides_at is None or found.decides_at > now:
        return False
    number = best([each.showing for each in found.texts])
    _choose(dispatch, number, BY_CLICKS)
    try:
        with session.begin_nested():
            dispatches.reserve_anew(dispatch)
    except InsufficientCredit as error:  # the choice stands; the merchant tops up and resumes
        dispatches.stop_for_credit(shop_id, dispatch_id, error.missing)
    dispatches.tell_owner(dispatch)
    return True


def _choose(dispatch: Dispatch, number: int, by: str) -> None:
    dispatch.winner, dispatch.winner_at, dispatch.winner_chosen_by = number, clock.now(), by
    session.flush()
    log.info("winner.chosen", dispatch_id=dispatch.id, shop_id=dispatch.shop_id, number=number)
    release_rest(dispatch)


def release_rest(dispatch: Dispatch) -> None:
    """Let the people who waited for the winner be texted, now or when they are due; who is asleep is put off to their
    morning, as anybody is, when it is their turn. The dispatch's row is locked, and has a winner."""
    values = {
        "dispatch_id": dispatch.id,
        "winner": dispatch.winner,
        "now": clock.now(),
        "validity": timedelta(hours=config.current().message_validity_hours),
    }
    session.execute(_RELEASE, values)
    dispatches.nudge_lanes()

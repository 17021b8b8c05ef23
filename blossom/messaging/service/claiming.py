"""The first and second of the three steps of sending: a batch is claimed, and then its call is begun.

Both are conditional UPDATEs that only one worker wins, each in a transaction of its own. Between them no call has
been made, so a worker lost there costs nothing: the sweeper gives the batch back. After the second, a lost worker's
messages are unconfirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from blossom.platform import config
from blossom.platform.db import session

# What waits for the winner of a test (text_number NULL) is nobody's turn. Each dispatch's first batch is asked for in
# the order of the index of due batches, which has none of those: an EXISTS may be planned as a walk over all that is
# open.
#
# Turns: answers, then automations, then campaigns; then the shop that waits longest; within it its priorities. Only the
# row that is taken gets locked: the ordered list is walked until some batch can be had.
#
# The attempt gets its id once the shop's turn is locked: so of two claims of a shop the one with the higher id was made
# after the other was committed, and sees it when it asks about caps (`composing.capped`).
_CLAIM = text("""
WITH turns AS MATERIALIZED (
    SELECT d.rank, d.shop_id, d.priority, d.id
    FROM dispatches d
    WHERE d.state = 'sending'
      AND :now >= (SELECT b.due_at FROM batches b
                   WHERE b.dispatch_id = d.id AND b.state = 'pending' AND b.text_number IS NOT NULL
                   ORDER BY b.due_at, b.number LIMIT 1)
), picked AS (
    SELECT b.dispatch_id, b.number
    FROM (
        SELECT t.* FROM turns t LEFT JOIN send_turns s ON s.shop_id = t.shop_id
        ORDER BY t.rank, s.served_at NULLS FIRST, t.shop_id, t.priority, t.id
    ) t
    CROSS JOIN LATERAL (
        SELECT b.dispatch_id, b.number FROM batches b
        WHERE b.dispatch_id = t.id AND b.state = 'pending' AND b.text_number IS NOT NULL AND b.due_at <= :now
        ORDER BY b.due_at, b.number LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) b
    LIMIT 1
), claimed AS (
    UPDATE batches b SET state = 'claimed'
    FROM picked p
    WHERE b.dispatch_id = p.dispatch_id AND b.number = p.number AND b.state = 'pending'
    RETURNING b.shop_id, b.dispatch_id, b.number, b.first_id, b.last_id, b.valid_until, b.tries,
              b.text_number
), turn AS (
    INSERT INTO send_turns (shop_id, served_at) SELECT shop_id, :now FROM claimed
    ON CONFLICT (shop_id) DO UPDATE SET served_at = excluded.served_at
    RETURNING shop_id
), attempt AS (
    INSERT INTO attempts (shop_id, dispatch_id, batch_number, state, worker, claimed_at, lease_until)
    SELECT c.shop_id, c.dispatch_id, c.number, 'claimed', :worker, :now, :lease
    FROM claimed c JOIN turn t ON t.shop_id = c.shop_id
    RETURNING id
)
SELECT a.id, c.shop_id, c.dispatch_id, c.number, c.first_id, c.last_id, c.valid_until, c.tries, c.text_number
FROM claimed c, attempt a
""")

# The lock on the dispatch's row is what a pause or a cancel waits for: after either has committed, no call begins.
_BEGIN = text("""
WITH going AS (
    SELECT id FROM dispatches WHERE id = :dispatch_id AND state = 'sending' FOR SHARE
)
UPDATE attempts SET state = 'calling', called_at = :now, lease_until = :lease, manifest = :manifest, credits = :credits
FROM going
WHERE attempts.id = :attempt_id AND attempts.state = 'claimed'
RETURNING attempts.id
""")

# Before a further try of a call of which nothing was taken: as at the first, and the lease begins anew.
_GO_ON = text("""
WITH going AS (
    SELECT id FROM dispatches WHERE id = :dispatch_id AND state = 'sending' FOR SHARE
)
UPDATE attempts SET called_at = :now, lease_until = :lease
FROM going
WHERE attempts.id = :attempt_id AND attempts.state = 'calling'
RETURNING attempts.id
""")

_GIVE_BACK = text("""
WITH ended AS (
    UPDATE attempts SET state = :outcome, ended_at = :now, code = :code, manifest = NULL
    WHERE id = :attempt_id AND state IN ('claimed', 'calling')
    RETURNING dispatch_id, batch_number
)
UPDATE batches b
SET state = 'pending', due_at = coalesce(CAST(:due_at AS timestamptz), b.due_at), tries = :tries, recorded_at = :now
FROM ended WHERE b.dispatch_id = ended.dispatch_id AND b.number = ended.batch_number AND b.state = 'claimed'
RETURNING b.number
""")


@dataclass(frozen=True)
class Claim:
    """A batch that this worker alone may send now. Its messages stand from `first_id` to `last_id`; its people get the
    dispatch's text of that number."""

    attempt_id: int
    shop_id: int
    dispatch_id: int
    batch_number: int
    first_id: int
    last_id: int
    valid_until: datetime
    tries: int
    text_number: int = 0


def claim_batch(worker: str, now: datetime) -> Claim | None:
    """Claim the batch whose turn it is, and write the attempt down. None when nothing is due."""
    row = session.execute(_CLAIM, {"now": now, "worker": worker, "lease": lease(now)}).one_or_none()
    return Claim(*row) if row else None


def begin_call(claim: Claim, *, manifest: bytes, credits: int, now: datetime) -> bool:
    """Write down that the call for this attempt is about to be made, with what is in it.

    False: it must not be made (paused, cancelled, or the attempt was taken for lost); give the batch back.
    """
    values = {
        "attempt_id": claim.attempt_id,
        "dispatch_id": claim.dispatch_id,
        "now": now,
        "lease": lease(now),
        "manifest": manifest,
        "credits": credits,
    }
    return session.execute(_BEGIN, values).one_or_none() is not None


def go_on(claim: Claim, now: datetime) -> bool:
    """Whether a call of which nothing was taken may be made once more: not after a pause or a cancel."""
    values = {"attempt_id": claim.attempt_id, "dispatch_id": claim.dispatch_id, "now": now, "lease": lease(now)}
    return session.execute(_GO_ON, values).one_or_none() is not None


def give_back(
    attempt_id: int, *, outcome: str, due_at: datetime | None, tries: int, now: datetime, code: str | None = None
) -> bool:
    """End an attempt of which nothing was taken; its batch is pending again and due at `due_at`, or as before."""
    values = {
        "attempt_id": attempt_id,
        "outcome": outcome,
        "now": now,
        "due_at": due_at,
        "tries": tries,
        "code": code,
    }
    return session.execute(_GIVE_BACK, values).one_or_none() is not None


def lease(now: datetime) -> datetime:
    """Until when a worker may be silent before its attempt counts as lost."""
    return now + timedelta(seconds=config.current().attempt_lease_seconds)

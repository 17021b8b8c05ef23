"""Receipts are stored before they are acknowledged, each once however often it comes, and applied later in bulk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import psycopg

from blossom.messaging.errors import NotStored
from blossom.mitto import payloads
from blossom.platform import clock, db, queue
from blossom.platform.combining import Combiner, WaitedTooLong
from blossom.platform.db import session
from blossom.platform.nudging import Nudge

LARGE = 200
"""A webhook with more receipts is stored by itself: those with few should not wait for it."""

NUDGE_SECONDS = 0.1
"""At most one nudge of the workers in this time from a process, however many webhooks come."""

# One parameter for any number of receipts: psycopg would write an array for each column element by element. Ordered, so
# that two statements with the same receipts never wait for each other in a circle.
_STORE = """
INSERT INTO receipts
    (fingerprint, provider_message_id, status, error_code, occurred_at, named_shop_id, received_at, state)
SELECT decode(v.fingerprint, 'hex'), v.provider_message_id, v.status, v.error_code, v.occurred_at, v.named_shop_id,
       %(now)s, 'new'
FROM json_to_recordset(CAST(%(receipts)s AS json))
     AS v(fingerprint text, provider_message_id text, status text, error_code text, occurred_at timestamptz,
          named_shop_id bigint)
ORDER BY v.fingerprint
ON CONFLICT (fingerprint) DO NOTHING
RETURNING encode(fingerprint, 'hex')
"""


_Rows = list[dict[str, Any]]
"""Receipts as they are stored, by the names of `_STORE`."""


def store_receipts(received: Sequence[payloads.Receipt], named_shop_id: int | None = None) -> int:
    """Keep receipts in the caller's transaction, and nudge a worker after it. How many were new.

    `named_shop_id`: the shop that the webhook's address named; a receipt for another shop's message is refused later.
    """
    if not received:
        return 0
    stored = session.connection().exec_driver_sql(_STORE, _values(_rows(received, named_shop_id))).all()
    queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    return len(stored)


def accept_receipts(received: Sequence[payloads.Receipt], named_shop_id: int | None = None) -> int:
    """The same for a webhook: when this returns they are committed, and may be acknowledged. How many were new.

    What several threads bring at the same time is one statement and one commit. `NotStored` when the database is away
    or too slow: they may have been stored nevertheless, and bringing them again is harmless.
    """
    if not received:
        return 0
    rows = _rows(received, named_shop_id)
    try:
        accepted = (_large if len(rows) > LARGE else _small).call(rows)
    except (*_CUT_OFF, psycopg.InterfaceError, WaitedTooLong) as error:
        raise NotStored(type(error).__name__) from error
    _nudge.give()
    return accepted


def accept_together(brought: Sequence[Sequence[payloads.Receipt]]) -> list[int]:
    """The same for several webhooks, of few receipts each, by a thread that has them all: how many of each were new.

    When it raises, whatever it is, nothing is said of any of them: `accept_receipts` is to be called for each.
    """
    lots = [_rows(received, None) for received in brought]
    if not any(lots):
        return [0] * len(lots)
    counts = _insert(lots)
    _nudge.give()
    return counts


def fingerprint(receipt: payloads.Receipt, named_shop_id: int | None) -> str:
    """What makes two receipts the same word: whose text, which status, when, which error; and for which shop it came,
    so that one which is refused for naming the wrong shop doesn't pass for the right one's. Hex."""
    parts = (
        receipt.provider_message_id,
        receipt.status_raw.lower(),
        receipt.occurred_at.isoformat() if receipt.occurred_at else "",
        receipt.error_code or "",
        "" if named_shop_id is None else str(named_shop_id),
    )
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _rows(received: Iterable[payloads.Receipt], named_shop_id: int | None) -> _Rows:
    return [
        {
            "fingerprint": fingerprint(each, named_shop_id),
            "provider_message_id": each.provider_message_id,
            "status": each.status_raw,
            "error_code": each.error_code,
            "occurred_at": each.occurred_at,
            "named_shop_id": named_shop_id,
        }
        for each in received
    ]


def _values(rows: _Rows) -> dict[str, Any]:
    return {"receipts": orjson.dumps(rows).decode(), "now": clock.now()}


def _insert(brought: Sequence[_Rows]) -> list[int]:
    """Store what several webhooks brought, in one statement; how many of each one's were new. Of the same receipt in
    two of them, the first one's is the new one."""
    values = _values([row for rows in brought for row in rows])
    try:
        stored = _execute(values)
    except _CUT_OFF:  # a kept connection, of before
        stored = _execute(values)
    counts = []
    for rows in brought:
        own = stored.intersection(row["fingerprint"] for row in rows)
        stored -= own
        counts.append(len(own))
    return counts


def _execute(values: dict[str, Any]) -> set[str]:
    with db.autocommit() as connection:
        return {fingerprint for (fingerprint,) in connection.execute(_STORE, values)}


_CUT_OFF = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""The server was started again, or has become a replica: another connection may do."""

# Three at work at most, and one of `accept_together`: so many connections a process may hold beside its pool.
_small = Combiner[_Rows, int](_insert, faults_of_one=(psycopg.DataError, psycopg.IntegrityError))
_large = Combiner[_Rows, int](_insert, at_once=2, most=1)


def nudge_workers() -> None:
    """Have stored receipts applied soon. Never raises for Redis."""
    queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    queue.flush()


# From a thread of its own, after a webhook's receipts were committed. Lost with the process, it is the sweep that finds
# the rows.
_nudge = Nudge(nudge_workers, name="receipts-nudge", seconds=NUDGE_SECONDS)

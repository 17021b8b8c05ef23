"""Receipts are stored before they are acknowledged, each once however often it comes, and applied later in bulk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError

from blossom.mitto import payloads
from blossom.platform import clock, db, queue
from blossom.platform.combining import Combiner
from blossom.platform.db import session

LARGE = 200
"""Receipts of one webhook that are stored by themselves: nobody else's few should wait for them."""

NUDGE_SECONDS = 0.1
"""At most one nudge of the workers in this time from a process, however many webhooks come."""

# Ordered, so that two statements with the same receipts never wait for each other in a circle.
_STORE = text("""
INSERT INTO receipts
    (fingerprint, provider_message_id, status, error_code, occurred_at, named_shop_id, received_at, state)
SELECT v.*, :now, 'new'
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:provider_ids AS text[]), CAST(:statuses AS text[]),
            CAST(:error_codes AS text[]), CAST(:moments AS timestamptz[]), CAST(:named_shop_ids AS bigint[]))
     AS v(fingerprint, provider_message_id, status, error_code, at, named_shop_id)
ORDER BY v.fingerprint
ON CONFLICT (fingerprint) DO NOTHING
RETURNING fingerprint
""")


@dataclass(frozen=True, slots=True)
class _Word:
    """A receipt as it is stored, with what makes it the same as another."""

    fingerprint: bytes
    receipt: payloads.Receipt
    named_shop_id: int | None


def store_receipts(received: Sequence[payloads.Receipt], named_shop_id: int | None = None) -> int:
    """Keep receipts in the caller's transaction, and nudge a worker after it. How many were new.

    `named_shop_id`: the shop that the webhook's address named; a receipt for another shop's message is refused later.
    """
    if not received:
        return 0
    stored = set(session.scalars(_STORE, _values(_words(received, named_shop_id))))
    queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    return len(stored)


def accept_receipts(received: Sequence[payloads.Receipt], named_shop_id: int | None = None) -> int:
    """The same for a webhook: when this returns they are committed, and may be acknowledged. How many were new.

    What several threads bring at the same time is one statement and one commit. Raises what the database raises, and
    `WaitedTooLong`; in both cases they may have been stored nevertheless, and bringing them again is harmless.
    """
    if not received:
        return 0
    words = _words(received, named_shop_id)
    accepted = _insert([words])[0] if len(words) > LARGE else _combiner.call(words)
    _nudge.give()
    return accepted


def fingerprint(receipt: payloads.Receipt, named_shop_id: int | None) -> bytes:
    """What makes two receipts the same word: whose text, which status, when, which error; and for which shop it came,
    so that one which is refused for naming the wrong shop doesn't pass for the right one's."""
    parts = (
        receipt.provider_message_id,
        receipt.status_raw.lower(),
        receipt.occurred_at.isoformat() if receipt.occurred_at else "",
        receipt.error_code or "",
        "" if named_shop_id is None else str(named_shop_id),
    )
    return hashlib.sha256("\x1f".join(parts).encode()).digest()


def _words(received: Iterable[payloads.Receipt], named_shop_id: int | None) -> list[_Word]:
    return [_Word(fingerprint(each, named_shop_id), each, named_shop_id) for each in received]


def _insert(brought: Sequence[list[_Word]]) -> list[int]:
    """Store what several webhooks brought, in one statement; how many of each one's were new. Of the same receipt in
    two of them, the first one's is the new one."""
    with db.autocommit() as connection:
        stored = set(connection.scalars(_STORE, _values([word for words in brought for word in words])))
    counts = []
    for words in brought:
        own = stored.intersection(word.fingerprint for word in words)
        stored -= own
        counts.append(len(own))
    return counts


def _values(words: Sequence[_Word]) -> dict[str, list[str] | list[bytes] | list[str | None] | datetime | object]:
    return {
        "fingerprints": [word.fingerprint for word in words],
        "provider_ids": [word.receipt.provider_message_id for word in words],
        "statuses": [word.receipt.status_raw for word in words],
        "error_codes": [word.receipt.error_code for word in words],
        "moments": [word.receipt.occurred_at for word in words],
        "named_shop_ids": [word.named_shop_id for word in words],
        "now": clock.now(),
    }


_combiner = Combiner[list[_Word], int](_insert, faults_of_one=(DataError, IntegrityError))


class _Nudge:
    """Wakes a worker after a webhook's receipts were committed: from a thread of its own, so that no webhook waits for
    Redis, and not for each one. Lost with the process, it is the sweep that finds the rows."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def give(self) -> None:
        self._wanted.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="receipts-nudge", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()  # never set: a wait that ends by itself
        while self._wanted.wait():
            self._wanted.clear()
            nudge_workers()
            pause.wait(NUDGE_SECONDS)


def nudge_workers() -> None:
    """Have stored receipts applied soon. Never raises for Redis."""
    queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    queue.flush()


_nudge = _Nudge()

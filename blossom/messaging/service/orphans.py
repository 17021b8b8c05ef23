"""Texts whose answer was lost, found again: a receipt names an id unknown to us, and the provider tells whose it is.

The only proof that an unconfirmed text did leave. What it names is compared with the manifest of the call: the phone
by its keyed hash, the text by its digest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, text

from blossom.messaging.rules import manifest
from blossom.messaging.rules.states import MessageState
from blossom.messaging.service import composing, provider, recording
from blossom.messaging.service.recording import AttemptKey, Outcome
from blossom.mitto.errors import SendError, SendErrorKind, SendErrorScope
from blossom.mitto.payloads import MessageStatus
from blossom.platform import clock, config, crypto, queue, stopping
from blossom.platform.db import session, transaction

log = structlog.get_logger()

ASK_AT_ONCE = 50
"""Ids that are marked as asked in one go."""

ASKING_SECONDS = 20.0
"""How long a run may go on asking: a slow provider must not keep the queue from other work."""

_SETTLE_SECONDS = 5
"""A receipt without a message is asked about once the answer of its call had this long to be recorded."""

# Marked as asked before they are, so that two runs at once don't ask the same; counted once they are answered. Those
# never answered come first: ids that nobody knows, and that are asked after again and again, must not stand in the way
# of a text that can be found. Among these, those that were not asked either: an id that the provider fails at, as if it
# were away, ends a run, and must not be the first of each.
_DUE = text("""
WITH due AS (
    SELECT id, asked_times, asked_at FROM receipts
    WHERE state = 'orphan' AND received_at < :settled
      AND (asked_at IS NULL OR asked_at < :now - make_interval(secs => 30 * power(2, least(asked_times, 10))))
    ORDER BY asked_times, asked_at NULLS FIRST, id LIMIT :at_once FOR UPDATE SKIP LOCKED
)
UPDATE receipts r SET asked_at = :now FROM due WHERE r.id = due.id
RETURNING r.id, r.provider_message_id, r.received_at, due.asked_times, due.asked_at AS asked_before
""")

_NOT_ASKED = text("""
UPDATE receipts SET asked_at = :asked_before WHERE id = :id AND state = 'orphan'
""")

_ANSWERED = text("""
UPDATE receipts SET asked_times = asked_times + 1
WHERE state = 'orphan' AND provider_message_id = :provider_message_id
""")

_ABANDON = text("""
UPDATE receipts SET state = 'abandoned'
WHERE state = 'orphan' AND provider_message_id = :provider_message_id AND received_at < :before
""")

_SHOPS = text("""
SELECT id, traffic_account_id FROM shops
WHERE id IN (SELECT shop_id FROM batches WHERE unconfirmed > 0) ORDER BY id
""")

_CANDIDATES = text("""
SELECT m.id, m.shop_id, m.dispatch_id, m.batch_number, m.attempt_id, m.segments, a.manifest, a.called_at
FROM (SELECT DISTINCT dispatch_id FROM batches WHERE shop_id = :shop_id AND unconfirmed > 0) d
JOIN messages m ON m.dispatch_id = d.dispatch_id AND m.phone_hash = :phone_hash
LEFT JOIN attempts a ON a.id = m.attempt_id
WHERE m.state = 'unconfirmed' AND m.shop_id = :shop_id
ORDER BY m.id
""")


@dataclass(frozen=True)
class Asked:
    """What a run of questions brought."""

    asked: int = 0
    confirmed: int = 0


_ASK_ANEW = text("""
UPDATE receipts r SET asked_at = NULL, asked_times = 0
FROM attempts a
WHERE a.id = :attempt_id AND r.state = 'orphan' AND r.received_at >= a.called_at AND r.asked_at IS NOT NULL
""")


def ask_anew(attempt_id: int) -> None:
    """Receipts since its call began may be of texts that are known to be unconfirmed only now: while the call counted
    as open, each question was in vain and made the next one later."""
    session.execute(_ASK_ANEW, {"attempt_id": attempt_id})


_NEWEST_UNANSWERED = text("""
SELECT max(r.received_at) FROM (
    SELECT provider_message_id, received_at, named_shop_id FROM receipts WHERE state = 'new'
    UNION ALL
    SELECT provider_message_id, received_at, named_shop_id FROM receipts
    WHERE state = 'orphan' AND (asked_times = 0 OR asked_at IS NULL)
) r
WHERE r.received_at > :since AND (r.named_shop_id IS NULL OR r.named_shop_id = :shop_id)
  AND NOT EXISTS (SELECT FROM provider_messages p WHERE p.provider_message_id = r.provider_message_id)
""")


def newest_unanswered(shop_id: int) -> datetime | None:
    """When the newest receipt came whose text nobody knows and the provider has not told yet; None if there is none.

    It may be of any text of this shop that was called for before. A receipt of which the provider could not say that it
    is one of ours does not count, though it is asked about again; nor does one so old that it is given up soon.
    """
    since = clock.now() - timedelta(hours=config.current().unconfirmed_hours)
    found = session.execute(_NEWEST_UNANSWERED, {"shop_id": shop_id, "since": since})
    received: datetime | None = found.scalar_one()
    return received


def ask_about_orphans() -> Asked:
    """Ask the provider whose texts the unknown ids are: never-asked ids first, then the longest waiting, until all are
    asked or the run's time is up. Ends early when the provider is away or the process is to stop. Manages its
    transactions; to be called outside of any."""
    with contextlib.closing(_due(time.monotonic() + ASKING_SECONDS)) as ids:
        return _ask_about(ids)


def _ask_about(ids: Iterable[str]) -> Asked:
    asked = confirmed = 0
    for provider_message_id in ids:
        asked += 1
        try:
            status = provider.client().status(provider_message_id)
        except SendError as error:
            log.warning("orphans.unanswered", code=error.code)
            if is_away(error):
                break
            status = None
        try:
            with transaction():
                if status is not None and confirm(replace(status, message_id=provider_message_id)):
                    confirmed += 1
                else:
                    _note_answered(provider_message_id, clock.now())
        except Exception:  # must not keep the other texts, perhaps of other shops, from being found
            log.exception("orphans.failed", provider_message_id=provider_message_id)
            with transaction():
                _note_answered(provider_message_id, clock.now())
    return Asked(asked, confirmed)


def _due(ends_at: float) -> Generator[str, None, None]:
    """The ids to ask about, each once, while there is time. To be closed: whoever was not asked about is due again."""
    while True:
        now = clock.now()
        with transaction():
            rows = session.execute(
                _DUE, {"now": now, "settled": now - timedelta(seconds=_SETTLE_SECONDS), "at_once": ASK_AT_ONCE}
            ).all()
        if not rows:
            return
        waiting: dict[str, list[Row[Any]]] = {}
        for row in sorted(rows, key=_turn):
            waiting.setdefault(row.provider_message_id, []).append(row)
        try:
            for provider_message_id in list(waiting):
                if stopping.requested() or time.monotonic() > ends_at:
                    return
                del waiting[provider_message_id]
                yield provider_message_id
        finally:
            _put_back([row for rows in waiting.values() for row in rows])


def _put_back(rows: Sequence[Row[Any]]) -> None:
    """They were marked as asked, and were not."""
    if rows:
        with transaction():
            session.execute(_NOT_ASKED, [{"id": row.id, "asked_before": row.asked_before} for row in rows])


def is_away(error: SendError) -> bool:
    """Whether the next question would fare no better: the provider is away, or refuses our account."""
    return error.kind is SendErrorKind.TRANSIENT or error.scope is SendErrorScope.ACCOUNT


def confirm(status: MessageStatus) -> bool:
    """Find the unconfirmed message that this text is, and record that it left. False when it is none of ours, or could
    be several."""
    candidates = [row for shop_id in _shops_with(status.traffic_account_id) for row in _candidates(shop_id, status)]
    if len(candidates) > 1:  # the same words to the same person twice: what was called for about then
        candidates = [row for row in candidates if _made_about_then(row.called_at, status.created_at)]
    if len(candidates) == 1:
        _record(candidates[0], status)
        return True
    if candidates:
        log.warning("orphans.ambiguous", shop_ids=[row.shop_id for row in candidates], candidates=len(candidates))
    return False


def _shops_with(traffic_account_id: str | None) -> list[int]:
    """Shops with unconfirmed messages that send from this account of the provider's; any, where no account is named."""
    own = config.current().mitto_traffic_account_id
    return [
        shop.id
        for shop in session.execute(_SHOPS).all()
        if not traffic_account_id or (shop.traffic_account_id or own) in ("", traffic_account_id)
    ]


def _candidates(shop_id: int, status: MessageStatus) -> Sequence[Row[Any]]:
    """Unconfirmed messages to this phone, in a call made about when the text was created, with this very text. None of
    a shop whose keys are gone: nobody can tell any more whom it texted."""
    try:
        cipher = crypto.for_shop(shop_id)
    except crypto.SealedValueError:
        log.info("orphans.no_keys", shop_id=shop_id)
        return []
    hashes = {cipher.lookup(_e164(participant)) for participant in status.participants}
    rows = [
        row
        for phone_hash in sorted(hashes)
        for row in session.execute(_CANDIDATES, {"shop_id": shop_id, "phone_hash": phone_hash})
    ]
    if status.text is not None:
        wanted = composing.digest(cipher, status.text)
        return [row for row in rows if _digest_of(row) == wanted]
    return [row for row in rows if _made_about_then(row.called_at, status.created_at)]


def _e164(participant: str) -> str:
    return "+" + "".join(filter(str.isdigit, participant)).removeprefix("00")


def _digest_of(row: Row[Any]) -> bytes | None:
    if row.manifest is None:
        return None
    return next((entry.digest for entry in manifest.unpack(row.manifest) if entry.message_id == row.id), None)


def _made_about_then(called_at: datetime | None, created_at: datetime | None) -> bool:
    if called_at is None or created_at is None:
        return False
    margin = timedelta(seconds=config.current().attempt_lease_seconds)
    return called_at - margin <= created_at <= called_at + margin


def _record(row: Row[Any], status: MessageStatus) -> None:
    key = AttemptKey(row.attempt_id, row.shop_id, row.dispatch_id, row.batch_number)
    now = clock.now()
    outcome = Outcome(
        row.id, MessageState.SENT, provider_message_id=status.message_id, segments=row.segments
    )  # charged when it became unconfirmed
    recording.write_outcomes(key, [outcome], called_at=row.called_at or status.created_at or now, now=now)
    recording.recount(row.dispatch_id, row.batch_number, now=now, close=False)
    queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)


def _note_answered(provider_message_id: str, now: datetime) -> None:
    """The provider's answer names no text of ours: it is asked more rarely, and no more once the receipt is old."""
    session.execute(_ANSWERED, {"provider_message_id": provider_message_id})
    before = now - timedelta(hours=config.current().unconfirmed_hours)
    session.execute(_ABANDON, {"provider_message_id": provider_message_id, "before": before})


def _turn(row: Row[Any]) -> tuple[int, float, datetime]:
    return row.asked_times, row.asked_before.timestamp() if row.asked_before else 0.0, row.received_at

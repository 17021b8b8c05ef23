"""What a call came to, written down: its texts taken, refused, unknown, or to be tried again.

What each failure means is the closed table of `mitto.errors`; what it does to a batch stands here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
import tenacity
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError, OperationalError

from blossom.messaging.rules.states import MessageState, backoff_seconds
from blossom.messaging.service import claiming, dispatches, orphans, recording
from blossom.messaging.service.claiming import Claim
from blossom.messaging.service.composing import Composed
from blossom.messaging.service.recording import AttemptKey, Outcome
from blossom.mitto.errors import SendError, SendErrorKind, SendErrorScope
from blossom.mitto.payloads import BulkAnswer, Refused
from blossom.platform import clock, config
from blossom.platform.db import transaction
from blossom.wallet import service as wallet

log = structlog.get_logger()
T = TypeVar("T")


def accepted(composed: Composed, answer: BulkAnswer) -> list[Outcome]:
    """Each text's outcome, by its place in the answer."""
    outcomes = []
    for position, item in enumerate(composed.texts):
        entry = answer.outcome(position)
        if isinstance(entry, Refused):
            outcomes.append(Outcome(item.message_id, MessageState.FAILED, error=entry.code, segments=item.segments))
        else:
            outcomes.append(
                Outcome(
                    item.message_id,
                    MessageState.SENT,
                    provider_message_id=entry.message_id,
                    segments=item.segments,
                    credits=item.credits,
                )
            )
    return outcomes


def after_error(claim: Claim, composed: Composed, error: SendError) -> None:
    """What a failed call means for its batch, by the closed table of `mitto.errors`."""
    now = clock.now()
    log.warning("send.failed", code=error.code, kind=error.kind.value, attempt_id=claim.attempt_id)
    if error.kind is SendErrorKind.UNKNOWN_OUTCOME:
        finish(claim, composed, unconfirmed(composed), attempt_state="unknown", code=error.code)
    elif error.kind is SendErrorKind.TRANSIENT:
        tries = claim.tries + 1
        seconds = max(
            error.retry_after or 0.0,
            backoff_seconds(tries, config.current().dispatch_max_backoff_seconds) * random.uniform(0.8, 1.2),  # noqa: S311 -- spreads retries
        )
        until_recorded(lambda: _return(claim, composed, error, due_at=now + timedelta(seconds=seconds), tries=tries))
    elif error.scope is SendErrorScope.ACCOUNT:
        until_recorded(lambda: _refuse_account(claim, composed, error))
    elif len(composed.texts) > 1:
        until_recorded(lambda: _split(claim, composed, error))
    else:
        refused = Outcome(
            composed.texts[0].message_id, MessageState.FAILED, error=error.code, segments=composed.texts[0].segments
        )
        finish(claim, composed, [refused], attempt_state="refused", code=error.code)


def unconfirmed(composed: Composed) -> list[Outcome]:
    """The call went out and no answer came: charged, shown as unconfirmed, never repeated by itself."""
    return [
        Outcome(item.message_id, MessageState.UNCONFIRMED, segments=item.segments, credits=item.credits)
        for item in composed.texts
    ]


def _return(claim: Claim, composed: Composed, error: SendError, *, due_at: datetime | None, tries: int) -> bool:
    """End an attempt of which nothing was taken; its batch is due again at `due_at`, or as before. Whether it is.

    When the sweeper took us for dead meanwhile, its texts are unconfirmed and charged: now we know better.
    """
    now = clock.now()
    returned = claiming.give_back(
        claim.attempt_id,
        outcome="returned" if error.kind is SendErrorKind.TRANSIENT else "refused",
        due_at=due_at,
        tries=tries,
        now=now,
        code=error.code,
    )
    if not returned:
        failed = [Outcome(item.message_id, MessageState.FAILED, error=error.code) for item in composed.texts]
        recording.record(
            _key(claim), failed, attempt_state="returned", called_at=None, now=now, reservation_id=None, code=error.code
        )
    if composed.cover_id is not None:
        wallet.release(claim.shop_id, composed.cover_id)
    return returned


def _refuse_account(claim: Claim, composed: Composed, error: SendError) -> None:
    """The account was refused: nothing of the dispatch can be sent."""
    _return(claim, composed, error, due_at=clock.now(), tries=claim.tries)
    dispatches.fail_dispatch(claim.shop_id, claim.dispatch_id, error.code, error.merchant_text)


def give_up(claim: Claim, code: str, merchant_text: str, now: datetime) -> None:
    """The dispatch itself can't be sent; without this it would be the first in turn for ever."""
    claiming.give_back(claim.attempt_id, outcome="refused", due_at=now, tries=claim.tries, now=now, code=code)
    dispatches.fail_dispatch(claim.shop_id, claim.dispatch_id, code, merchant_text)


def _split(claim: Claim, composed: Composed, error: SendError) -> None:
    """A refused call took nothing: its batch becomes two, until the text that was refused stands alone."""
    now, key = clock.now(), _key(claim)
    # The first half keeps its place in the line, so that its culprit is found before other batches are tried.
    if _return(claim, composed, error, due_at=None, tries=claim.tries):
        recording.split_batch(key, [item.message_id for item in composed.texts], claim.valid_until, now)
        recording.write_outcomes(key, recording.skipped(composed.skipped), called_at=None, now=now)
        recording.recount(claim.dispatch_id, claim.batch_number, now=now)


def finish(
    claim: Claim,
    composed: Composed,
    outcomes: list[Outcome],
    *,
    attempt_state: str,
    bulk_id: str | None = None,
    code: str | None = None,
) -> None:
    """Record a batch: what became of its texts, who was skipped, who comes later."""
    now, key = clock.now(), _key(claim)

    def record() -> bool:
        if attempt_state == "unknown":
            orphans.ask_anew(claim.attempt_id)
        return recording.record(
            key,
            [*outcomes, *recording.skipped(composed.skipped)],
            attempt_state=attempt_state,
            called_at=now,
            now=now,
            reservation_id=composed.facts.reservation_id,
            cover_id=composed.cover_id,
            bulk_id=bulk_id,
            code=code,
            later=composed.put_off,
            valid_until=claim.valid_until,
        )

    if until_recorded(record):
        with transaction():
            dispatches.finish_if_done(claim.shop_id, claim.dispatch_id)


def until_recorded(write: Callable[[], T]) -> T:
    """Write in a transaction what a call came to; a database that goes away now is waited for, since nobody else
    knows. Whatever is written here changes nothing when it was written already (a commit's own answer can be lost)."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_away),
        wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_delay(config.current().attempt_lease_seconds),
        reraise=True,
    ):
        with attempt, transaction():
            return write()
    raise AssertionError("tenacity returns or raises")


def _is_away(error: BaseException) -> bool:
    """Whether the database can't be written to for the moment: it is away, or, in a change-over, still a replica."""
    return isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError) and isinstance(error.orig, ReadOnlySqlTransaction)
    )


def _key(claim: Claim) -> AttemptKey:
    return AttemptKey(claim.attempt_id, claim.shop_id, claim.dispatch_id, claim.batch_number)

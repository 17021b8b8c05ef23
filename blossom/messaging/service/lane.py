"""A lane: one job that takes batch after batch until nothing is due, its time is up, or the process is to end.

Each batch takes three steps, and only the middle one is outside a transaction: claim and read → call Mitto with no
connection held → record. A kill between any two leaves a row that says how far it came.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
import tenacity
from sqlalchemy.exc import OperationalError

from blossom.messaging.rules.states import MessageState, backoff_seconds
from blossom.messaging.service import claiming, composing, dispatches, funds, provider, recording
from blossom.messaging.service.claiming import Claim
from blossom.messaging.service.composing import Composed
from blossom.messaging.service.recording import AttemptKey, Outcome
from blossom.mitto.client import MittoClient
from blossom.mitto.errors import SendError, SendErrorKind, SendErrorScope
from blossom.mitto.payloads import BulkAnswer, OutgoingText, Refused
from blossom.platform import clock, config, queue, stopping
from blossom.platform.db import transaction
from blossom.platform.throttle import Bucket, Throttle

log = structlog.get_logger()
T = TypeVar("T")
throttle = Throttle()

_LONGEST_WAIT = 20.0
"""Seconds that a worker waits for the throttle with a claimed batch in hand; for longer, the batch goes back."""


@dataclass
class Laps:
    """What a lane did."""

    batches: int = 0
    texts: int = 0


def run_lane(seconds: float | None = None, worker: str | None = None) -> Laps:
    """Send batch after batch. Manages its transactions; to be called outside of any."""
    worker = worker or f"{socket.gethostname()}:{os.getpid()}"
    ends_at = time.monotonic() + (config.current().lane_seconds if seconds is None else seconds)
    laps, touched = Laps(), set[int]()
    more = True
    while more and not stopping.requested():
        if time.monotonic() >= ends_at:
            with transaction():
                queue.enqueue("messaging.send_lane", queue="send", at_most=config.current().lanes)
            break
        first = not touched
        more = _lap(worker, laps, touched)
        if more and first:
            _wake_another()
    for dispatch_id in touched:
        with transaction():
            dispatches.finish_if_done(dispatch_id)
    return laps


def _wake_another() -> None:
    """There is work: let another lane look, if one is free. When none is, the nudge waits and does no harm."""
    with transaction():
        queue.enqueue("messaging.send_lane", queue="send", at_most=1)


def _lap(worker: str, laps: Laps, touched: set[int]) -> bool:
    """One batch, from claim to record. False: nothing was due."""
    now = clock.now()
    with transaction():
        claim = claiming.claim_batch(worker, now)
    if claim is None:
        return False
    touched.add(claim.dispatch_id)
    try:
        client = provider.sender()
        with transaction():
            loaded = composing.load(claim)
            earlier = composing.earlier_texts(claim, loaded, now)
        composed = composing.compose(claim, loaded, earlier, now)
        later = _what_fits(client, composed)
    except OperationalError:
        raise  # the database is away: the sweeper gives the batch back
    except Exception:
        log.exception("send.unsendable", dispatch_id=claim.dispatch_id, attempt_id=claim.attempt_id)
        _until_recorded(lambda: _give_up(claim, "unsendable", _UNSENDABLE, now))
        return True
    if composed.texts:
        _send(client, claim, composed, later)
    else:
        _finish(claim, composed, [], attempt_state="recorded")
    laps.batches += 1
    laps.texts += len(composed.texts)
    return True


_UNSENDABLE = "Something in this campaign can't be read, so none of the rest was sent. Write it anew, or ask us."

_SURELY_FITS = 150
"""Bytes a text of a call beside its words: below this estimate no call is too large, and none needs to be measured."""


def _what_fits(client: MittoClient, composed: Composed) -> list[int]:
    """Leave in `composed` what fits in one call; the ids of the messages that must go in another."""
    texts = composed.texts
    if sum(len(item.text) for item in texts) * 6 + len(texts) * _SURELY_FITS < client.max_bytes:
        return []
    groups = client.plan(_outgoing(composed), composed.facts.traffic_account_id)
    fitting = len(groups[0]) if groups else 0
    composed.texts = texts[:fitting]
    return [item.message_id for item in texts[fitting:]]


def _outgoing(composed: Composed) -> list[OutgoingText]:
    return [OutgoingText(item.phone, item.text, composed.facts.sender) for item in composed.texts]


def _send(client: MittoClient, claim: Claim, composed: Composed, later: list[int]) -> None:
    if not _wait_for_turn(claim, composed) or not _begin(claim, composed, later):
        return
    try:
        answer = _call(client, claim, composed)
    except SendError as error:
        _after_error(claim, composed, error)
    except Exception:  # it may have left: never to be guessed
        log.exception("send.broken", attempt_id=claim.attempt_id)
        _finish(claim, composed, unconfirmed(composed), attempt_state="unknown", code="worker_fault")
    else:
        _finish(claim, composed, _accepted(composed, answer), attempt_state="recorded", bulk_id=answer.bulk_id)


def _begin(claim: Claim, composed: Composed, later: list[int]) -> bool:
    """Write down that the call is about to be made, if it is paid for, on time, and still wanted; else the batch goes
    back. What doesn't fit in the call goes into a batch of its own."""
    facts, now = composed.facts, clock.now()
    too_late = _is_too_late(composed, now)
    missing = 0
    with transaction():
        begun = not too_late and claiming.begin_call(
            claim, manifest=composed.manifest(), credits=composed.credits, now=now
        )
        if begun:
            missing = funds.missing_for(claim, facts.reservation_id, composed.credits)
        if not begun or missing:
            # Those whose hours are about to close are put off when they have closed, the others go then.
            due_at = composed.must_go_by if too_late and composed.must_go_by else now
            claiming.give_back(claim.attempt_id, outcome="given_back", due_at=due_at, tries=claim.tries, now=now)
        elif later:
            recording.move_to_new_batch(
                claim.dispatch_id, claim.batch_number, later, due_at=now, valid_until=claim.valid_until
            )
            recording.recount(claim.dispatch_id, claim.batch_number, now=now, close=False)
    if missing:
        with transaction():
            dispatches.stop_for_credit(claim.shop_id, claim.dispatch_id, missing)
    return begun and not missing


def _is_too_late(composed: Composed, now: datetime) -> bool:
    """Whether a call that begins now could still be under way when somebody's quiet hours begin."""
    longest = timedelta(seconds=config.current().mitto_timeout_seconds)
    return composed.must_go_by is not None and now + longest >= composed.must_go_by


def _call(client: MittoClient, claim: Claim, composed: Composed) -> BulkAnswer:
    """Make the call, and again as long as nothing was taken, after 100, 500 and 2,000 ms (spec §3).

    Before each further try the dispatch is asked again: after a pause or a cancel no call begins. A `Retry-After`
    beyond the waits sends the batch back instead. Raises `SendError`.
    """
    facts = composed.facts
    for delay in (*_RETRY_DELAYS, None):
        try:
            return client.send_bulk(_outgoing(composed), facts.traffic_account_id)
        except SendError as error:
            if error.kind is not SendErrorKind.TRANSIENT or delay is None:
                raise
            if max(delay, error.retry_after or 0.0) > _RETRY_DELAYS[-1] or stopping.wait(
                max(delay, error.retry_after or 0.0)
            ):
                raise
            now = clock.now()
            with transaction():
                wanted = not _is_too_late(composed, now) and claiming.go_on(claim, now)
            if not wanted:
                raise
    raise AssertionError("the last try returns or raises")


_RETRY_DELAYS = (0.1, 0.5, 2.0)


def _wait_for_turn(claim: Claim, composed: Composed) -> bool:
    """Wait, with nothing held but the claim, until the throttle lets these texts go. False: the batch went back."""
    settings, facts = config.current(), composed.facts
    rates = (
        (f"account:{facts.traffic_account_id}", settings.mitto_texts_per_second),
        (f"shop:{claim.shop_id}", settings.shop_texts_per_second),
    )
    buckets = [Bucket(name, rate) for name, rate in rates if rate]
    seconds = throttle.take(buckets, len(composed.texts))
    if seconds <= _LONGEST_WAIT and not stopping.wait(seconds):
        return True
    throttle.put_back(buckets, len(composed.texts))
    now = clock.now()
    later = now if stopping.requested() else now + timedelta(seconds=seconds - _LONGEST_WAIT / 2)
    with transaction():
        claiming.give_back(claim.attempt_id, outcome="given_back", due_at=later, tries=claim.tries, now=now)
    return False


def _accepted(composed: Composed, answer: BulkAnswer) -> list[Outcome]:
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


def _after_error(claim: Claim, composed: Composed, error: SendError) -> None:
    """What a failed call means for its batch, by the closed table of `mitto.errors`."""
    now = clock.now()
    log.warning("send.failed", code=error.code, kind=error.kind.value, attempt_id=claim.attempt_id)
    if error.kind is SendErrorKind.UNKNOWN_OUTCOME:
        _finish(claim, composed, unconfirmed(composed), attempt_state="unknown", code=error.code)
    elif error.kind is SendErrorKind.TRANSIENT:
        tries = claim.tries + 1
        seconds = max(
            error.retry_after or 0.0,
            backoff_seconds(tries, config.current().dispatch_max_backoff_seconds) * random.uniform(0.8, 1.2),  # noqa: S311 -- spreads retries
        )
        _until_recorded(lambda: _return(claim, composed, error, due_at=now + timedelta(seconds=seconds), tries=tries))
    elif error.scope is SendErrorScope.ACCOUNT:
        _until_recorded(lambda: _refuse_account(claim, composed, error))
    elif len(composed.texts) > 1:
        _until_recorded(lambda: _split(claim, composed, error))
    else:
        refused = Outcome(
            composed.texts[0].message_id, MessageState.FAILED, error=error.code, segments=composed.texts[0].segments
        )
        _finish(claim, composed, [refused], attempt_state="refused", code=error.code)


def unconfirmed(composed: Composed) -> list[Outcome]:
    """The call went out and no answer came: charged, shown as unconfirmed, never repeated by itself."""
    return [
        Outcome(item.message_id, MessageState.UNCONFIRMED, segments=item.segments, credits=item.credits)
        for item in composed.texts
    ]


def _return(claim: Claim, composed: Composed, error: SendError, *, due_at: datetime, tries: int) -> bool:
    """End an attempt of which nothing was taken; its batch is due again at `due_at`. Whether it is.

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
    return returned


def _refuse_account(claim: Claim, composed: Composed, error: SendError) -> None:
    """The account was refused: nothing of the dispatch can be sent."""
    _return(claim, composed, error, due_at=clock.now(), tries=claim.tries)
    dispatches.fail_dispatch(claim.shop_id, claim.dispatch_id, error.code, error.merchant_text)


def _give_up(claim: Claim, code: str, merchant_text: str, now: datetime) -> None:
    """The dispatch itself can't be sent; without this it would be the first in turn for ever."""
    claiming.give_back(claim.attempt_id, outcome="refused", due_at=now, tries=claim.tries, now=now, code=code)
    dispatches.fail_dispatch(claim.shop_id, claim.dispatch_id, code, merchant_text)


def _split(claim: Claim, composed: Composed, error: SendError) -> None:
    """A refused call took nothing: its batch becomes two, until the text that was refused stands alone."""
    now, key = clock.now(), _key(claim)
    if _return(claim, composed, error, due_at=now, tries=claim.tries):
        recording.split_batch(key, [item.message_id for item in composed.texts], claim.valid_until, now)
        recording.write_outcomes(key, recording.skipped(composed.skipped), called_at=None, now=now)
        recording.recount(claim.dispatch_id, claim.batch_number, now=now)


def _finish(
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
    may_be_done = _until_recorded(
        lambda: recording.record(
            key,
            [*outcomes, *recording.skipped(composed.skipped)],
            attempt_state=attempt_state,
            called_at=now,
            now=now,
            reservation_id=composed.facts.reservation_id,
            bulk_id=bulk_id,
            code=code,
            later=composed.put_off,
            valid_until=claim.valid_until,
        )
    )
    if may_be_done:
        with transaction():
            dispatches.finish_if_done(claim.dispatch_id)


def _until_recorded(write: Callable[[], T]) -> T:
    """Write in a transaction what a call came to; a database that goes away now is waited for, since nobody else
    knows. Whatever is written here changes nothing when it was written already (a commit's own answer can be lost)."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OperationalError),
        wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_delay(config.current().attempt_lease_seconds),
        reraise=True,
    ):
        with attempt, transaction():
            return write()
    raise AssertionError("tenacity returns or raises")


def _key(claim: Claim) -> AttemptKey:
    return AttemptKey(claim.attempt_id, claim.shop_id, claim.dispatch_id, claim.batch_number)

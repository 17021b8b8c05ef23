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
        more = _lap(worker, laps, touched)
    for dispatch_id in touched:
        with transaction():
            dispatches.finish_if_done(dispatch_id)
    return laps


def _lap(worker: str, laps: Laps, touched: set[int]) -> bool:
    """One batch, from claim to record. False: nothing was due."""
    now = clock.now()
    with transaction():
        claim = claiming.claim_batch(worker, now)
        if claim is None:
            return False
        loaded = composing.load(claim)
    touched.add(claim.dispatch_id)
    if loaded.facts.caps.any and loaded.facts.is_marketing:
        with transaction():
            earlier = composing.earlier_texts(claim, loaded, now)
    else:
        earlier = {}
    composed = composing.compose(claim, loaded, earlier, now)
    if composed.texts:
        _send(claim, composed)
    else:
        _finish(claim, composed, [], attempt_state="recorded")
    laps.batches += 1
    laps.texts += len(composed.texts)
    return True


def _send(claim: Claim, composed: Composed) -> None:
    facts = composed.facts
    if not _wait_for_turn(claim, composed):
        return
    now = clock.now()
    with transaction():
        missing = funds.missing_for(claim.shop_id, claim.dispatch_id, facts.reservation_id, composed.credits)
        if missing:
            dispatches.stop_for_credit(claim.shop_id, claim.dispatch_id, missing)
        begun = not missing and claiming.begin_call(
            claim, manifest=composed.manifest(), credits=composed.credits, now=now
        )
        if not begun:
            claiming.give_back(claim.attempt_id, outcome="given_back", due_at=now, tries=claim.tries, now=now)
    if not begun:
        return
    outgoing = [OutgoingText(item.phone, item.text, facts.sender) for item in composed.texts]
    try:
        answer = provider.client().send_bulk(outgoing, facts.traffic_account_id)
    except SendError as error:
        _after_error(claim, composed, error)
    else:
        _finish(claim, composed, _accepted(composed, answer), attempt_state="recorded", bulk_id=answer.bulk_id)


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
        _until_recorded(
            lambda: claiming.give_back(
                claim.attempt_id,
                outcome="returned",
                due_at=now + timedelta(seconds=seconds),
                tries=tries,
                now=now,
                code=error.code,
            )
        )
    elif error.scope is SendErrorScope.ACCOUNT:
        _until_recorded(lambda: _fail(claim, error, now))
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


def _fail(claim: Claim, error: SendError, now: datetime) -> None:
    """The account was refused: nothing of the dispatch can be sent."""
    claiming.give_back(claim.attempt_id, outcome="refused", due_at=now, tries=claim.tries, now=now, code=error.code)
    dispatches.fail_dispatch(claim.shop_id, claim.dispatch_id, error.code, error.merchant_text)


def _split(claim: Claim, composed: Composed, error: SendError) -> None:
    """A refused call took nothing: its batch becomes two, until the text that was refused stands alone."""
    now, key = clock.now(), _key(claim)
    if claiming.give_back(claim.attempt_id, outcome="refused", due_at=now, tries=claim.tries, now=now, code=error.code):
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

"""A lane: one job that takes batch after batch until nothing is due, its time is up, or the process is to end.

Each batch takes three steps, and only the middle one is outside a transaction: claim and read → call Mitto with no
connection held → record. A kill between any two leaves a row that says how far it came.
"""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from blossom.messaging.service import claiming, composing, dispatches, endings, funds, provider, recording
from blossom.messaging.service.claiming import Claim
from blossom.messaging.service.composing import Composed
from blossom.mitto.client import MittoClient
from blossom.mitto.errors import SendError, SendErrorKind
from blossom.mitto.payloads import BulkAnswer, OutgoingText
from blossom.platform import clock, config, db, queue, stopping
from blossom.platform.db import session, transaction
from blossom.platform.throttle import Bucket, Throttle

log = structlog.get_logger()
T = TypeVar("T")
throttle = Throttle()

_LONGEST_WAIT = 20.0
"""Seconds that a worker waits for the throttle with a claimed batch in hand; for longer, the batch goes back."""


@dataclass
class Laps:
    """What a lane did, and whose dispatches (shop, dispatch) it had in hand."""

    batches: int = 0
    texts: int = 0
    touched: set[tuple[int, int]] = field(default_factory=set)

    def add(self, others: Laps) -> None:
        self.batches += others.batches
        self.texts += others.texts
        self.touched |= others.touched


def run_lane(seconds: float | None = None, worker: str | None = None) -> Laps:
    """Send batch after batch, in several threads once there is work. Manages its transactions; to be called outside of
    any. What it did, all threads together."""
    worker = worker or f"{socket.gethostname()}:{os.getpid()}"
    seconds = config.current().lane_seconds if seconds is None else seconds
    ends_at = time.monotonic() + seconds
    laps, woken, others = Laps(), False, list[Future[Laps]]()
    with ThreadPoolExecutor(config.current().lane_threads, thread_name_prefix="lane") as threads:
        while not stopping.requested():
            if time.monotonic() >= ends_at:
                if queue.is_reachable():
                    with transaction():
                        dispatches.nudge_lanes()
                    break
                ends_at = time.monotonic() + seconds  # nobody could be told to go on, so this lane does
            if not _lap(worker, laps):
                break
            if not woken:
                woken = True
                _wake_another()
                beside = db.for_thread(_run_beside)
                others = [
                    threads.submit(beside, f"{worker}:{number}", ends_at)
                    for number in range(2, config.current().lane_threads + 1)
                ]
    for other in others:
        laps.add(other.result())
    for shop_id, dispatch_id in laps.touched:
        with transaction():
            dispatches.finish_if_done(shop_id, dispatch_id)
    return laps


def _run_beside(worker: str, ends_at: float) -> Laps:
    """A further thread of a lane, until nothing is due or the lane's time is up."""
    laps = Laps()
    try:
        while time.monotonic() < ends_at and not stopping.requested() and _lap(worker, laps):
            pass
    except Exception:  # its batch is found by the sweep; the lane's other threads go on
        log.exception("lane.thread_failed", worker=worker)
    return laps


def _wake_another() -> None:
    """There is work: let another lane look, if one is free. When none is, the nudge waits and does no harm."""
    with transaction():
        queue.enqueue("messaging.send_lane", queue="send", at_most=1, timeout_seconds=queue.NO_LIMIT)


def _lap(worker: str, laps: Laps) -> bool:
    """One batch, from claim to record. False: nothing was due."""
    now = clock.now()
    with transaction():
        claim = claiming.claim_batch(worker, now)
    if claim is None:
        return False
    laps.touched.add((claim.shop_id, claim.dispatch_id))
    client = provider.sender()
    try:
        with transaction():
            loaded = composing.load(claim, now)
        composed = composing.compose(claim, loaded, now)
        later = _what_fits(client, composed)
    except OperationalError:
        raise  # the database is away: the sweeper gives the batch back
    except Exception:
        log.exception("send.unsendable", dispatch_id=claim.dispatch_id, attempt_id=claim.attempt_id)
        endings.until_recorded(lambda: endings.give_up(claim, "unsendable", _UNSENDABLE, now))
        return True
    if composed.texts:
        _send(client, claim, composed, later)
    else:
        endings.finish(claim, composed, [], attempt_state="recorded")
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
    if not _wait_for_turn(claim, composed):
        return
    if not _begin(claim, composed, later):
        throttle.put_back(_buckets(claim, composed), len(composed.texts))
        return
    try:
        answer = _call(client, claim, composed)
    except SendError as error:
        endings.after_error(claim, composed, error)
    except Exception:  # it may have left: never to be guessed
        log.exception("send.broken", attempt_id=claim.attempt_id)
        endings.finish(claim, composed, endings.unconfirmed(composed), attempt_state="unknown", code="worker_fault")
    else:
        endings.finish(
            claim, composed, endings.accepted(composed, answer), attempt_state="recorded", bulk_id=answer.bulk_id
        )


def _begin(claim: Claim, composed: Composed, later: list[int]) -> bool:
    """Write down that the call is about to be made, if it is paid for, on time, and still wanted; else the batch goes
    back. What doesn't fit in the call goes into a batch of its own."""
    now = clock.now()
    too_late = _is_too_late(composed, now)
    # Those whose hours are about to close are put off when they have closed, the others go then.
    due_at = composed.must_go_by if too_late else now
    give_back = partial(
        claiming.give_back, claim.attempt_id, outcome="given_back", due_at=due_at, tries=claim.tries, now=now
    )
    try:
        with transaction():
            begun = not too_late and claiming.begin_call(
                claim, manifest=composed.manifest(), credits=composed.credits, now=now
            )
            if not begun or not _nobody_has_it(claim, composed):
                give_back()
                return False
            if later:
                recording.move_to_new_batch(
                    claim.dispatch_id, claim.batch_number, later, due_at=now, valid_until=claim.valid_until
                )
                recording.recount(claim.dispatch_id, claim.batch_number, now=now, close=False)
            cover = funds.cover(claim, composed.facts.reservation_id, composed.credits)  # the wallet last
            if cover.missing:
                raise _Unpaid
            composed.cover_id = cover.reservation_id
    except _Unpaid:
        with transaction():
            give_back()
        with transaction():
            dispatches.stop_for_credit(claim.shop_id, claim.dispatch_id, cover.missing)
        return False
    return True


class _Unpaid(Exception):
    """The call can't be paid for: nothing of its beginning may stay."""


def _nobody_has_it(claim: Claim, composed: Composed) -> bool:
    """Whether nobody of those who are texted again has turned out, since the batch was read, to have had the text. A
    receipt that comes after this comes too late."""
    if not composed.again:
        return True
    ids = [item.message_id for item in composed.texts]
    pending = session.execute(_PENDING, {"shop_id": claim.shop_id, "ids": ids}).scalar_one()
    return int(pending) == len(ids)


_PENDING = text("""
SELECT count(*) FROM messages
WHERE shop_id = :shop_id AND id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'
""")


def _is_too_late(composed: Composed, now: datetime) -> bool:
    """Whether a call that begins now could still be under way when somebody's quiet hours begin or the texts are out of
    date."""
    return now + timedelta(seconds=config.current().mitto_timeout_seconds) >= composed.must_go_by


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
    buckets = _buckets(claim, composed)
    seconds = throttle.take(buckets, len(composed.texts))
    if seconds <= _LONGEST_WAIT and not stopping.wait(seconds):
        return True
    throttle.put_back(buckets, len(composed.texts))
    now = clock.now()
    later = now if stopping.requested() else now + timedelta(seconds=seconds - _LONGEST_WAIT / 2)
    with transaction():
        claiming.give_back(claim.attempt_id, outcome="given_back", due_at=later, tries=claim.tries, now=now)
    return False


def _buckets(claim: Claim, composed: Composed) -> list[Bucket]:
    settings = config.current()
    rates = (
        (f"account:{composed.facts.traffic_account_id}", settings.mitto_texts_per_second),
        (f"shop:{claim.shop_id}", settings.shop_texts_per_second),
    )
    return [Bucket(name, rate) for name, rate in rates if rate]

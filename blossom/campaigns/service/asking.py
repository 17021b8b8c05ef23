"""The merchant's own questions about texts, which the provider answers. They manage their transactions.

Each is a call to the provider like a text's, so it is paid from the same bucket: a merchant who asks and asks slows
down nobody beyond that account's rate. Nothing is held while one waits or asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import text

from blossom.audit import service as audit
from blossom.campaigns import errors, queries
from blossom.messaging import service as messaging
from blossom.mitto.payloads import delivery_state
from blossom.platform import clock, config, queue, stopping
from blossom.platform.db import rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.platform.throttle import Bucket, Throttle
from blossom.shops import queries as shops

MOST_AT_ONCE = 100
"""Texts asked about by one call."""

LONGEST_WAIT = 3.0
"""Seconds for which a caller is kept waiting for a turn; beyond that they are told to come again."""

throttle = Throttle()
log = structlog.get_logger()


def refresh_status(shop_id: int, provider_message_id: str) -> messaging.Refreshed:
    """Ask after one text of this shop. Raises `NotFound`, `TooManyQuestions`."""
    with _turn(shop_id, 1):
        return messaging.refresh_status(shop_id, provider_message_id)


def refresh_campaign(shop_id: int, campaign_id: int) -> list[messaging.Refreshed]:
    """Ask after up to `MOST_AT_ONCE` texts of the campaign that no receipt has told of. Raises `NotFound`,
    `TooManyQuestions`."""
    with transaction():
        dispatch_id = queries.get_campaign(shop_id, campaign_id).dispatch_id
    if dispatch_id is None:
        return []
    with _turn(shop_id, MOST_AT_ONCE) as turn:
        found = messaging.refresh_unanswered(MOST_AT_ONCE, dispatch_id)
        turn.used = len(found)
    return found


ROUNDS = 5
"""Of `MOST_AT_ONCE` texts each, that one click on a page has the provider asked after."""

GIVEN_UP = timedelta(minutes=3)
"""A job that has had a refresh in hand for so long is lost: another one begins it anew."""

_ASK = text("""
INSERT INTO status_refreshes AS r (campaign_id, shop_id, actor, asked_at)
VALUES (:campaign_id, :shop_id, :actor, :now)
ON CONFLICT (campaign_id) DO UPDATE
SET actor = excluded.actor, asked_at = excluded.asked_at, begun_at = NULL, ended_at = NULL, asked = 0, changed = 0,
    trouble = NULL
WHERE r.ended_at IS NOT NULL
""")

_TAKE = text("""
UPDATE status_refreshes SET begun_at = :now WHERE campaign_id = (
    SELECT campaign_id FROM status_refreshes
    WHERE ended_at IS NULL AND (begun_at IS NULL OR begun_at < :given_up)
    ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING shop_id, campaign_id
""")

_NOTE = text("""
UPDATE status_refreshes
SET asked = :asked, changed = :changed, trouble = :trouble,
    ended_at = CASE WHEN :ended THEN CAST(:now AS timestamptz) END
WHERE campaign_id = :campaign_id AND shop_id = :shop_id AND ended_at IS NULL
""")


def ask_for_refresh(shop_id: int, campaign_id: int, *, actor: str) -> bool:
    """Have a job ask the provider after the campaign's texts without a final word; `refresh_of` tells how far it is.
    Whether this call did: one that is under way is left at that. Flushes. Raises `NotFound`, `NothingSent`."""
    if queries.get_campaign(shop_id, campaign_id).dispatch_id is None:
        raise errors.NothingSent()
    values = {"campaign_id": campaign_id, "shop_id": shop_id, "actor": actor, "now": clock.now()}
    if not rows_changed(_ASK, values):
        return False
    audit.record(shop_id, "campaigns.refreshed", actor=actor, subject_type="campaign", subject_id=campaign_id)
    queue.enqueue("campaigns.refresh", queue="questions", unless_waiting=True)
    return True


def run_refreshes() -> int:
    """Ask what merchants wanted asked, the longest waiting first; how many refreshes were ended."""
    ended = 0
    while not stopping.requested():
        now = clock.now()
        with transaction():
            taken = session.execute(_TAKE, {"now": now, "given_up": now - GIVEN_UP}).one_or_none()
        if taken is None:
            break
        _run_refresh(taken.shop_id, taken.campaign_id)
        ended += 1
    return ended


def _run_refresh(shop_id: int, campaign_id: int) -> None:
    seen: set[str] = set()
    changed, trouble = 0, None
    for _ in range(ROUNDS):
        try:
            found = refresh_campaign(shop_id, campaign_id)
        except BlossomError as error:  # no turn, or the campaign has gone
            trouble = error.code
            break
        news = [each for each in found if each.provider_message_id not in seen]
        seen.update(each.provider_message_id for each in news if each.error is None)
        changed += sum(_is_final(each.status) for each in news)
        trouble = next((each.error for each in news if each.error), None)
        if trouble or len(news) < MOST_AT_ONCE:
            break
        _note(shop_id, campaign_id, len(seen), changed)
    _note(shop_id, campaign_id, len(seen), changed, trouble, ended=True)
    log.info("campaigns.refreshed", shop_id=shop_id, campaign_id=campaign_id, asked=len(seen), changed=changed)


def _is_final(status: str | None) -> bool:
    return status is not None and delivery_state(status) in ("delivered", "failed")


def _note(
    shop_id: int, campaign_id: int, asked: int, changed: int, trouble: str | None = None, *, ended: bool = False
) -> None:
    values = {"shop_id": shop_id, "campaign_id": campaign_id, "asked": asked, "changed": changed, "trouble": trouble}
    with transaction():
        session.execute(_NOTE, {**values, "ended": ended, "now": clock.now()})


@dataclass
class _Turn:
    """Leave for so many questions; what is not `used` in the end, also for an error, goes back."""

    amount: int
    used: int


@contextmanager
def _turn(shop_id: int, amount: int) -> Iterator[_Turn]:
    """Wait for leave to ask `amount` questions of the shop's account. Raises `TooManyQuestions`."""
    with transaction():
        own_account = shops.get_shop(shop_id).traffic_account_id
    settings = config.current()
    account = own_account or settings.mitto_traffic_account_id
    rate = settings.mitto_texts_per_second
    buckets = [Bucket(f"account:{account}", rate)] if rate else []
    turn = _Turn(amount, used=amount)
    seconds = throttle.take(buckets, amount)
    if seconds > LONGEST_WAIT or stopping.wait(seconds):
        throttle.put_back(buckets, amount)
        raise errors.TooManyQuestions(max(1, math.ceil(seconds)))
    try:
        yield turn
    except BlossomError:  # refused before anything was asked
        turn.used = 0
        raise
    finally:
        if turn.used < turn.amount:
            throttle.put_back(buckets, turn.amount - turn.used)

"""The merchant's own questions about texts, which the provider answers. They manage their transactions.

Each is a call to the provider like a text's, so it is paid from the same bucket: a merchant who asks and asks slows
down nobody beyond that account's rate. Nothing is held while one waits or asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from blossom.campaigns import errors, queries
from blossom.messaging import service as messaging
from blossom.platform import config, stopping
from blossom.platform.db import transaction
from blossom.platform.errors import BlossomError
from blossom.platform.throttle import Bucket, Throttle
from blossom.shops import queries as shops

MOST_AT_ONCE = 100
"""Texts asked about by one call."""

LONGEST_WAIT = 3.0
"""Seconds for which a caller is kept waiting for a turn; beyond that they are told to come again."""

throttle = Throttle()


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

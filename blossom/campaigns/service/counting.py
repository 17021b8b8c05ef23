"""Counting whom an audience has: in the request while the shop is small, else by a job that a look asks for.

A million people are read for about a second, in which a page must not wait: it shows that they are being counted, and
looks again. Looks in between make no second job; a job that was lost is asked for anew by a later look.
"""

from __future__ import annotations

from datetime import datetime

import redis
import structlog

from blossom.campaigns.queries import counting
from blossom.contacts import queries as contacts
from blossom.messaging.queries.census import Census
from blossom.platform import clock, queue
from blossom.segments.rules import Audience

log = structlog.get_logger()

AT_ONCE = 2_000
"""Contacts of a shop that a request may read."""


def is_at_once(shop_id: int) -> bool:
    """Whether the shop is so small that its people are counted in a request."""
    return not contacts.has_more_than(shop_id, AT_ONCE)


def counted(
    shop_id: int, audience: Audience, planned: datetime, now: datetime, *, since: datetime | None = None
) -> Census | None:
    """Whom it has, as it was counted lately, after `since` if that is given; None: a job counts them.

    Raises `NotFound` for a segment that is not there.
    """
    known = counting.known_census(shop_id, audience, planned)
    if known is not None and (since is None or known.at >= since):
        return known
    if is_at_once(shop_id):
        return counting.take_census(shop_id, audience, planned, now)
    return _want(shop_id, audience, planned, now)


def _want(shop_id: int, audience: Audience, planned: datetime, now: datetime) -> Census | None:
    """Have it counted by a job; without Redis, which brings jobs, at once."""
    try:
        is_first = counting.want_census(shop_id, audience, planned)
    except redis.RedisError as error:
        log.warning("campaigns.counted_in_a_request", shop_id=shop_id, error=type(error).__name__)
        return counting.take_census(shop_id, audience, planned, now)
    if is_first:
        whom, when = audience.to_json(), planned.isoformat()
        queue.enqueue("campaigns.count_audience", shop_id=shop_id, audience=whom, planned=when)
    return None


def count_audience(shop_id: int, audience: Audience, planned: datetime) -> None:
    """Count and keep it, as a page has asked. Raises `NotFound` for a segment that is not there."""
    counting.take_census(shop_id, audience, planned, clock.now())

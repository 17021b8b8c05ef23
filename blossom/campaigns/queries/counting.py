"""An audience's census, kept for some minutes: a page that previews while somebody types reads a million people once.

Without Redis each process keeps the last count that it made: the page works on, and may have to count more often. Who
counts, the request or a job, is `service.counting`'s to say.
"""

from __future__ import annotations

import contextlib
import hashlib
from datetime import datetime

import orjson
import redis
import structlog
from sqlalchemy import select

from blossom.messaging.queries import census
from blossom.messaging.queries.census import Census
from blossom.messaging.rules.caps import Caps
from blossom.platform import queue
from blossom.platform.db import session
from blossom.segments.models import Segment
from blossom.segments.rules import Audience
from blossom.shops import queries as shops

log = structlog.get_logger()

KEPT_SECONDS = 300

WANTED_SECONDS = 15
"""A count whose job was lost may be asked for again after this."""

_meanwhile: dict[str, Census] = {}
"""The last count of this process, while Redis is away."""


def known_census(shop_id: int, audience: Audience, planned: datetime) -> Census | None:
    """The census taken within the last minutes, if there is one."""
    key = _key(shop_id, audience, planned)
    try:
        kept = queue.connection().get(key)
    except redis.RedisError as error:
        log.warning("campaigns.census_cache_unavailable", error=type(error).__name__)
        return _meanwhile.get(key)
    return Census.from_json(orjson.loads(kept)) if kept else None


def take_census(shop_id: int, audience: Audience, planned: datetime, now: datetime) -> Census:
    """Count the audience anew, and keep the count. Raises `NotFound` for a segment that is not there."""
    shop, key = shops.get_shop(shop_id), _key(shop_id, audience, planned)
    caps = Caps(shop.daily_cap, shop.weekly_cap)
    taken = census.take(shop_id, audience, caps, now=now, planned=max(now, planned))
    try:
        queue.connection().set(key, orjson.dumps(taken.to_json()), ex=KEPT_SECONDS)
        queue.connection().delete(_wanted(key))
    except redis.RedisError as error:
        log.warning("campaigns.census_cache_unavailable", error=type(error).__name__)
        _meanwhile.clear()
        _meanwhile[key] = taken
    return taken


def forget_census(shop_id: int, audience: Audience, planned: datetime) -> None:
    """Let the next look have it counted anew."""
    key = _key(shop_id, audience, planned)
    _meanwhile.pop(key, None)
    with contextlib.suppress(redis.RedisError):
        queue.connection().delete(key)


def want_census(shop_id: int, audience: Audience, planned: datetime) -> bool:
    """Whether the caller is the first in some seconds to want it counted, so that many looks make one job. Raises
    `redis.RedisError`: without Redis no job can be asked for either."""
    wanted = _wanted(_key(shop_id, audience, planned))
    return bool(queue.connection().set(wanted, 1, nx=True, ex=WANTED_SECONDS))


def _wanted(key: str) -> str:
    return f"{key}:wanted"


def _key(shop_id: int, audience: Audience, planned: datetime) -> str:
    """By everything that the answer depends on, but for the people themselves. Of the hour, which caps depend on, the
    hour is enough."""
    shop = shops.get_shop(shop_id)
    said = orjson.dumps(
        (
            audience.to_json(),
            _changed(shop_id, audience) if audience.named else [],
            (shop.daily_cap, shop.weekly_cap),
            f"{planned:%Y-%m-%dT%H}",
        )
    )
    return f"census:{shop_id}:{hashlib.sha256(said).hexdigest()[:32]}"


def _changed(shop_id: int, audience: Audience) -> list[tuple[int, datetime]]:
    """When each of its segments was last changed."""
    rows = session.execute(
        select(Segment.id, Segment.updated_at)
        .where(Segment.shop_id == shop_id, Segment.id.in_(audience.named))
        .order_by(Segment.id)
    )
    return [(row.id, row.updated_at) for row in rows]

"""An audience's census, kept for some minutes: a page that previews while somebody types reads a million people once.

Who counts, the request or a job, is `service.counting`'s to say; `platform.kept` keeps it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import orjson
from sqlalchemy import select

from blossom.messaging.queries import census
from blossom.messaging.queries.census import Census
from blossom.messaging.rules.caps import Caps
from blossom.platform import kept
from blossom.platform.db import session
from blossom.segments.models import Segment
from blossom.segments.rules import Audience
from blossom.shops import queries as shops


def known_census(shop_id: int, audience: Audience, planned: datetime) -> Census | None:
    """The census taken within the last minutes, if there is one."""
    found = kept.known(_key(shop_id, audience, planned))
    return Census.from_json(found) if found else None


def take_census(shop_id: int, audience: Audience, planned: datetime, now: datetime) -> Census:
    """Count the audience anew, and keep the count. Raises `NotFound` for a segment that is not there."""
    shop = shops.get_shop(shop_id)
    caps = Caps(shop.daily_cap, shop.weekly_cap)
    taken = census.take(shop_id, audience, caps, now=now, planned=max(now, planned))
    kept.keep(_key(shop_id, audience, planned), taken.to_json())
    return taken


def forget_census(shop_id: int, audience: Audience, planned: datetime) -> None:
    """Let the next look have it counted anew."""
    kept.forget(_key(shop_id, audience, planned))


def want_census(shop_id: int, audience: Audience, planned: datetime) -> bool:
    """Whether the caller is the first in some seconds to want it counted. Raises `redis.RedisError`."""
    return kept.want(_key(shop_id, audience, planned))


def _key(shop_id: int, audience: Audience, planned: datetime) -> str:
    """By everything that the answer depends on, but for the people themselves. Of the moment, which caps depend on, the
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

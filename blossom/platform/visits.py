"""How often strangers may come: requests of public routes, counted in Redis by who asks (sliding window of a minute).

Unlike `throttle`, which lets senders wait their turn, this refuses. Without Redis nobody is refused: a form that is
down for want of a counter would be the greater harm, and what costs money has limits of its own in rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import redis
import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from blossom.platform import queue

log = structlog.get_logger()


def allows(counts: Mapping[str, int]) -> bool:
    """Count one visit under each name, in their order; whether all are within their limit (name → visits a minute).

    A visit that is over one limit is not counted under the names after it: who is refused by their own address, which
    comes first, uses up nothing that others share.
    """
    try:
        storage = RedisStorage("redis://", connection_pool=queue.connection().connection_pool, key_prefix="visits")
        limiter = SlidingWindowCounterRateLimiter(storage)
        return all(limiter.hit(RateLimitItemPerMinute(most), name) for name, most in counts.items())
    except redis.RedisError as error:
        log.warning("visits.not_counted", error=type(error).__name__)
        return True

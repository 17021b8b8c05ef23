"""How many calls a key may make. Counted in Redis (sliding window); without Redis nobody is refused."""

from __future__ import annotations

import math
import time

import redis
import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from blossom.platform import queue
from blossom.platform.errors import BlossomError

log = structlog.get_logger()

CALLS_PER_MINUTE = 600


class TooManyRequests(BlossomError):
    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            f"Too many calls: {CALLS_PER_MINUTE} a minute are allowed.",
            code="too_many_requests",
            status=429,
            details={"retry_after_seconds": retry_after_seconds, "limit_per_minute": CALLS_PER_MINUTE},
            actionable="Wait as long as Retry-After says; lists can be read 100 rows at a time.",
        )


def count_call(actor: str) -> None:
    """Count one call of `actor`. Raises `TooManyRequests` beyond the limit; never raises for Redis."""
    limit = RateLimitItemPerMinute(CALLS_PER_MINUTE)
    try:
        storage = RedisStorage("redis://", connection_pool=queue.connection().connection_pool, key_prefix="api-calls")
        limiter = SlidingWindowCounterRateLimiter(storage)
        if limiter.hit(limit, actor):
            return
        reset_at = limiter.get_window_stats(limit, actor).reset_time
    except redis.RedisError as error:
        log.warning("api.rate_limit_unavailable", error=type(error).__name__)
        return
    raise TooManyRequests(max(1, math.ceil(reset_at - time.time())))

"""Token buckets: how fast texts may leave for one traffic account and one shop.

A bucket fills at `rate` tokens a second up to one second's worth. `take` debits at once, into the red if it must, and
says how long to wait until the debt is paid: callers queue up fairly and none starves. The buckets live in Redis, so
that all workers share them. Time is Redis' own, so that clocks of workers need not agree.

Without Redis each process keeps its own at a share of the rate: a quarter, or less where BLOSSOM_LANES is more than
four, so that the sending processes of one host together stay within the rate. Hosts can't see each other then: with
two lanes each, two hosts stay within it still, and three exceed it by half. Processes that ask rather than send take
their share besides.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import redis
import structlog

from blossom.platform import config, queue

log = structlog.get_logger()

LARGEST_SHARE = 0.25
"""Of the rate, when Redis is gone and the other workers can't be seen."""

_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local longest = 0
for i = 1, #KEYS do
  local rate, amount = tonumber(ARGV[i * 2 - 1]), tonumber(ARGV[i * 2])
  local state = redis.call('HMGET', KEYS[i], 'level', 'at')
  local level = tonumber(state[1]) or rate
  local at = tonumber(state[2]) or now
  level = math.min(rate, level + math.max(0, now - at) * rate) - amount
  redis.call('HSET', KEYS[i], 'level', tostring(level), 'at', tostring(now))
  redis.call('PEXPIRE', KEYS[i], math.ceil((math.max(0, rate - level) / rate + 60) * 1000))
  if level < 0 then longest = math.max(longest, -level / rate) end
end
return tostring(longest)
"""


@dataclass(frozen=True)
class Bucket:
    """`name` is shared by all who must share the rate; `rate` in tokens a second."""

    name: str
    rate: float


class Throttle:
    """All buckets of this process."""

    def __init__(self) -> None:
        self._own: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()  # the threads of a lane share what is the process's own

    def take(self, buckets: list[Bucket], amount: int) -> float:
        """Take `amount` tokens from each bucket; the seconds to wait before using them."""
        if not buckets:
            return 0.0
        try:
            script = queue.connection().register_script(_TAKE)
            arguments = [value for bucket in buckets for value in (bucket.rate, amount)]
            return float(script(keys=[f"throttle:{bucket.name}" for bucket in buckets], args=arguments))
        except redis.RedisError as error:
            log.warning("throttle.alone", error=type(error).__name__)
            return max(self._take_alone(bucket, amount) for bucket in buckets)

    def put_back(self, buckets: list[Bucket], amount: int) -> None:
        """Return tokens that were not used after all."""
        self.take(buckets, -amount)

    def _take_alone(self, bucket: Bucket, amount: int) -> float:
        rate, now = bucket.rate * _share(), time.monotonic()
        with self._lock:
            level, at = self._own.get(bucket.name, (rate, now))
            level = min(rate, level + (now - at) * rate) - amount
            self._own[bucket.name] = (level, now)
        return max(0.0, -level / rate)


def _share() -> float:
    return min(LARGEST_SHARE, 1 / config.current().lanes)

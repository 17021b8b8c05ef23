"""What took long to count, kept for some minutes in Redis, and who is to count it: one job for a thousand looks.

A key begins with what is kept and with the shop's id, so nothing of one shop is ever found for another. Without Redis
each process keeps the last that it made: pages work on, and may have to count more often.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson
import redis
import structlog

from blossom.platform import queue

log = structlog.get_logger()

KEPT_SECONDS = 300

WANTED_SECONDS = 15
"""A count whose job was lost may be asked for again after this."""

_meanwhile: dict[str, tuple[float, bytes]] = {}
"""The last of this process, while Redis is away, and until when it is good (`time.monotonic`)."""


def known(key: str) -> Any | None:
    """What was kept under the key within the last minutes, if anything was."""
    try:
        found = queue.connection().get(key)
    except redis.RedisError as error:
        log.warning("kept.unavailable", error=type(error).__name__)
        until, last = _meanwhile.get(key, (0.0, None))
        found = last if time.monotonic() < until else None
    return orjson.loads(found) if found else None


def keep(key: str, value: Any, *, seconds: int = KEPT_SECONDS, wanted: str | None = None) -> None:
    """Keep what was counted (JSON) for so long. `wanted`: the name under which it was asked for, if not the key."""
    said = orjson.dumps(value)
    try:
        queue.connection().set(key, said, ex=seconds)
        queue.connection().delete(_wanted(wanted or key))
    except redis.RedisError as error:
        log.warning("kept.unavailable", error=type(error).__name__)
        _meanwhile.clear()
        _meanwhile[key] = (time.monotonic() + seconds, said)


def forget(key: str) -> None:
    """Let the next look have it counted anew."""
    _meanwhile.pop(key, None)
    with contextlib.suppress(redis.RedisError):
        queue.connection().delete(key)


def want(name: str) -> bool:
    """Whether the caller is the first in some seconds to want it counted, so that many looks make one job. Raises
    `redis.RedisError`: without Redis no job can be asked for either."""
    return bool(queue.connection().set(_wanted(name), 1, nx=True, ex=WANTED_SECONDS))


def _wanted(name: str) -> str:
    return f"{name}:wanted"

"""Counting everybody whom a segment's rules meet in a large shop: by a job that the page waits for (decision 0037)."""

from __future__ import annotations

import hashlib
from datetime import datetime

import orjson
import redis
import structlog

from blossom.people import queries
from blossom.people.queries import Census, Count
from blossom.platform import clock, kept, queue
from blossom.segments.rules import Question

log = structlog.get_logger()


def counted(shop_id: int, question: Question, now: datetime, *, again: bool = False) -> Census | None:
    """Whom of the shop's people the question meets: of a small shop now, of a large one as they were counted within the
    last minutes; None: a job counts them. `again`: let go of the count that there is.

    A shop has one such job at a time, whatever it asks: another question's begins when a look comes after the first
    one's end. Without Redis, which brings jobs, everybody is counted at once.
    """
    key = _key(shop_id, question)
    if again:
        kept.forget(key)
    elif (known := kept.known(key)) is not None:
        return queries.census_of(shop_id, Count.from_json(known))
    if not queries.is_large(shop_id):  # whatever the database's statistics say, by which `census` would take a sample
        return queries.census_of(shop_id, queries.count_exactly(shop_id, question, now))
    try:
        is_first = kept.want(_name(shop_id))
    except redis.RedisError as error:
        log.warning("people.counted_in_a_request", shop_id=shop_id, error=type(error).__name__)
        return queries.census_of(shop_id, _count(shop_id, question, now))
    if is_first:
        queue.enqueue("people.count_segment", shop_id=shop_id, question=question.to_json())
    return None


def count_segment(shop_id: int, question: Question) -> None:
    """Count and keep it, as a page has asked."""
    _count(shop_id, question, clock.now())


def _count(shop_id: int, question: Question, now: datetime) -> Count:
    found = queries.count_exactly(shop_id, question, now)
    kept.keep(_key(shop_id, question), found.to_json(), wanted=_name(shop_id))
    return found


def _name(shop_id: int) -> str:
    return f"segment-count:{shop_id}"


def _key(shop_id: int, question: Question) -> str:
    """By all that the answer depends on, but for the people themselves."""
    said = orjson.dumps(question.to_json(), option=orjson.OPT_SORT_KEYS)
    return f"{_name(shop_id)}:{hashlib.sha256(said).hexdigest()[:32]}"

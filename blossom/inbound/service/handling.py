"""Handling stored webhooks: taken by one worker, handed to their topic's handler, tried again with growing delay, and
given up in the end.

A handler opens its own transactions and may be called any number of times for one webhook, in any order of webhooks.
Of a shop one worker has webhooks in hand, so that what a handler has read at Shopify is not older than what another has
just written: one, or several that a handler takes together. One that may have cost a worker its life is taken alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError

from blossom.inbound.errors import Hopeless, NotYet
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import Outcome, Result, Webhook, WebhookState
from blossom.inbound.service import handlers
from blossom.platform import clock, crypto, stopping
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import lock_for_transaction, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind, ShopifyErrorScope

log = structlog.get_logger()

AT_A_TIME_SECONDS = 20.0
"""A job hands its worker back after this; what is left is the next one's."""

TOGETHER = 100
"""Webhooks that are handled at once, at most: their customers cost 600 points at Shopify, where a question may cost
1,000."""

_LOST = "worker_lost"
"""The fault of a webhook that is in hand, until it has another one or none."""

# The three under a lock of their own (a millisecond), so that two workers never take of one shop. The first goes from
# shop to shop by the index and looks at one webhook of each, however many wait in one of them.
_NEXT = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT topic, shop_id FROM shopify_webhooks WHERE state = 'new' ORDER BY topic, shop_id LIMIT 1)
        UNION ALL
        SELECT another.topic, another.shop_id FROM waiting CROSS JOIN LATERAL (
            SELECT w.topic, w.shop_id FROM shopify_webhooks w
            WHERE w.state = 'new' AND (w.topic, w.shop_id) > (waiting.topic, waiting.shop_id)
            ORDER BY w.topic, w.shop_id LIMIT 1
        ) AS another
    )
    SELECT oldest.id, waiting.shop_id, waiting.topic, oldest.fault, oldest.next_try_at
    FROM waiting CROSS JOIN LATERAL (
        SELECT w.id, w.fault, w.next_try_at FROM shopify_webhooks w
        WHERE w.state = 'new' AND w.topic = waiting.topic AND w.shop_id = waiting.shop_id AND w.next_try_at <= :now
        ORDER BY w.next_try_at, w.id LIMIT 1
    ) AS oldest
    WHERE waiting.topic = ANY(CAST(:topics AS text[])) AND NOT EXISTS (
        SELECT FROM shopify_webhooks h WHERE h.shop_id = waiting.shop_id AND h.in_hand_until > :now
    )
    """
)
_MORE = text(
    """
    SELECT due.id FROM unnest(CAST(:topics AS text[])) AS given(topic) CROSS JOIN LATERAL (
        SELECT w.id, w.next_try_at FROM shopify_webhooks w
        WHERE w.state = 'new' AND w.topic = given.topic AND w.shop_id = :shop_id AND w.next_try_at <= :now
          AND w.fault IS DISTINCT FROM :lost
        ORDER BY w.next_try_at, w.id LIMIT :most
    ) AS due
    ORDER BY due.next_try_at, due.id LIMIT :most
    """
)
_TAKE = text(
    """
    UPDATE shopify_webhooks SET tries = tries + 1, in_hand_until = :until, next_try_at = :until, fault = :lost
    WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'new'
    RETURNING id, shop_id, shop_domain, topic, triggered_at, received_at, payload_sealed, tries
    """
)

# Not by who has lost it: another has it in hand by now, and counts one try more.
_END = text(
    """
    UPDATE shopify_webhooks SET state = :state, outcome = :outcome, fault = :fault, ended_at = :now,
        next_try_at = NULL, in_hand_until = NULL
    WHERE id = :id AND state = 'new' AND tries = :tries
    """
)
_PUT_OFF = text(
    """
    UPDATE shopify_webhooks SET fault = :fault, next_try_at = :next_try_at, in_hand_until = NULL
    WHERE id = :id AND state = 'new' AND tries = :tries
    """
)
_REPLAY = text(
    """
    UPDATE shopify_webhooks SET state = 'new', tries = 0, next_try_at = :now, fault = NULL, outcome = NULL,
        ended_at = NULL
    WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'dead' RETURNING id
    """
)


def handle_due(*, asks: bool) -> int:
    """Handle what is due, until nothing is, or the time is up: of the topics whose handlers ask Shopify, or of the
    others. How many were taken. Opens and commits its own transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    topics = _topics(asks=asks)
    taken = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            rows = _take(topics)
        if not rows:
            break
        taken += len(rows)
        _write(rows, _results(rows))
    return taken


def replay(ids: Sequence[int]) -> list[int]:
    """Have webhooks that were given up handled again, from the first try on; which of `ids` were given up. Flushes."""
    return sorted(session.scalars(_REPLAY, {"ids": list(ids), "now": clock.now()}))


def _topics(*, asks: bool) -> list[str]:
    return [topic for topic, handler in handlers.BY_TOPIC.items() if handler.asks is asks]


def _take(topics: list[str]) -> Sequence[Any]:
    """The next webhook, and of its shop those that can be handled together with it, in the order of their times."""
    lock_for_transaction("inbound.take_webhook")
    now = clock.now()
    first = _whose_turn(session.execute(_NEXT, {"now": now, "topics": topics}).all(), now)
    if first is None:
        return ()
    ids = [first.id]
    together = handlers.BY_TOPIC[first.topic].together
    if together is not None and first.fault != _LOST:
        like_it = [topic for topic, handler in handlers.BY_TOPIC.items() if handler.together is together]
        values = {"now": now, "topics": like_it, "shop_id": first.shop_id, "lost": _LOST, "most": TOGETHER}
        ids = list(session.scalars(_MORE, values))
    values = {"ids": ids, "until": now + rules.IN_HAND, "lost": _LOST}
    return sorted(session.execute(_TAKE, values), key=lambda row: ids.index(row.id))


_turns: dict[int, int] = {}
"""When, counted in turns, this process last took of a shop that has webhooks waiting."""

_paused: dict[int, datetime] = {}
"""Until when this process asks Shopify nothing for a shop, because it failed for it: so would the shop's others fail,
each after long waiting, while other shops' wait. No row says so: two hundred thousand would take 12 s to change."""


def forget_turns() -> None:
    """Begin as a new process does."""
    _turns.clear()
    _paused.clear()


def _whose_turn(oldest: Sequence[Any], now: datetime) -> Any | None:
    """Of the oldest webhooks of each shop and topic, that of the shop which has waited longest for its turn here: a
    shop of which two hundred thousand wait keeps nobody else's waiting."""
    for shop_id in [shop_id for shop_id, until in _paused.items() if until <= now]:
        del _paused[shop_id]
    oldest = [row for row in oldest if row.shop_id not in _paused or not handlers.BY_TOPIC[row.topic].asks]
    if not oldest:
        return None
    first = min(oldest, key=lambda row: (_turns.get(row.shop_id, 0), row.next_try_at, row.id))
    this_turn = max(_turns.values(), default=0) + 1
    waiting = {row.shop_id for row in oldest}
    for shop_id in _turns.keys() - waiting:
        del _turns[shop_id]
    _turns[first.shop_id] = this_turn
    return first


def _results(rows: Sequence[Any]) -> list[Result | Exception]:
    """One try of each; its result, or what went wrong."""
    with transaction():
        opened = [_opened(row) for row in rows]
    ends = iter(_handled([each for each in opened if isinstance(each, Webhook)]))
    return [next(ends) if isinstance(each, Webhook) else each for each in opened]


def _opened(row: Any) -> Webhook | Result | Hopeless:
    """What a handler gets; or why none could do anything with it, which is nobody's fault where the shop was forgotten
    while it waited."""
    if row.tries > len(rules.RETRY_AFTER) + 1:  # its last try was lost with its worker
        return Hopeless(_LOST)
    try:
        cipher = crypto.for_shop(row.shop_id)
    except SealedValueError:
        return rules.ignored(Outcome.SHOP_REDACTED)
    try:
        body = cipher.open(row.payload_sealed, "webhook") or ""
    except SealedValueError:
        return Hopeless("payload_sealed")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Hopeless("payload_not_json")
    if not isinstance(payload, dict):
        return Hopeless("payload_no_object")
    return Webhook(row.shop_id, row.shop_domain, row.topic, row.triggered_at or row.received_at, payload)


def _handled(webhooks: list[Webhook]) -> Sequence[Result | Exception]:
    if not webhooks:
        return ()
    handler = handlers.BY_TOPIC[webhooks[0].topic]
    try:
        if len(webhooks) == 1 or handler.together is None:
            return [handler.handle(webhook) for webhook in webhooks]
        return handler.together(webhooks)
    except Exception as fault:
        if len(webhooks) == 1 or _is_of_all(fault):
            return [fault] * len(webhooks)
        log.warning("webhook.alone", shop_id=webhooks[0].shop_id, webhooks=len(webhooks), fault=_code(fault))
    # One of them is to blame, and beside it all would be given up in the end.
    return [end for webhook in webhooks for end in _handled([webhook])]


def _is_of_all(fault: Exception) -> bool:
    """Whether each by itself would fail likewise: the database is away, or Shopify, or this shop's access to it."""
    if isinstance(fault, ShopifyError):
        return fault.kind is not ShopifyErrorKind.PERMANENT or fault.scope is not ShopifyErrorScope.CALL
    return isinstance(fault, (OperationalError, InterfaceError))


def _write(rows: Sequence[Any], results: Sequence[Result | Exception]) -> None:
    """Write every end down, whatever it is, in one transaction."""
    now = clock.now()
    ended, put_off = [], []
    for row, result in zip(rows, results, strict=True):
        mine = {"id": row.id, "tries": row.tries}
        following = None if isinstance(result, (Result, Hopeless)) else rules.next_try(row.tries, now)
        if isinstance(result, Result):
            ended.append({**mine, "state": result.state, "outcome": result.outcome, "fault": None, "now": now})
        elif following is None:
            ended.append({**mine, "state": WebhookState.DEAD, "outcome": None, "fault": _code(result), "now": now})
        else:
            put_off.append({**mine, "fault": _code(result), "next_try_at": following})
    with transaction():
        for statement, values in ((_END, ended), (_PUT_OFF, put_off)):
            if values:
                session.execute(statement, values)
    if any(isinstance(result, ShopifyError) for result in results):
        _paused[rows[0].shop_id] = now + rules.RETRY_AFTER[0]
    _tell(rows, results, {each["id"] for each in put_off})


def _code(fault: Exception) -> str:
    return fault.code if isinstance(fault, (Hopeless, NotYet, BlossomError)) else type(fault).__name__


def _tell(rows: Sequence[Any], results: Sequence[Result | Exception], put_off: set[int]) -> None:
    """The log: a line a webhook, and of a fault that several share one trace."""
    traced: set[int] = set()
    for row, result in zip(rows, results, strict=True):
        facts = {"webhook": row.id, "topic": row.topic, "shop_id": row.shop_id, "tries": row.tries}
        if isinstance(result, Result):
            log.info("webhook.handled", **facts, outcome=result.outcome.value)
            continue
        expected = isinstance(result, (Hopeless, NotYet)) or id(result) in traced
        traced.add(id(result))
        tell = log.warning if row.id in put_off else log.error
        event = "webhook.put_off" if row.id in put_off else "webhook.dead"
        tell(event, **facts, fault=_code(result), exc_info=None if expected else result)

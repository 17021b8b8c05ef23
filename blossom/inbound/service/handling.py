"""Handling stored webhooks: taken by one worker, of a shop one at a time, handed to their topic's handler, tried again
with growing delay, and given up in the end.

A handler opens its own transactions and may be called any number of times for one webhook, in any order of webhooks.
One at a time in a shop, so that what a handler has read at Shopify is not older than what another has just written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from sqlalchemy import text

from blossom.inbound.errors import Hopeless, NotYet
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import Outcome, Webhook, WebhookState
from blossom.inbound.service import handlers
from blossom.platform import clock, crypto, stopping
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import lock_for_transaction, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError

log = structlog.get_logger()

AT_A_TIME_SECONDS = 20.0
"""A job hands its worker back after this; what is left is the next one's."""

# Under a lock of its own (a millisecond), so that two workers never take two of one shop.
_TAKE = text(
    """
    UPDATE shopify_webhooks SET tries = tries + 1, in_hand_until = :until, next_try_at = :until
    WHERE id = (
        SELECT w.id FROM shopify_webhooks w
        WHERE w.state = 'new' AND w.next_try_at <= :now AND w.topic = ANY(CAST(:topics AS text[]))
          AND NOT EXISTS (
              SELECT FROM shopify_webhooks h WHERE h.shop_id = w.shop_id AND h.in_hand_until > :now
          )
        ORDER BY w.next_try_at, w.id LIMIT 1
    )
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
_PUT_OFF_SHOP = text(
    """
    UPDATE shopify_webhooks SET next_try_at = :later
    WHERE state = 'new' AND next_try_at <= :now AND shop_id = :shop_id AND topic = ANY(CAST(:topics AS text[]))
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
            row = _take(topics)
        if row is None:
            break
        taken += 1
        _handle(row)
    return taken


def replay(ids: Sequence[int]) -> list[int]:
    """Have webhooks that were given up handled again, from the first try on; which of `ids` were given up. Flushes."""
    return sorted(session.scalars(_REPLAY, {"ids": list(ids), "now": clock.now()}))


def _topics(*, asks: bool) -> list[str]:
    return [topic for topic, handler in handlers.BY_TOPIC.items() if handler.asks is asks]


def _take(topics: list[str]) -> Any | None:
    lock_for_transaction("inbound.take_webhook")
    now = clock.now()
    values = {"now": now, "until": now + rules.IN_HAND, "topics": topics}
    return session.execute(_TAKE, values).one_or_none()


def _handle(row: Any) -> None:
    """One try, whose end is written down whatever it is."""
    facts = {"webhook": row.id, "topic": row.topic, "shop_id": row.shop_id, "tries": row.tries}
    if row.tries > len(rules.RETRY_AFTER) + 1:  # its last try was lost with its worker, and so was this count's word
        _end(row, WebhookState.DEAD, None, "worker_lost")
        log.error("webhook.dead", **facts, fault="worker_lost")
        return
    try:
        result = handlers.BY_TOPIC[row.topic].handle(_opened(row))
    except Hopeless as fault:
        _end(row, WebhookState.DEAD, None, fault.code)
        log.error("webhook.dead", **facts, fault=fault.code)
    except Exception as fault:
        _try_again(row, fault, facts)
    else:
        _end(row, result.state, result.outcome, None)
        log.info("webhook.handled", **facts, outcome=result.outcome.value)


def _opened(row: Any) -> Webhook:
    """What a handler gets. Raises `Hopeless` for what no handler could read."""
    with transaction():
        try:
            body = crypto.for_shop(row.shop_id).open(row.payload_sealed, "webhook") or ""
        except SealedValueError:
            raise Hopeless("payload_sealed") from None
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Hopeless("payload_not_json") from None
    if not isinstance(payload, dict):
        raise Hopeless("payload_no_object")
    return Webhook(row.shop_id, row.shop_domain, row.topic, row.triggered_at or row.received_at, payload)


def _try_again(row: Any, fault: Exception, facts: dict[str, Any]) -> None:
    code = fault.code if isinstance(fault, (NotYet, BlossomError)) else type(fault).__name__
    following = rules.next_try(row.tries, clock.now())
    if following is None:
        _end(row, WebhookState.DEAD, None, code)
        log.error("webhook.dead", **facts, fault=code, exc_info=fault)
        return
    with transaction():
        session.execute(_PUT_OFF, {"id": row.id, "tries": row.tries, "fault": code, "next_try_at": following})
        if isinstance(fault, ShopifyError):  # so would its others fail, each after long waiting, and other shops' wait
            now = clock.now()
            values = {"now": now, "later": now + rules.RETRY_AFTER[0], "topics": _topics(asks=True)}
            session.execute(_PUT_OFF_SHOP, {**values, "shop_id": row.shop_id})
    log.warning("webhook.put_off", **facts, fault=code, exc_info=None if isinstance(fault, NotYet) else fault)


def _end(row: Any, state: WebhookState, outcome: Outcome | None, fault: str | None) -> None:
    values = {"id": row.id, "tries": row.tries, "state": state.value, "fault": fault, "now": clock.now()}
    with transaction():
        session.execute(_END, {**values, "outcome": outcome and outcome.value})

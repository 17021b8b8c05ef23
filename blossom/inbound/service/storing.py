"""Shopify's webhooks are stored before they are acknowledged, each once, its payload under its shop's key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from blossom.inbound.rules.webhooks import (
    AHEAD,
    COMPLIANCE,
    SUBSCRIBED,
    Envelope,
    Outcome,
    WebhookState,
    tells_of_an_opt_out,
)
from blossom.inbound.service import handlers, known_shops
from blossom.messaging.errors import NotStored
from blossom.platform import bulk, clock, crypto, db, queue
from blossom.platform.combining import Combiner, WaitedTooLong
from blossom.platform.crypto import SealedValueError
from blossom.platform.nudging import Nudge

LARGE = 50_000
"""Bytes of a body that is stored by itself: small ones should not wait for it."""

NUDGE_SECONDS = 0.1

# Ordered, so that two statements with the same webhooks never wait for each other in a circle.
_STORE = """
INSERT INTO shopify_webhooks (webhook_id, event_id, topic, shop_domain, shop_id, api_version, triggered_at, received_at,
    payload_sealed, state, outcome, tries, next_try_at, ended_at)
SELECT v.webhook_id, v.event_id, v.topic, v.shop_domain, v.shop_id, v.api_version, v.triggered_at, %(now)s,
    decode(v.payload_sealed, 'hex'), v.state, v.outcome, 0,
    CASE WHEN v.state = 'new' THEN %(now)s::timestamptz - CASE WHEN v.goes_ahead THEN %(ahead)s ELSE interval '0' END
    END,
    CASE WHEN v.state <> 'new' THEN %(now)s::timestamptz END
FROM json_to_recordset(CAST(%(webhooks)s AS json))
     AS v(webhook_id text, event_id text, topic text, shop_domain text, shop_id bigint, api_version text,
          triggered_at timestamptz, payload_sealed text, state text, outcome text, goes_ahead boolean)
ORDER BY v.webhook_id
ON CONFLICT (webhook_id) DO NOTHING
RETURNING webhook_id
"""

_Row = dict[str, Any]


def accept_webhook(envelope: Envelope, body: bytes) -> bool:
    """Keep a webhook whose signature was found good: when this returns it is committed, and may be acknowledged.
    Whether it was new.

    What several threads bring at the same time is one statement and one commit. `NotStored` when the database is away
    or too slow; a repeat is harmless.
    """
    row = _row(envelope, body)
    try:
        was_new = (_large if len(body) > LARGE else _small).call(row)
    except (*_CUT_OFF, psycopg.InterfaceError, WaitedTooLong) as error:
        raise NotStored(type(error).__name__) from error
    if was_new and row["state"] == WebhookState.NEW.value:
        (_asking if handlers.BY_TOPIC[envelope.topic].asks else _quick).give()
    return was_new


def _row(envelope: Envelope, body: bytes) -> _Row:
    shop_id = known_shops.shop_id_of(envelope.shop_domain)
    sealed, outcome = _sealed(shop_id, body), None
    if sealed is None:
        outcome = Outcome.UNKNOWN_SHOP if shop_id is None else Outcome.SHOP_REDACTED
    elif envelope.topic not in handlers.BY_TOPIC:
        known = envelope.topic in SUBSCRIBED | COMPLIANCE
        outcome = Outcome.NO_CONSUMER if known else Outcome.UNKNOWN_TOPIC
    return {
        "webhook_id": envelope.webhook_id,
        "event_id": envelope.event_id,
        "topic": envelope.topic,
        "shop_domain": envelope.shop_domain,
        "shop_id": shop_id,
        "api_version": envelope.api_version,
        "triggered_at": envelope.triggered_at,
        "payload_sealed": sealed,
        "state": (WebhookState.NEW if outcome is None else WebhookState.IGNORED).value,
        "outcome": outcome and outcome.value,
        "goes_ahead": tells_of_an_opt_out(envelope.topic, body),
    }


def _sealed(shop_id: int | None, body: bytes) -> bytes | None:
    """None where there is no key to seal by. What isn't UTF-8 was never JSON, and is kept as far as it can be read."""
    if shop_id is None:
        return None
    try:
        return crypto.for_shop(shop_id).seal(body.decode("utf-8", "replace"), "webhook")
    except SealedValueError:
        return None


def _insert(rows: Sequence[_Row]) -> list[bool]:
    """Store what several threads brought; which of it was new. Of the same webhook twice, the first is the new one."""
    values = {"webhooks": bulk.json_rows(rows), "now": clock.now(), "ahead": AHEAD}
    try:
        stored = _execute(values)
    except _CUT_OFF:  # a kept connection, of before
        stored = _execute(values)
    told = []
    for row in rows:
        told.append(row["webhook_id"] in stored)
        stored.discard(row["webhook_id"])
    return told


def _execute(values: dict[str, Any]) -> set[str]:
    with db.autocommit() as connection:
        return {webhook_id for (webhook_id,) in connection.execute(_STORE, values)}


_CUT_OFF = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""The server was started again, or has become a replica: another connection may do."""

_small = Combiner[_Row, bool](_insert, faults_of_one=(psycopg.DataError, psycopg.IntegrityError))
_large = Combiner[_Row, bool](_insert, most=1)


def nudge_quick() -> None:
    """Have webhooks handled that need nobody's answer. Never raises for Redis."""
    queue.enqueue("inbound.handle_webhooks", unless_waiting=True)
    queue.flush()


def nudge_asking() -> None:
    """Have webhooks handled that are asked about at Shopify. Never raises for Redis."""
    queue.enqueue("inbound.ask_shopify", queue="shopify", unless_waiting=True)
    queue.flush()


_quick = Nudge(nudge_quick, name="webhooks-nudge", seconds=NUDGE_SECONDS)
_asking = Nudge(nudge_asking, name="webhooks-asking-nudge", seconds=NUDGE_SECONDS)

"""Reading texts and webhooks, and finding the shops that one may be for: what is asked before a shop's id is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, text

from blossom.consent.models import ConsentSettings
from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.rules import texts as rules
from blossom.inbound.rules.webhooks import WebhookState
from blossom.platform.db import session
from blossom.replies.models import InboundText
from blossom.shops.models import Shop

UNHANDLED_AFTER = timedelta(seconds=10)
"""A text whose answer is owed for longer has lost its job."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """A shop that a text may be for, before its keys are asked. A value, so that no row's later change shows in it."""

    shop_id: int
    default_country: str
    stop_keywords: tuple[str, ...]
    join_keywords: tuple[str, ...]
    double_opt_in: bool


def shop_id_of(domain: str) -> int | None:
    """The shop that a webhook's address names. A shop that has left counts: its receipts still come in."""
    found: int | None = session.execute(_SHOP_ID, {"domain": domain}).scalar_one_or_none()
    return found


def addressees(named_shop_id: int | None, recipient: str | None) -> list[Addressee]:
    """The shop that the address named, and those whose sender the text went to."""
    keys = rules.sender_keys(recipient)
    wanted = [Shop.id == named_shop_id] if named_shop_id is not None else []
    if keys:
        wanted.append(func.lower(Shop.sender).in_(keys))
    return _addressees(wanted[0] if len(wanted) == 1 else wanted[0] | wanted[1]) if wanted else []


def all_shops() -> list[Addressee]:
    """Every shop. One that has left counts too: who stops its texts now must find them stopped if it comes back."""
    return _addressees()


def _addressees(*conditions: Any) -> list[Addressee]:
    settings = ConsentSettings
    found = session.execute(
        select(Shop.id, Shop.default_country, Shop.stop_keywords, settings.join_keywords, settings.double_opt_in)
        .outerjoin(settings, settings.shop_id == Shop.id)
        .where(*conditions)
    )
    return [
        Addressee(
            row.id,
            row.default_country,
            tuple(row.stop_keywords),
            tuple(row.join_keywords or ()),
            bool(row.double_opt_in),
        )
        for row in found
    ]


def acquaintances(phone_hashes: Mapping[int, bytes], now: datetime) -> dict[int, Row[Any]]:
    """How each shop knows its hash of a phone: `contact_id`, `consent`, `consent_source`, `texted_at`, each or None.

    Every probe is of an index, so it costs the same however much a shop has sent.
    """
    values = {
        "shop_ids": list(phone_hashes),
        "phone_hashes": list(phone_hashes.values()),
        "since": now - rules.TEXTED_WITHIN,
    }
    return {row.shop_id: row for row in session.execute(_ACQUAINTANCES, values)}


@dataclass(frozen=True, slots=True)
class WaitingWebhook:
    """A webhook that waits for an operator, without what it says."""

    id: int
    topic: str
    shop: str
    received_at: datetime
    ended_at: datetime | None
    tries: int
    fault: str | None
    outcome: str | None


def waiting_webhooks(after_id: int = 0, limit: int = 100) -> list[WaitingWebhook]:
    """Webhooks of all shops that were given up, the oldest first.

    `after_id` is the last id of the page before.
    """
    w = ShopifyWebhook
    rows = session.execute(
        select(w.id, w.topic, w.shop_domain, w.received_at, w.ended_at, w.tries, w.fault, w.outcome)
        .where(w.state == WebhookState.DEAD.value, w.id > after_id)
        .order_by(w.id)
        .limit(limit)
    )
    return [WaitingWebhook(*row) for row in rows]


COUNTED = 10_000
"""Webhooks that wait are counted up to here: each is read for it."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Webhooks that wait for a handler (`COUNTED` at most), and since when the first; those given up."""

    waiting: int
    oldest_at: datetime | None
    dead: int


def backlog() -> Backlog:
    """Of all shops."""
    row = session.execute(_BACKLOG, {"most": COUNTED}).one()
    return Backlog(row.waiting, row.oldest_at, row.dead)


def unhandled(now: datetime, limit: int = 100) -> list[tuple[int, int]]:
    """Texts (shop_id, id) whose answer is owed for longer than a job takes, the oldest first."""
    query = (
        select(InboundText.shop_id, InboundText.id)
        .where(InboundText.handled_at.is_(None), InboundText.received_at < now - UNHANDLED_AFTER)
        .order_by(InboundText.received_at)
        .limit(limit)
    )
    return [(row.shop_id, row.id) for row in session.execute(query)]


_BACKLOG = text(
    """
    SELECT (SELECT count(*) FROM (SELECT FROM shopify_webhooks WHERE state = 'new' LIMIT :most) AS w) AS waiting,
        (SELECT min(received_at) FROM (
            SELECT received_at FROM shopify_webhooks WHERE state = 'new' LIMIT :most) AS w) AS oldest_at,
        (SELECT count(*) FROM (SELECT FROM shopify_webhooks WHERE state = 'dead' LIMIT :most) AS w) AS dead
    """
)
_SHOP_ID = text("SELECT id FROM shops WHERE domain = :domain")

_ACQUAINTANCES = text(
    """
    SELECT given.shop_id, c.id AS contact_id, k.state AS consent, k.source AS consent_source, (
        SELECT max(coalesce(m.sent_at, m.created_at)) FROM messages m
        WHERE m.phone_hash = given.phone_hash AND m.created_at > :since AND m.shop_id = given.shop_id
          AND m.state IN ('sent', 'delivered', 'unconfirmed')
    ) AS texted_at
    FROM unnest(CAST(:shop_ids AS bigint[]), CAST(:phone_hashes AS bytea[])) AS given(shop_id, phone_hash)
    LEFT JOIN contacts c ON c.shop_id = given.shop_id AND c.phone_hash = given.phone_hash
    LEFT JOIN consents k ON k.shop_id = given.shop_id AND k.phone_hash = given.phone_hash
    """
)

"""Customers as they change at Shopify. Payloads lack consent and tags (since 2025-01), so the customer is read again;
what is read is how things stand now, whichever webhook it was that told to look."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from blossom.consent.service import syncing as consent
from blossom.contacts import queries as contact_queries
from blossom.contacts import service as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import customers as rules
from blossom.contacts.rules import normalise_phone
from blossom.contacts.rules.customers import SmsConsent
from blossom.customers import service as sync
from blossom.inbound.errors import Hopeless, NotYet
from blossom.inbound.rules.webhooks import (
    APPLIED,
    KNOWN_ALREADY,
    Outcome,
    Result,
    Webhook,
    customer_id,
    ignored,
    read_moment,
)
from blossom.platform import crypto
from blossom.platform.db import transaction
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

_CONSENT = "customers_marketing_consent/update"
_KEPT, _DELETED = "admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id"


def changed(webhook: Webhook) -> Result:
    """A customer is new, or not as before, or has another consent."""
    asked = _customer(webhook)
    _hear_opt_out(webhook)
    told_at = read_moment(webhook.payload.get("updated_at")) if webhook.topic != _CONSENT else None
    with transaction():
        if shops.get_shop(webhook.shop_id).uninstalled_at is not None:
            return ignored(Outcome.SHOP_LEFT)
        read_at = contact_queries.customer_read_at(webhook.shop_id, asked)
    if told_at is not None and read_at is not None and told_at < read_at.replace(microsecond=0):
        return KNOWN_ALREADY  # in the same second something else may have changed: payloads tell no fractions
    read = _read(webhook.shop_id, asked)
    if read is not None and told_at is not None and read.updated_at < told_at:
        raise NotYet("shopify_lags")  # one of their replicas answered, which has not heard of it
    _save(webhook.shop_id, asked, read)
    return APPLIED


def _hear_opt_out(webhook: Webhook) -> None:
    """An opt-out in the payload holds, also if Shopify says something else by the time that it is asked."""
    said, phone = webhook.payload.get("sms_marketing_consent"), webhook.payload.get("phone")
    if not isinstance(said, Mapping) or str(said.get("state")).upper() != "UNSUBSCRIBED" or not isinstance(phone, str):
        return
    told = SmsConsent(
        "UNSUBSCRIBED",
        _word(said.get("opt_in_level")),
        read_moment(said.get("consent_updated_at")),
        _word(said.get("consent_collected_from")),
    )
    with transaction(), contextlib.suppress(PhoneRefused):
        number = normalise_phone(phone, shops.get_shop(webhook.shop_id).default_country)
        consent.hear_opt_out(webhook.shop_id, crypto.for_shop(webhook.shop_id).lookup(number.e164), told)


def _word(given: Any) -> str | None:
    """A word of Shopify's as GraphQL writes it."""
    return given.upper()[:40] if isinstance(given, str) and given.isidentifier() else None


def merged(webhook: Webhook) -> Result:
    """Two customers have become one, and one of the two is gone. The one that stays comes first: so that a number which
    went over to it stays its contact's."""
    named = [rules.customer_number(webhook.payload.get(name)) for name in (_KEPT, _DELETED)]
    with transaction():
        if shops.get_shop(webhook.shop_id).uninstalled_at is not None:
            return ignored(Outcome.SHOP_LEFT)
    for asked in named:
        if asked is None:
            raise Hopeless("no_customer_named")
        _save(webhook.shop_id, asked, _read(webhook.shop_id, asked))
    return APPLIED


def deleted(webhook: Webhook) -> Result:
    """A customer is gone. Ids are never given again, so this holds whatever else is still on its way."""
    _save(webhook.shop_id, _customer(webhook), None)
    return APPLIED


def export_ended(webhook: Webhook) -> Result:
    """Shopify has ended an export: ours, which is read then, or one of before that nobody waits for."""
    operation = webhook.payload.get("admin_graphql_api_id")
    with transaction():
        ours = isinstance(operation, str) and sync.export_ended(webhook.shop_id, operation)
    return APPLIED if ours else KNOWN_ALREADY


def _customer(webhook: Webhook) -> int:
    named = customer_id(webhook.payload)
    if named is None:
        raise Hopeless("no_customer_named")
    return named


def _read(shop_id: int, asked: int) -> rules.Customer | None:
    """The customer as Shopify has them now; None if it has them no more. No transaction is held. Raises
    `ShopifyError`."""
    client = shop_service.client(shop_id)
    try:
        facts: dict[str, Any] | None = client.run("customer", id=rules.customer_gid(asked))["customer"]
    finally:
        client.close()
    if facts is None:
        return None
    with transaction():
        shop = shops.get_shop(shop_id)
        country, zone = shop.default_country, shop.timezone
    read = rules.read_customer(facts, default_country=country, shop_zone=zone)
    if read is None or read.id != asked:
        raise NotYet("customer_unreadable")
    return read


def _save(shop_id: int, asked: int, read: rules.Customer | None) -> None:
    with transaction():
        if read is not None:
            consent.save_customers(shop_id, [read])
            return
        sync.note_gone(shop_id, asked)
        removed = contacts.remove_customer(shop_id, asked)
        if removed is not None and removed.phone_hash is not None:
            consent.forget_list(shop_id, removed.phone_hash)

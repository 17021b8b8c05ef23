"""Customers as they change at Shopify. Payloads lack consent and tags (since 2025-01), so the customer is read again;
what is read is how things stand now, whichever webhook it was that told to look."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from blossom.consent.service import syncing as consent
from blossom.contacts import queries as contact_queries
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import customers as rules
from blossom.contacts.rules import normalise_phone
from blossom.contacts.rules.customers import SmsConsent
from blossom.customers import service as sync
from blossom.inbound.errors import Hopeless, NotYet
from blossom.inbound.rules.webhooks import (
    APPLIED,
    CONSENT,
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
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind, ShopifyErrorScope
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

_KEPT, _DELETED = "admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id"


def changed(webhook: Webhook) -> Result:
    """A customer is new, or not as before, or has another consent."""
    (end,) = changed_together([webhook])
    if isinstance(end, Exception):
        raise end
    return end


def changed_together(webhooks: Sequence[Webhook]) -> list[Result | Exception]:
    """The same for several webhooks of one shop: each customer is read once, all by one question."""
    shop_id = webhooks[0].shop_id
    named = [customer_id(webhook.payload) for webhook in webhooks]
    _hear_opt_outs(shop_id, [webhook for webhook, asked in zip(webhooks, named, strict=True) if asked is not None])
    with transaction():
        if shops.get_shop(shop_id).uninstalled_at is not None:
            return [ignored(Outcome.SHOP_LEFT)] * len(webhooks)
        read_at = contact_queries.customers_read_at(shop_id, {asked for asked in named if asked is not None})
    ends: list[Result | Exception] = [
        Hopeless("no_customer_named")
        if asked is None
        else KNOWN_ALREADY
        if _is_known(webhook, read_at.get(asked))
        else APPLIED
        for webhook, asked in zip(webhooks, named, strict=True)
    ]
    wanted = {asked for asked, end in zip(named, ends, strict=True) if asked is not None and end is APPLIED}
    if not wanted:
        return ends
    try:
        read, faults = _read(shop_id, sorted(wanted))
    except ShopifyError as fault:
        if fault.kind is ShopifyErrorKind.PERMANENT and fault.scope is ShopifyErrorScope.CALL:
            raise  # about this very question: each is asked for by itself
        return [fault if end is APPLIED else end for end in ends]
    lagging = {
        asked
        for webhook, asked in zip(webhooks, named, strict=True)
        if asked is not None and _lags(webhook, read.get(asked))
    }
    faults |= {asked: NotYet("shopify_lags") for asked in lagging}
    faults |= _save(shop_id, {asked: found for asked, found in read.items() if asked not in lagging})
    return [
        faults.get(asked, end) if asked is not None and end is APPLIED else end
        for asked, end in zip(named, ends, strict=True)
    ]


def _told_at(webhook: Webhook) -> datetime | None:
    """Since when the customer is so, by the payload."""
    return read_moment(webhook.payload.get("updated_at")) if webhook.topic != CONSENT else None


def _is_known(webhook: Webhook, read_at: datetime | None) -> bool:
    """In the same second something else may have changed: payloads tell no fractions."""
    told_at = _told_at(webhook)
    return told_at is not None and read_at is not None and told_at < read_at.replace(microsecond=0)


def _lags(webhook: Webhook, read: rules.Customer | None) -> bool:
    """Whether one of Shopify's replicas answered, which has not heard of the change."""
    told_at = _told_at(webhook)
    return read is not None and told_at is not None and read.updated_at < told_at


def _hear_opt_outs(shop_id: int, webhooks: Sequence[Webhook]) -> None:
    """An opt-out in a payload holds, also if Shopify says something else by the time that it is asked."""
    told = [each for each in map(_opt_out, webhooks) if each is not None]
    if not told:
        return
    with transaction():
        country, cipher = shops.get_shop(shop_id).default_country, crypto.for_shop(shop_id)
        heard = []
        for phone, said in told:
            with contextlib.suppress(PhoneRefused):
                heard.append((cipher.lookup(normalise_phone(phone, country).e164), said))
        consent.hear_opt_outs(shop_id, heard)


def _opt_out(webhook: Webhook) -> tuple[str, SmsConsent] | None:
    said, phone = webhook.payload.get("sms_marketing_consent"), webhook.payload.get("phone")
    if not isinstance(said, Mapping) or str(said.get("state")).upper() != "UNSUBSCRIBED" or not isinstance(phone, str):
        return None
    return phone, SmsConsent(
        "UNSUBSCRIBED",
        _word(said.get("opt_in_level")),
        read_moment(said.get("consent_updated_at")),
        _word(said.get("consent_collected_from")),
    )


def _word(given: Any) -> str | None:
    """A word of Shopify's as GraphQL writes it."""
    return given.upper()[:40] if isinstance(given, str) and given.isidentifier() else None


def merged(webhook: Webhook) -> Result:
    """Two customers have become one, and one of the two is gone."""
    named = [rules.customer_number(webhook.payload.get(name)) for name in (_KEPT, _DELETED)]
    with transaction():
        if shops.get_shop(webhook.shop_id).uninstalled_at is not None:
            return ignored(Outcome.SHOP_LEFT)
    known = [asked for asked in named if asked is not None]
    if len(known) < len(named):
        raise Hopeless("no_customer_named")
    read, faults = _read(webhook.shop_id, known)
    with transaction():
        sync.apply_read(webhook.shop_id, read)
    for fault in faults.values():
        raise fault
    return APPLIED


def deleted(webhook: Webhook) -> Result:
    """A customer is gone. Ids are never given again, so this holds whatever else is still on its way."""
    named = customer_id(webhook.payload)
    if named is None:
        raise Hopeless("no_customer_named")
    with transaction():
        sync.forget_gone(webhook.shop_id, [named])
    return APPLIED


def export_ended(webhook: Webhook) -> Result:
    """Shopify has ended an export: ours, which is read then, or one of before that nobody waits for."""
    operation = webhook.payload.get("admin_graphql_api_id")
    with transaction():
        # An id of theirs is printable; a NUL in it could not even be looked for.
        ours = isinstance(operation, str) and operation.isprintable() and sync.export_ended(webhook.shop_id, operation)
    return APPLIED if ours else KNOWN_ALREADY


def _read(shop_id: int, asked: Sequence[int]) -> tuple[dict[int, rules.Customer | None], dict[int, Exception]]:
    """The customers as Shopify has them now, None for who is gone; and why some can't be read. Holds no transaction.
    Raises `ShopifyError`."""
    with contextlib.closing(shop_service.client(shop_id)) as client:
        nodes = client.run("customers_by_id", ids=[rules.customer_gid(each) for each in asked])["nodes"]
    with transaction():
        shop = shops.get_shop(shop_id)
        country, zone = shop.default_country, shop.timezone
    read: dict[int, rules.Customer | None] = {}
    faults: dict[int, Exception] = {}
    for wanted, facts in zip(asked, nodes, strict=True):
        found = None if facts is None else rules.read_customer(facts, default_country=country, shop_zone=zone)
        if facts is not None and (found is None or found.id != wanted):
            faults[wanted] = NotYet("customer_unreadable")
        else:
            read[wanted] = found
    return read, faults


def _save(shop_id: int, read: Mapping[int, rules.Customer | None]) -> dict[int, Exception]:
    """In one transaction; where that fails, each in its own, so that one customer holds none up. Whose failed."""
    try:
        with transaction():
            sync.apply_read(shop_id, read)
    except (OperationalError, InterfaceError):
        raise  # the database is away, or two waited for each other: nobody's own fault
    except Exception as fault:
        if len(read) == 1:
            return dict.fromkeys(read, fault)
        alone = [_save(shop_id, {customer: found}) for customer, found in read.items()]
        return {customer: fault for each in alone for customer, fault in each.items()}
    return {}

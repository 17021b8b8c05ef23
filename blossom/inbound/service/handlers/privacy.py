"""The webhooks that Shopify's review asks for: a person wants to see what is held on them, or to be forgotten; and a
shop is to be. docs/privacy.md says what goes and what stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import update

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone, people
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import APPLIED, KNOWN_ALREADY, Outcome, Result, Webhook, ignored
from blossom.inbound.service import erasing, exporting, known_shops
from blossom.inbound.service.erasing import Person
from blossom.inbound.service.handlers import installation
from blossom.platform import clock, crypto
from blossom.platform.crypto import SealedValueError, ShopCipher
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.shops.models import ApiKey, Shop

log = structlog.get_logger()

_ACTOR = "shopify"


def customer_asked(webhook: Webhook) -> Result:
    """A customer asks the merchant what is held on them: it is put together for the merchant to fetch."""
    rules.check_shop(webhook, webhook.payload.get("shop_domain"))
    with transaction():
        exporting.gather(webhook.shop_id, _person(webhook), actor=_ACTOR)
    return APPLIED


def redact_customer(webhook: Webhook) -> Result:
    """Forget a person. That they opted out stays, by a keyed hash. Their texts' numbers go by a job, within minutes."""
    rules.check_shop(webhook, webhook.payload.get("shop_domain"))
    with transaction():
        erasing.erase_person(webhook.shop_id, _person(webhook), actor=_ACTOR)
    return APPLIED


def redact_shop(webhook: Webhook) -> Result:
    """Forget a shop, two days after it left: its keys are destroyed, and with them all that is sealed; a job removes
    the rows. The shop's own gives up the domain, so that whoever installs there again is a new tenant."""
    rules.check_shop(webhook, webhook.payload.get("shop_domain"))
    shop_id = webhook.shop_id
    with transaction():
        if _installed_since(webhook):
            return ignored(Outcome.INSTALLED_SINCE)
    installation.stop_texting(shop_id)
    with transaction():
        shop_service.hold_access(shop_id)
        shop = session.get_one(Shop, shop_id, with_for_update=True)
        if shop.domain != webhook.shop_domain:
            return KNOWN_ALREADY
        if _installed_since(webhook):  # while texting was being stopped
            return ignored(Outcome.INSTALLED_SINCE)
        now = clock.now()
        shop.domain, shop.name, shop.contact_line = f"redacted:{shop_id}", "", ""
        shop.primary_domain = None
        shop.uninstalled_at = shop.uninstalled_at or now
        session.execute(
            update(ApiKey).where(ApiKey.shop_id == shop_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
        )
        shop_service.forget_access(shop_id)
        erasing.erase_shop(shop_id, actor=_ACTOR)
    known_shops.forget()
    log.warning("privacy.shop_redacted", shop_id=shop_id)
    return APPLIED


def _installed_since(webhook: Webhook) -> bool:
    if shops.get_shop(webhook.shop_id).uninstalled_at is not None:
        return False  # who comes back is marked so; where nothing was heard of a leaving, only times tell
    installed = shops.installation(webhook.shop_id)
    return installed is not None and rules.is_of_a_former_installation(webhook.triggered_at, installed.granted_at)


def _person(webhook: Webhook) -> Person:
    """Whom the payload names. A shop whose keys are gone knows nobody by a phone or an address."""
    customer = webhook.payload.get("customer")
    facts = customer if isinstance(customer, Mapping) else {}
    named = rules.customer_id(webhook.payload)
    try:
        cipher = crypto.for_shop(webhook.shop_id)
    except SealedValueError:
        return Person(named)
    return Person(named, _phone_hash(webhook.shop_id, facts.get("phone"), cipher), _email_hash(facts, cipher))


def _phone_hash(shop_id: int, given: Any, cipher: ShopCipher) -> bytes | None:
    """By the number in the payload, if there is one that could have been texted."""
    if not isinstance(given, str):
        return None
    try:
        return cipher.lookup(normalise_phone(given, shops.get_shop(shop_id).default_country).e164)
    except PhoneRefused:
        return None


def _email_hash(facts: Mapping[str, Any], cipher: ShopCipher) -> bytes | None:
    given = facts.get("email")
    address = people.email_of(given) if isinstance(given, str) else None
    return cipher.lookup(address.lower()) if address else None

"""The webhooks that Shopify's review asks for. Done here is what can be done rightly today; what is left is said in the
outcome, and the webhook stays, payload and all, until a person (or the privacy part) has seen to it."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from sqlalchemy import delete, exists, select, update

from blossom.audit import service as audit
from blossom.contacts import service as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.inbound.models import InboundText
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import APPLIED, KNOWN_ALREADY, Outcome, Result, Webhook, ignored, owed
from blossom.inbound.service import known_shops
from blossom.inbound.service.handlers import installation
from blossom.messaging.models import Message
from blossom.platform import clock, crypto
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.shops.models import ApiKey, Shop

log = structlog.get_logger()

_ACTOR = "shopify"


def customer_asked(webhook: Webhook) -> Result:
    """A customer asks the merchant what is held on them."""
    rules.check_shop(webhook, webhook.payload.get("shop_domain"))
    with transaction():
        audit.record(webhook.shop_id, "privacy.data_requested", actor=_ACTOR)
    return owed(Outcome.EXPORT)


def redact_customer(webhook: Webhook) -> Result:
    """Forget a person: their contact, and what they wrote to the shop. That they opted out stays, by a keyed hash."""
    rules.check_shop(webhook, webhook.payload.get("shop_domain"))
    shop_id = webhook.shop_id
    with transaction():
        phone_hash = _phone_hash(webhook)
        gone = contacts.erase_person(shop_id, customer_id=rules.customer_id(webhook.payload), phone_hash=phone_hash)
        hashes = {each.phone_hash for each in gone} | {phone_hash}
        hashes.discard(None)
        session.execute(delete(InboundText).where(InboundText.shop_id == shop_id, InboundText.phone_hash.in_(hashes)))
        audit.record(shop_id, "privacy.customer_redacted", actor=_ACTOR, details={"contacts": len(gone)})
        texted = session.scalar(select(exists().where(Message.shop_id == shop_id, Message.phone_hash.in_(hashes))))
    return owed(Outcome.MESSAGES) if texted else APPLIED


def redact_shop(webhook: Webhook) -> Result:
    """Forget a shop, two days after it left: its keys are destroyed, and with them all that is sealed. Its row gives up
    the domain, so that whoever installs there again is a new tenant."""
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
        shop.uninstalled_at = shop.uninstalled_at or now
        session.execute(
            update(ApiKey).where(ApiKey.shop_id == shop_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
        )
        shop_service.forget_access(shop_id)
        crypto.destroy_shop_keys(shop_id)
        audit.record(shop_id, "privacy.shop_redacted", actor=_ACTOR)
    known_shops.forget()
    log.warning("privacy.shop_redacted", shop_id=shop_id)
    return owed(Outcome.ROWS)


def _installed_since(webhook: Webhook) -> bool:
    if shops.get_shop(webhook.shop_id).uninstalled_at is not None:
        return False  # who comes back is marked so; where nothing was heard of a leaving, only times tell
    installed = shops.installation(webhook.shop_id)
    return installed is not None and rules.is_of_a_former_installation(webhook.triggered_at, installed.granted_at)


def _phone_hash(webhook: Webhook) -> bytes | None:
    """By the number in the payload, if there is one that could have been texted."""
    customer = webhook.payload.get("customer")
    given = customer.get("phone") if isinstance(customer, Mapping) else None
    if not isinstance(given, str):
        return None
    try:
        phone = normalise_phone(given, shops.get_shop(webhook.shop_id).default_country)
        return crypto.for_shop(webhook.shop_id).lookup(phone.e164)
    except (PhoneRefused, SealedValueError):
        return None

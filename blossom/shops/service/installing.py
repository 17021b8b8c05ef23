"""A shop comes to Blossom, or comes back: it is made, or found with all that it had, and given its tokens.

`install`, `install_by_code` and `describe` call Shopify, so they manage their transactions and are called with none
open. They are safe to call again and at the same time: one asks Shopify, the others wait for what comes of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from blossom.platform import clock, crypto, queue, stopping
from blossom.platform.crypto import ShopKey
from blossom.platform.db import session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify import domains, oauth
from blossom.shopify.errors import ShopifyError
from blossom.shopify.oauth import Tokens
from blossom.shops import errors, queries, rules
from blossom.shops.models import Installation, Shop
from blossom.shops.service import access, claiming, settings

log = structlog.get_logger()

_PATIENCE = 20.0  # seconds; how long one waits for who is installing the same shop


@dataclass(frozen=True)
class Installed:
    """`first`: the shop had never been given tokens. `again`: it had left, and is back with its data."""

    shop_id: int
    first: bool
    again: bool


def install(domain: str, id_token: str) -> Installed:
    """Give the shop its tokens for a session token that `session_tokens.verify` has accepted for this very domain.

    Raises `ShopifyError`.
    """
    return _install(domain, lambda: oauth.exchange(domain, id_token))


def install_by_code(domain: str, code: str) -> Installed:
    """The same for the code of an authorization-code grant whose signature and state were proven. Never content
    with what another install has brought meanwhile: a merchant has just granted something, mostly more scopes."""
    return _install(domain, lambda: oauth.redeem_code(domain, code), joins=False)


def describe(shop_id: int) -> None:
    """Take over what Shopify knows of the shop. Name, zone, country, its address for customers: once; what a merchant
    sets afterwards stays. Where its own site is, and its currency: each time. Raises `ShopifyError`."""
    with contextlib.closing(access.client(shop_id)) as client:
        facts = client.run("shop")["shop"]
    with transaction():
        installation = queries.installation(shop_id)
        if installation is None:
            return
        shop = queries.get_shop(shop_id)
        shop.primary_domain = rules.site_host((facts.get("primaryDomain") or {}).get("url") or "")
        shop.currency = rules.currency_code(facts.get("currencyCode"))
        known = {} if installation.described_at else _settings_of(shop, facts)
        for name, value in known.items():
            try:
                settings.update_settings(shop_id, **{name: value})
            except BlossomError:  # a zone or country that our libraries don't know: the default stays
                log.warning("shops.fact_unusable", shop_id=shop_id, setting=name)
        installation.described_at = clock.now()


DESCRIBED_EVERY = timedelta(days=1)
"""A shop may change its domain, and links in texts are to lead to the one that it has."""


def describe_new() -> None:
    """Describe the shops whose description was lost on the way or failed, or is a day old."""
    with transaction():
        waiting = queries.undescribed(clock.now() - DESCRIBED_EVERY)
    for shop_id in waiting:
        if stopping.requested():
            return
        try:
            describe(shop_id)
        except ShopifyError as error:
            log.warning("shops.not_described", shop_id=shop_id, code=error.code)


def _install(domain: str, obtain: Callable[[], Tokens], *, joins: bool = True) -> Installed:
    claiming.hold_nothing()
    if domains.shop_domain(domain) != domain:
        raise ValueError("not a shop's canonical domain")
    give_up_at = time.monotonic() + _PATIENCE
    with transaction():
        shop_id, first_seen = _place_for(domain)
    while True:
        with transaction():
            if joins and _was_given_since(shop_id, first_seen):
                return Installed(shop_id, first=False, again=False)
            mine = claiming.claim(shop_id, _generation(shop_id))
        if mine is not None:
            break
        if time.monotonic() > give_up_at or stopping.wait(claiming.POLL_SECONDS):
            raise ShopifyError("access_busy", retry_after=claiming.COOL_DOWN.total_seconds())
    asked_at = clock.now()
    try:
        tokens = obtain()
    except ShopifyError:
        claiming.give_up(mine, cool_down=False)
        raise
    return claiming.until_recorded(lambda: _record(shop_id, mine, tokens, asked_at))


def _place_for(domain: str) -> tuple[int, int]:
    """The shop's id and its tokens' generation; its row, keys and installation are there, with defaults where new."""
    shop = queries.by_domain(domain)
    if shop is None:
        name = domains.shop_name(domain)
        try:
            shop = settings.create_shop(domain=domain, name=name, sender=rules.usual_sender(name))
        except errors.DomainTaken:  # by who installs the same shop at this moment
            shop = queries.by_domain(domain)
            assert shop is not None
    session.execute(select(Shop.id).where(Shop.id == shop.id).with_for_update())
    if session.scalar(select(ShopKey.id).where(ShopKey.shop_id == shop.id).limit(1)) is None:
        crypto.create_shop_keys(shop.id)  # they were destroyed with its data, and now it is back
    session.execute(insert(Installation).values(shop_id=shop.id, scopes=[], generation=0).on_conflict_do_nothing())
    return shop.id, _generation(shop.id)


def _generation(shop_id: int) -> int:
    found = queries.installation(shop_id)
    assert found is not None
    return found.generation


def _was_given_since(shop_id: int, generation: int) -> bool:
    """Whether somebody else's install, or renewal, has come to something while we waited."""
    found = queries.installation(shop_id)
    assert found is not None
    in_place = found.has_access and queries.get_shop(shop_id).uninstalled_at is None
    return in_place and found.generation != generation


def _record(shop_id: int, mine: UUID, tokens: Tokens, asked_at: datetime) -> Installed:
    installation = session.scalars(
        select(Installation).where(Installation.shop_id == shop_id, Installation.claim == mine).with_for_update()
    ).one_or_none()
    if installation is None:  # the shop left meanwhile, or we were so slow that another came first
        raise ShopifyError("access_busy")
    shop = queries.get_shop(shop_id)
    installed = Installed(shop_id, first=installation.granted_at is None, again=shop.uninstalled_at is not None)
    claiming.put(installation, tokens)
    installation.granted_at = installation.scopes_changed_at = asked_at
    shop.uninstalled_at = None
    if installation.described_at is None:
        queue.enqueue("shops.describe", queue="shopify", shop_id=shop_id)
    if installed.first or installed.again:
        queue.enqueue("customers.ask_import", queue="sync", shop_id=shop_id)
    log.info("shops.installed", shop_id=shop_id, first=installed.first, again=installed.again)
    return installed


def _settings_of(shop: Shop, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings for Shopify's facts; nothing for a fact that isn't there."""
    found = {"name": str(facts.get("name") or "").strip()[:100], "timezone": facts.get("ianaTimezone")}
    found["default_country"] = (facts.get("shopAddress") or {}).get("countryCodeV2")
    if found["name"] and shop.sender == rules.usual_sender(shop.name):
        found["sender"] = rules.usual_sender(found["name"])
    if not shop.contact_line:
        found["contact_line"] = facts.get("contactEmail")
    return {name: value for name, value in found.items() if value}

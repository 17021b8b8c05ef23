"""What Shopify tells of an installation by webhook. Flushed; who calls commits. Each may come late, twice, or after
what it is older than."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import select

from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.shopify import access_scopes
from blossom.shops import queries
from blossom.shops.errors import ShopLeft
from blossom.shops.models import Installation, Shop
from blossom.shops.service import claiming

log = structlog.get_logger()


def uninstall(shop_id: int, *, triggered_at: datetime | None = None) -> bool:
    """The app was taken out of the shop: its tokens go, its data stays. Whether that was news.

    `triggered_at`: when, by Shopify's clock. A shop that was given tokens after that has come back, and stays. Raises
    `NotFound`.
    """
    installation = _locked(shop_id)
    shop = queries.get_shop(shop_id)
    if shop.uninstalled_at is not None:
        return False
    if installation is not None:
        if triggered_at and installation.granted_at and installation.granted_at > triggered_at:
            log.info("shops.uninstall_is_past", shop_id=shop_id)
            return False
        claiming.drop(installation)
    shop.uninstalled_at = clock.now()
    session.flush()
    log.info("shops.uninstalled", shop_id=shop_id)
    return True


def require_installed(shop_id: int) -> None:
    """Hold the shop as it is, installed, until the transaction ends. Raises `ShopLeft`, `NotFound`.

    Who begins something that would text people asks first: what was begun before an uninstall is committed when
    `uninstall` has returned, so that whoever stops the shop's texting after it finds all of it.
    """
    # SHARE, for an uninstall takes the lock of a change to no key, which KEY SHARE would let pass.
    row = session.execute(
        select(Shop.uninstalled_at).where(Shop.id == shop_id).with_for_update(read=True)
    ).one_or_none()
    if row is None:
        raise NotFound("shop")
    if row.uninstalled_at is not None:
        raise ShopLeft()


def hold_access(shop_id: int) -> None:
    """Let nobody change the shop's access until the transaction ends. For who goes on to the shop's row: always this
    one before that."""
    _locked(shop_id)


def forget_access(shop_id: int) -> None:
    """Leave no token of the shop, and let no install or renewal that is under way be recorded."""
    installation = _locked(shop_id)
    if installation is not None:
        claiming.drop(installation)
        session.flush()


def note_scopes(shop_id: int, scopes: Iterable[str], *, changed_at: datetime) -> bool:
    """The merchant has granted these scopes, and no others; whether that was news. An older word is passed over.

    The token in hand was given for the former ones, so it is renewed before its next use.
    """
    installation = _locked(shop_id)
    if installation is None or (installation.scopes_changed_at and installation.scopes_changed_at > changed_at):
        return False
    granted = access_scopes.spelled_out(scopes)
    news = granted != access_scopes.spelled_out(installation.scopes)
    if news and installation.refresh_token_sealed is not None:
        installation.access_expires_at = min(installation.access_expires_at or changed_at, clock.now())
    installation.scopes, installation.scopes_changed_at = granted, changed_at
    session.flush()
    return news


def _locked(shop_id: int) -> Installation | None:
    return session.scalars(select(Installation).where(Installation.shop_id == shop_id).with_for_update()).one_or_none()

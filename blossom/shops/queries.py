"""Reads of the tenant itself."""

from __future__ import annotations

from sqlalchemy import select

from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.shops.models import ApiKey, Shop


def get_shop(shop_id: int) -> Shop:
    """The shop. Raises `NotFound`."""
    shop: Shop | None = session.get(Shop, shop_id)
    if shop is None:
        raise NotFound("shop")
    return shop


def by_domain(domain: str) -> Shop | None:
    """The shop at a myshopify domain: the one question that comes before a shop's id is known."""
    return session.scalars(select(Shop).where(Shop.domain == domain)).one_or_none()


def api_keys(shop_id: int) -> list[ApiKey]:
    """The shop's API keys, revoked ones too, the newest first."""
    return list(session.scalars(select(ApiKey).where(ApiKey.shop_id == shop_id).order_by(ApiKey.id.desc())))

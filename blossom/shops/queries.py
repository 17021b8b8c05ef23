"""Reads of the tenant itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select

from blossom.platform import config
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.shops import rules
from blossom.shops.models import ApiKey, Installation, Shop, StaffMember, TrialNumber


def get_shop(shop_id: int) -> Shop:
    """The shop. Raises `NotFound`."""
    shop: Shop | None = session.get(Shop, shop_id)
    if shop is None:
        raise NotFound("shop")
    return shop


def by_domain(domain: str) -> Shop | None:
    """The shop at a myshopify domain: the one question that comes before a shop's id is known."""
    return session.scalars(select(Shop).where(Shop.domain == domain)).one_or_none()


def proxy_address(shop_id: int) -> str:
    """Where the shop's pages behind the app proxy begin (`https://olive.example/apps/blossom`). Raises `NotFound`."""
    shop = get_shop(shop_id)
    return rules.proxy_address(config.current().shopify_shop_url, shop.primary_domain or shop.domain, shop.proxy_path)


def api_keys(shop_id: int) -> list[ApiKey]:
    """The shop's API keys, revoked ones too, the newest first."""
    return list(session.scalars(select(ApiKey).where(ApiKey.shop_id == shop_id).order_by(ApiKey.id.desc())))


def api_key(shop_id: int, key_id: int) -> ApiKey:
    """The shop's key, revoked or not. Raises `NotFound`."""
    key = session.scalars(select(ApiKey).where(ApiKey.shop_id == shop_id, ApiKey.id == key_id)).one_or_none()
    if key is None:
        raise NotFound("API key")
    return key


def trial_numbers(shop_id: int) -> list[str]:
    """The shop's own numbers (E.164), in the order in which they were given."""
    found = session.scalars(select(TrialNumber).where(TrialNumber.shop_id == shop_id).order_by(TrialNumber.id))
    return [number.phone for number in found]


def staff(shop_id: int, limit: int) -> list[StaffMember]:
    """Who of the shop's staff was here, the latest first."""
    return list(
        session.scalars(
            select(StaffMember)
            .where(StaffMember.shop_id == shop_id)
            .order_by(StaffMember.last_seen_at.desc(), StaffMember.id.desc())
            .limit(limit)
        )
    )


def installation(shop_id: int) -> Installation | None:
    """The shop's access to Shopify; None for a shop that never had one."""
    return session.scalars(select(Installation).where(Installation.shop_id == shop_id)).one_or_none()


def staff_member(shop_id: int, shopify_user_id: int) -> StaffMember | None:
    """Whom Shopify knows by that number, if they were here before."""
    return session.scalars(
        select(StaffMember).where(StaffMember.shop_id == shop_id, StaffMember.shopify_user_id == shopify_user_id)
    ).one_or_none()


def expiring_access(now: datetime, before: datetime) -> list[int]:
    """The shops whose refresh token ends before that time, and those whose access was lost with one that is not yet
    over; the most urgent first."""
    ends_at = Installation.refresh_expires_at
    return list(
        session.scalars(
            select(Installation.shop_id)
            .join(Shop, Shop.id == Installation.shop_id)
            .where(
                Installation.refresh_token_sealed.is_not(None),
                Shop.uninstalled_at.is_(None),
                ends_at > now,
                or_(ends_at < before, Installation.access_lost_at.is_not(None)),
            )
            .order_by(ends_at)
        )
    )


def undescribed(since: datetime) -> list[int]:
    """Shops with access of which Shopify has not told us yet, or not since then."""
    return list(
        session.scalars(
            select(Installation.shop_id)
            .join(Shop, Shop.id == Installation.shop_id)
            .where(
                or_(Installation.described_at.is_(None), Installation.described_at < since),
                Installation.access_token_sealed.is_not(None),
                Installation.access_lost_at.is_(None),
                Shop.uninstalled_at.is_(None),
            )
            .order_by(Installation.shop_id)
        )
    )

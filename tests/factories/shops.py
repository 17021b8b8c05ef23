from __future__ import annotations

from typing import Any

from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.shops.models import Shop


def create_shop(**overrides: Any) -> Shop:
    """A shop with its keys; quiet hours and caps off unless asked for."""
    values: dict[str, Any] = {
        "domain": "ours.myshopify.com",
        "name": "Ours",
        "timezone": "Europe/Athens",
        "default_country": "GR",
        "sender": "Ours",
        "contact_line": "hello@ours.example",
        "quiet_hours_on": False,
        "daily_cap": None,
        "weekly_cap": None,
        "created_at": clock.now(),
        **overrides,
    }
    shop = Shop(**values)
    session.add(shop)
    session.flush()
    crypto.create_shop_keys(shop.id)
    return shop

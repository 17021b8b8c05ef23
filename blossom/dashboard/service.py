"""What a merchant changes on these pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blossom.audit import service as audit
from blossom.customers import queries as customers
from blossom.customers import service as customers_service
from blossom.shops import queries as shops
from blossom.shops import service as shops_service
from blossom.shops.models import Shop


def import_again(shop_id: int, *, actor: str) -> None:
    """Ask for another import of Shopify's customers; with one under way, nothing is asked for twice."""
    if not customers.has_open_import(shop_id):
        import_id = customers_service.ask_import(shop_id)
        audit.record(
            shop_id, "customers.import_asked", actor=actor, subject_type="customer_import", subject_id=import_id
        )


def save_settings(shop_id: int, changes: Mapping[str, Any], *, actor: str) -> Shop:
    """Change the shop's settings, all or none, and write down who changed which. Raises as `shops.update_settings`."""
    shop = shops.get_shop(shop_id)
    changed = sorted(name for name, value in changes.items() if getattr(shop, name) != value)
    shop = shops_service.update_settings(shop_id, **changes)
    if changed:
        audit.record(shop_id, "shops.settings_changed", actor=actor, details={"settings": changed})
    return shop

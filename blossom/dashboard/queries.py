"""How Shopify's customers come in, as the home page and `/import` show it."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.contacts import queries as contacts
from blossom.customers import queries as customers
from blossom.customers.models import CustomerComparison
from blossom.customers.rules import Progress
from blossom.shops import queries as shops
from blossom.shops.models import Shop


@dataclass(frozen=True)
class Arrival:
    """How far Shopify's customers have come in. `progress` None: about to be asked for. `comparison` None: not yet."""

    shop: Shop
    progress: Progress | None
    comparison: CustomerComparison | None

    @property
    def is_open(self) -> bool:
        """Whether it will change within seconds, and by itself."""
        return self.progress is None or self.progress.is_open


def arrival(shop_id: int) -> Arrival | None:
    """None for a shop that was never connected to Shopify. Raises `NotFound` without such a shop."""
    shop = shops.get_shop(shop_id)
    if shops.installation(shop_id) is None:
        return None
    return Arrival(shop, customers.latest_import(shop_id), customers.comparison(shop_id))


def contacts_now(shop_id: int) -> int:
    """How many contacts the shop has, as the home page shows it."""
    return contacts.roughly(shop_id)[0]

"""Jobs of the tenant."""

from __future__ import annotations

import structlog

from blossom.platform import queue
from blossom.shopify.errors import ShopifyError
from blossom.shops import service

log = structlog.get_logger()


@queue.job("shops.describe")
def describe(shop_id: int) -> None:
    """Take over name, zone and country from Shopify. What fails is made up for by `shops.describe_new`."""
    try:
        service.describe(shop_id)
    except ShopifyError as error:
        log.warning("shops.not_described", shop_id=shop_id, code=error.code)


@queue.job("shops.describe_new")
def describe_new() -> None:
    service.describe_new()


@queue.job("shops.renew_expiring")
def renew_expiring() -> None:
    """Keep access to shops that nothing calls."""
    service.renew_expiring()

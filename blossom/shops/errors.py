"""What can go wrong with a shop or its keys."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class DomainTaken(BlossomError):
    def __init__(self, domain: str) -> None:
        super().__init__(
            noted("%(domain)s is here already.", domain=domain),
            code="domain_taken",
            status=409,
            details={"domain": domain},
            actionable=noted("Open that shop instead of creating it again."),
        )


class ShopLeft(BlossomError):
    """The app was taken out of the shop: nothing is begun for it any more."""

    def __init__(self) -> None:
        super().__init__(
            noted("Blossom is not installed in this shop any more, so nothing is sent."),
            code="shop_left",
            status=409,
            actionable=noted("Install Blossom again from the Shopify App Store."),
        )

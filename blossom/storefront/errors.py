"""What a request to the shopper's pages can be refused for."""

from __future__ import annotations

from blossom.platform.errors import BlossomError


class Unproven(BlossomError):
    """Not forwarded by Shopify just now: no signature, a wrong one, or an old one. The same answer to each."""

    def __init__(self) -> None:
        super().__init__("This page opens on the shop's own site only.", code="not_from_storefront", status=401)

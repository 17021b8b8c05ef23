"""What can be wrong with a request that comes, or should come, out of the Shopify admin."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted

RETRY = "X-Shopify-Retry-Invalid-Session-Request"
"""Tells App Bridge to fetch again, once, with a new session token (facts/shopify.md)."""
REAUTHORIZE = "X-Shopify-API-Request-Failure-Reauthorize"
REAUTHORIZE_URL = "X-Shopify-API-Request-Failure-Reauthorize-Url"
"""Tell App Bridge to leave the frame for that address."""


class SessionRefused(BlossomError):
    """No session token, a forged, a stale or an odd one: the same answer to each."""

    def __init__(self) -> None:
        super().__init__(
            noted("Shopify's word on who you are is missing or out of date."),
            code="session_refused",
            status=401,
            actionable=noted(
                "Nothing was changed. Try again; if that does not help, open Blossom from your Shopify admin."
            ),
            headers={RETRY: "1"},
        )


class InstallNeeded(BlossomError):
    """A proven session of a shop that has no installation here, or whose access is used up."""

    def __init__(self, shop: str, url: str) -> None:
        super().__init__(
            noted("Blossom is not installed in %(shop)s, or its access has ended.", shop=shop),
            code="install_needed",
            status=401,
            actionable=noted("Open Blossom from your Shopify admin, and grant it access."),
            headers={REAUTHORIZE: "1", REAUTHORIZE_URL: url},
        )


class NotFromShopify(BlossomError):
    """An address that Shopify would not have made. `what` names the part of it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            noted("This address is not one that Shopify made: %(what)s.", what=what),
            code="not_from_shopify",
            status=400,
            actionable=noted("Open Blossom from your Shopify admin."),
        )

"""A shop's address, checked before anything else sees it: it becomes part of URLs, headers and log lines."""

from __future__ import annotations

import re

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,59}\.myshopify\.com")
_LONGEST = 60 + len(".myshopify.com")


def shop_domain(given: str | None) -> str | None:
    """The canonical `x.myshopify.com`, in lower case; None for anything else.

    Nothing is mended but the case: no scheme, path, port, space or bare name. Shopify sends the plain domain, so
    whatever else arrives was made by somebody else.
    """
    if given is None or len(given) > _LONGEST or not given.isascii():
        return None
    domain = given.lower()
    return domain if _DOMAIN.fullmatch(domain) else None


def shop_name(domain: str) -> str:
    """What stands before `.myshopify.com` in a canonical domain: the store's name in the admin's addresses."""
    return domain.removesuffix(".myshopify.com")

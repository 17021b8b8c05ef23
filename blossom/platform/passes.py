"""Signed links to single pages, for development: what stands in for Shopify's session where Shopify is not set up.

A pass names one shop and one page of it, ends after a day, and is signed by a key derived from the master key, so it
needs no table. It opens what it names for a whole day, from an address that people copy: production refuses passes
altogether, and so does an installation with Shopify's settings, where the admin's session is asked (`allowed`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from itsdangerous import BadData, URLSafeTimedSerializer

from blossom.platform.access import Principal
from blossom.platform.config import Config
from blossom.platform.errors import BlossomError, NotFound

LIFETIME_SECONDS = 24 * 60 * 60

RIGHTS = frozenset({"campaigns:read", "shop:read"})
"""Of the holder of a pass: it opens pages to look at."""


class PassRefused(BlossomError):
    """No pass, a forged or an old one: the same answer to each."""

    def __init__(self) -> None:
        super().__init__(
            "This link doesn't open that page, or it has expired.",
            code="link_refused",
            status=403,
            actionable="Make a new link: blossom shop link DOMAIN CAMPAIGN.",
        )


def allowed(config: Config) -> bool:
    """Whether pages are shown to holders of a pass at all."""
    return config.environment != "production" and not config.shopify_api_key


def link(config: Config, shop_id: int, page: str) -> str:
    """The address of the shop's `page` (its path, `campaigns/42`), with a pass that opens it for a day."""
    return f"{config.app_url}/{page}?pass={_serializer(config.master_keys).dumps([shop_id, page])!s}"


def shop_of(config: Config, given: str, page: str) -> int:
    """The shop whose `page` the pass opens. Raises `PassRefused`; `NotFound` for a good pass to another page."""
    if not allowed(config):
        raise PassRefused
    try:
        shop_id, opened = _serializer(config.master_keys).loads(given, max_age=LIFETIME_SECONDS)
    except BadData:
        raise PassRefused from None
    if opened != page:
        raise NotFound("page")
    return int(shop_id)


def holder(config: Config, given: str, page: str) -> Principal:
    """Who holds a pass to `page`. Raises as `shop_of` does."""
    return Principal(shop_id=shop_of(config, given, page), scopes=RIGHTS, actor="pass")


def _serializer(master_keys: Mapping[int, bytes]) -> URLSafeTimedSerializer:
    """Signs with the current master key's derivative and accepts the older ones'."""
    derived = [hmac.digest(key, b"blossom page pass", "sha256") for key in master_keys.values()]
    return URLSafeTimedSerializer(
        derived[::-1],  # the last one signs
        salt="page-pass",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )

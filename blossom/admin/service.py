"""Who a session token speaks of, what they may do, and how their shop comes to be installed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from itsdangerous import BadData, URLSafeTimedSerializer

from blossom.admin import rules
from blossom.platform import clock
from blossom.platform.access import OPERATOR, SHOP_SCOPES, Principal
from blossom.platform.config import Config
from blossom.platform.db import transaction
from blossom.shopify import oauth, session_tokens, signature
from blossom.shopify.errors import InvalidSessionToken, ShopifyError
from blossom.shopify.session_tokens import SessionToken
from blossom.shops import queries as shops
from blossom.shops import rules as shop_rules
from blossom.shops import service as shops_service
from blossom.wallet import service as wallet

log = structlog.get_logger()

GRANT_SECONDS = 600
"""How long a merchant may take on Shopify's page of an authorization-code grant."""


@dataclass(frozen=True)
class Entry:
    """Somebody who came in. `missing_scopes`: those of the app's that their shop has yet to grant. `rights_are_old`:
    Shopify should be asked again; `rights_unknown`: it must be, and until then they may only look."""

    principal: Principal
    missing_scopes: tuple[str, ...]
    rights_are_old: bool
    rights_unknown: bool


def read_token(settings: Config, given: str) -> SessionToken | None:
    """What a session token says; None for anything that is not one of Shopify's, for this app, of this moment."""
    if not rules.looks_like_token(given):
        return None
    try:
        token = session_tokens.verify(
            given, api_key=settings.shopify_api_key, secrets=settings.shopify_api_secrets, now=clock.now()
        )
    except InvalidSessionToken as refused:
        log.info("session.refused", why=refused.why)
        return None
    # Shoppers' extensions get tokens by the same secret; they name a customer, or nobody.
    return token if token.user_id is not None else None


def authenticate(settings: Config, credential: str) -> Principal | None:
    """Who calls the JSON API with this session token; None for anything else, and for a shop that is not installed."""
    token = read_token(settings, credential) if settings.shopify_api_key else None
    entry = enter(settings, token) if token else None
    return entry.principal if entry else None


def enter(settings: Config, token: SessionToken) -> Entry | None:
    """Let in whom a verified token names, noted as staff of the shop; None if the shop must be installed (again).

    Somebody whose rights Shopify was never asked for may look, and no more: see `learn_rights`.
    """
    shop = shops.by_domain(token.shop)
    installation = shops.installation(shop.id) if shop and shop.uninstalled_at is None else None
    if shop is None or installation is None or not installation.has_access:
        return None
    assert token.user_id is not None
    member = shops_service.note_staff(shop.id, token.user_id)
    held = shops_service.known_rights(member)
    rights = shop_rules.rights_of(held, settings.shopify_scopes)
    if shop.domain in settings.operator_shops and rights == SHOP_SCOPES:
        rights |= {OPERATOR}
    missing = rules.missing_scopes(installation.scopes, settings.shopify_scopes)
    return Entry(
        principal=Principal(shop.id, rights, f"staff:{member.id}"),
        missing_scopes=tuple(missing),
        rights_are_old=shops_service.rights_are_old(member),
        rights_unknown=held is None,
    )


def install(shop: str, id_token: str) -> None:
    """Trade a verified session token for the shop's access. Called with no transaction open. Raises `ShopifyError`."""
    _furnish(shops_service.install(shop, id_token).shop_id)


def install_by_code(shop: str, code: str) -> None:
    """The same for the code of an authorization-code grant that was proven."""
    _furnish(shops_service.install_by_code(shop, code).shop_id)


def learn_rights(entry: Entry, shop: str, id_token: str) -> None:
    """Ask Shopify what a staff member may do, with no transaction open. Unanswered, what was known before holds, as
    long as it does (`shops.service.known_rights`)."""
    try:
        shops_service.read_rights(entry.principal.shop_id, shop, id_token)
    except ShopifyError as error:
        log.warning("admin.rights_unknown", shop_id=entry.principal.shop_id, code=error.code)


def _furnish(shop_id: int) -> None:
    """What an installed shop needs of the domains above `shops`; one that has it keeps it."""
    with transaction():
        wallet.open_wallet(shop_id)


def is_from_shopify(settings: Config, pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether Shopify signed this query (of the authorization-code grant)."""
    return signature.query_is_authentic(pairs, settings.shopify_api_secrets)


def grant_url(settings: Config, shop: str) -> str:
    """Shopify's page on which the merchant grants what the app asks for; it comes back to `/auth/callback`.

    `state` says that it began here, and when. It is bound to no browser, for there is no cookie: whoever comes back
    gets no session by it, and the code that comes along gives access to the very shop that granted it.
    """
    state = str(_states(settings).dumps(shop))
    return oauth.authorize_url(shop, state=state, redirect_uri=f"{settings.app_url}/auth/callback")


def began_here(settings: Config, shop: str, state: str) -> bool:
    """Whether `state` is ours, of this shop, and not old."""
    try:
        return bool(_states(settings).loads(state, max_age=GRANT_SECONDS) == shop)
    except BadData:
        return False


def _states(settings: Config) -> URLSafeTimedSerializer:
    derived = [hmac.digest(key, b"blossom grant state", "sha256") for key in settings.master_keys.values()]
    return URLSafeTimedSerializer(
        derived[::-1],  # the last one signs
        salt="grant-state",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )

"""Access to a shop: token exchange, refresh, the authorization-code grant. One call each, no retries of our own.

A lost answer costs nothing: an exchange gives a new pair each time, and Shopify takes the refresh token before the
last one until its replacement has been used (changelog of 28 August 2026), so `refresh` may be repeated with it.
Settings are this process's (`config.current()`). No error and no log carries a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from blossom.platform import clock, config, wire
from blossom.platform.wire import Answer, CallFailed, Wire
from blossom.shopify import access_scopes, domains
from blossom.shopify.errors import ShopifyError

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  the kind's name, not a token
_OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"
_ONLINE = "urn:shopify:params:oauth:token-type:online-access-token"

_CONNECT_SECONDS = 3.0
_UNTOLD_LIFE = timedelta(minutes=30)
"""Of an access token that comes with a refresh token but without `expires_in`: taken for lasting, it would never be
refreshed again."""

_REFUSALS = {
    "invalid_subject_token": "grant_refused",
    "invalid_request": "grant_refused",
    "invalid_grant": "grant_refused",
    "invalid_client": "app_refused",
    "unauthorized_client": "app_refused",
    "unsupported_grant_type": "app_refused",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What Shopify granted. `expires_at` None: for good. `user_id` and `user_scopes` only of an online token: whose it
    is, and what Shopify lets them do through the app. Names and addresses in the answer are left where they came."""

    access_token: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: datetime | None
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_at: datetime | None = None
    user_id: int | None = None
    user_scopes: tuple[str, ...] | None = None


def exchange(shop: str, id_token: str, *, online: bool = False) -> Tokens:
    """A verified session token for an access token: an expiring offline one, or the staff member's own.

    Raises `ShopifyError`: `grant_refused` when Shopify no longer takes the token, `app_refused`, or what a call may
    end with.
    """
    asked = {
        "grant_type": _EXCHANGE,
        "subject_token": id_token,
        "subject_token_type": _ID_TOKEN,
        "requested_token_type": _ONLINE if online else _OFFLINE,
    }
    return _ask(shop, asked if online else {**asked, "expiring": "1"})


def refresh(shop: str, refresh_token: str) -> Tokens:
    """The next pair. Raises `ShopifyError`: `refresh_refused` when only a merchant's visit can help.

    Shopify says `invalid_request` with a 401 of a token that is over, used up or revoked ("This request requires an
    active refresh_token"); OAuth's own word is `invalid_grant`. Either is about the grant, not about the app.
    """
    try:
        return _ask(shop, {"grant_type": "refresh_token", "refresh_token": refresh_token})
    except ShopifyError as error:
        if error.code == "grant_refused":
            raise ShopifyError("refresh_refused", http_status=error.http_status) from None
        raise


def redeem_code(shop: str, code: str) -> Tokens:
    """An expiring offline pair for the code of a callback that `signature.query_is_authentic` and `state` have proven.
    Raises as `exchange`."""
    return _ask(shop, {"code": code, "expiring": "1"})


def authorize_url(shop: str, *, state: str, redirect_uri: str) -> str:
    """Shopify's page on which a merchant grants the scopes of the settings; it comes back to `redirect_uri`."""
    settings = config.current()
    asked = {
        "client_id": settings.shopify_api_key,
        "scope": ",".join(settings.shopify_scopes),
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{shop_url(shop)}/admin/oauth/authorize?{urlencode(asked)}"


def shop_url(shop: str) -> str:
    """Where the shop's own addresses begin. ValueError for what isn't a canonical domain: it would become a host."""
    if domains.shop_domain(shop) != shop:
        raise ValueError("not a shop's canonical domain")
    return config.current().shopify_shop_url.replace("{shop}", shop)


def _ask(shop: str, asked: Mapping[str, str]) -> Tokens:
    settings = config.current()
    body = {"client_id": settings.shopify_api_key, "client_secret": settings.shopify_api_secrets[0], **asked}
    asked_at = clock.now()  # lives are counted from before the call: ours end a moment before Shopify's
    connection = Wire()
    try:
        answer = connection.call(
            "POST",
            f"{shop_url(shop)}/admin/oauth/access_token",
            headers={"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "Blossom"},
            body=json.dumps(body).encode(),
            connect_timeout=_CONNECT_SECONDS,
            timeout=settings.shopify_timeout_seconds,
        )
    except CallFailed as failed:
        raise ShopifyError("no_answer" if failed.begun else "could_not_connect") from None
    finally:
        connection.close()
    document = _document(answer)
    if answer.status != 200:
        raise _refusal(answer, document)
    return _tokens(document, asked_at)


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = json.loads(answer.body or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: Answer, document: Mapping[str, Any]) -> ShopifyError:
    status = answer.status
    if status == 429:
        return ShopifyError("throttled", http_status=status, retry_after=wire.retry_after(answer))
    if status >= 500 or status == 408:
        return ShopifyError("shopify_failed", http_status=status, retry_after=wire.retry_after(answer))
    if 300 <= status < 400:
        return ShopifyError("wrong_address", http_status=status)
    named = document.get("error")
    if isinstance(named, str) and named in _REFUSALS:
        return ShopifyError(_REFUSALS[named], http_status=status)
    codes = {402: "shop_frozen", 404: "shop_closed", 423: "shop_closed"}
    return ShopifyError(codes.get(status, "app_refused"), http_status=status)


def _tokens(document: Mapping[str, Any], asked_at: datetime) -> Tokens:
    access, refreshing = document.get("access_token"), document.get("refresh_token")
    if not isinstance(access, str) or not access or not isinstance(refreshing, str | None):
        raise ShopifyError("answer_unreadable", http_status=200)
    expires_at = _end(document.get("expires_in"), asked_at)
    if refreshing and expires_at is None:
        expires_at = asked_at + _UNTOLD_LIFE
    user = document.get("associated_user")
    user_id = user.get("id") if isinstance(user, dict) else None
    user_scopes = document.get("associated_user_scope")
    return Tokens(
        access_token=access,
        scopes=_listed(document.get("scope")),
        expires_at=expires_at,
        refresh_token=refreshing or None,
        refresh_expires_at=_end(document.get("refresh_token_expires_in"), asked_at) if refreshing else None,
        user_id=user_id if isinstance(user_id, int) and not isinstance(user_id, bool) else None,
        user_scopes=_listed(user_scopes) if isinstance(user_scopes, str) else None,
    )


def _end(seconds: Any, begin: datetime) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds < 10**9:
        return None
    return begin + timedelta(seconds=seconds)


def _listed(given: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else ()
    return tuple(access_scopes.spelled_out(part.strip() for part in parts if part.strip()))

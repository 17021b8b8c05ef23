"""`/shops/<shop>/admin/oauth/…`: token exchange, refresh, authorization code. Source: facts/shopify.md, “Auth”."""

from __future__ import annotations

import base64
from collections.abc import Collection
from html import escape
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, g, redirect, request

from blossom.sandbox.shopify import faults, signing, tokens
from blossom.sandbox.shopify.state import Installation, Shop, Staff, State
from blossom.sandbox.shopify.tokens import AccessToken, RefusedTokenError

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  a name, no token
OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"
ONLINE = "urn:shopify:params:oauth:token-type:online-access-token"

_BAD_SUBJECT = ("invalid_subject_token", "The subject token is invalid")


def blueprint(state: State) -> Blueprint:
    """The endpoints that the app calls, and the page on which a merchant approves it."""
    routes = Blueprint("oauth", __name__, url_prefix="/shops/<domain>/admin/oauth")
    faults.guard(state, routes, "oauth")

    @routes.post("/access_token")
    def access_token(domain: str) -> Response:
        with state.lock:
            shop = state.shops.get(domain)
            if shop is None:
                return _json({"errors": "Not Found"}, 404)
            try:
                return _json(_granted(state, shop, _given()))
            except RefusedTokenError as error:
                g.code = error.code
                return _json({"error": error.code, "error_description": str(error)}, error.status)

    @routes.get("/authorize")
    def authorize(domain: str) -> Any:
        """The approval page; a shop that has granted these scopes goes straight back to the app."""
        with state.lock:
            shop = state.shops.get(domain)
            fault = "There is no such shop" if shop is None else _unfit(state, request.args)
            if fault or shop is None:
                return Response(f"Oauth error: {fault}", 400, content_type="text/plain; charset=utf-8")
            wanted = set(_listed(request.args.get("scope", "")) or state.app.scopes)
            if shop.installation is not None and wanted <= set(shop.installation.scopes):
                return redirect(_back(state, shop))
            return Response(_page(state, shop, wanted), content_type="text/html; charset=utf-8")

    @routes.post("/authorize")
    def approve(domain: str) -> Any:
        """What the button of the page does: install, and back to the app with a code."""
        with state.lock:
            shop = state.shops.get(domain)
            fault = "There is no such shop" if shop is None else _unfit(state, request.args)
            if fault or shop is None:
                return Response(f"Oauth error: {fault}", 400, content_type="text/plain; charset=utf-8")
            state.install(shop, _listed(request.args.get("scope", "")) or None)
            return redirect(_back(state, shop))

    return routes


def _given() -> dict[str, Any]:
    """The parameters, as JSON or as a form."""
    if not request.is_json:
        return request.form.to_dict()
    try:
        document = orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise RefusedTokenError("invalid_request", "The body can't be read")
    return document


def _granted(state: State, shop: Shop, given: dict[str, Any]) -> dict[str, Any]:
    app = state.app
    if given.get("client_id") != app.api_key or given.get("client_secret") != app.secret:
        raise RefusedTokenError("invalid_client", "The client credentials are invalid")
    grant = given.get("grant_type")
    if grant == EXCHANGE:
        return _exchanged(state, shop, given)
    if grant == "refresh_token":
        if shop.installation is None:
            raise tokens.refused_refresh()
        return _answer(
            state,
            shop,
            state.tokens.refresh(
                shop.domain,
                str(given.get("refresh_token")),
                shop.installation.scopes,
                state.now(),
                retries=app.refresh_retries,
            ),
        )
    if grant in (None, "authorization_code") and given.get("code"):
        installed = _installed(shop, "invalid_request")
        code = state.tokens.redeem(shop.domain, str(given["code"]), state.now())
        if code.staff is not None:
            return _for_person(state, shop, installed, shop.staff_member(code.staff))
        return _answer(state, shop, _offline(state, shop, installed, given))
    raise RefusedTokenError("unsupported_grant_type", "The grant type is not supported")


def _exchanged(state: State, shop: Shop, given: dict[str, Any]) -> dict[str, Any]:
    wanted = given.get("requested_token_type")
    if given.get("subject_token_type") != ID_TOKEN or wanted not in (OFFLINE, ONLINE):
        raise RefusedTokenError("invalid_request", "subject_token_type or requested_token_type is not supported")
    member = _subject(state, shop, str(given.get("subject_token")))
    installed = _installed(shop, _BAD_SUBJECT[0])
    if wanted == ONLINE:
        return _for_person(state, shop, installed, member)
    return _answer(state, shop, _offline(state, shop, installed, given))


def _subject(state: State, shop: Shop, token: str) -> Staff:
    """The person that an ID token names. Signature, times, audience and shop are checked."""
    claims = signing.read_id_token(token, state.app.secret)
    now = state.now().timestamp()
    if (
        claims is None
        or claims.get("aud") != state.app.api_key
        or claims.get("dest") != f"https://{shop.domain}"
        or claims.get("iss") != f"https://{shop.domain}/admin"
        or not isinstance(claims.get("exp"), int)
        or not isinstance(claims.get("nbf"), int)
        or not claims["nbf"] <= now < claims["exp"]
    ):
        raise RefusedTokenError(*_BAD_SUBJECT)
    try:
        return shop.staff_member(int(str(claims.get("sub"))))
    except (LookupError, ValueError):
        raise RefusedTokenError(*_BAD_SUBJECT) from None


def _installed(shop: Shop, code: str) -> Installation:
    if shop.installation is None:
        raise RefusedTokenError(code, "The app is not installed in this shop")
    return shop.installation


def _offline(state: State, shop: Shop, installed: Installation, given: dict[str, Any]) -> AccessToken:
    expiring = str(given.get("expiring")) == "1"
    if state.app.expiring_tokens_only and not expiring:
        raise RefusedTokenError("invalid_request", "This app must use expiring offline access tokens: expiring=1")
    return state.tokens.offline(shop.domain, installed.scopes, state.now(), expiring=expiring)


def _for_person(state: State, shop: Shop, installed: Installation, member: Staff) -> dict[str, Any]:
    allowed = [scope for scope in installed.scopes if member.scopes is None or scope in member.scopes]
    token = state.tokens.online(shop.domain, allowed, member.id, state.now())
    return {
        **_answer(state, shop, token),
        "scope": _told(installed.scopes),
        "associated_user_scope": _told(allowed),
        "associated_user": {
            "id": member.id,
            "first_name": member.first_name,
            "last_name": member.last_name,
            "email": member.email,
            "email_verified": True,
            "account_owner": member.account_owner,
            "locale": member.locale,
            "collaborator": False,
        },
    }


def _answer(state: State, shop: Shop, token: AccessToken) -> dict[str, Any]:
    answer: dict[str, Any] = {"access_token": token.value, "scope": _told(token.scopes)}
    if token.expires_at is not None:
        answer["expires_in"] = round((token.expires_at - state.now()).total_seconds())
    if token.refresh is not None:
        answer["refresh_token"] = token.refresh.value
        answer["refresh_token_expires_in"] = round((token.refresh.expires_at - state.now()).total_seconds())
    return answer


def _unfit(state: State, given: Any) -> str:
    """Why this request for approval is refused; empty if it isn't."""
    if given.get("client_id") != state.app.api_key:
        return "invalid_request: Could not find Shopify API application with api_key"
    if given.get("redirect_uri") not in state.app.redirect_urls:
        return "invalid_request: The redirect_uri is not whitelisted"
    return ""


def _back(state: State, shop: Shop) -> str:
    """The app's callback with a code, signed."""
    per_person = request.args.get("grant_options[]") == "per-user"
    member = shop.staff_member()
    pairs = {
        "code": state.tokens.code(shop.domain, member.id if per_person else None, state.now()),
        "host": base64.b64encode(f"admin.shopify.com/store/{shop.handle}".encode()).rstrip(b"=").decode(),
        "shop": shop.domain,
        "state": request.args.get("state", ""),
        "timestamp": str(int(state.now().timestamp())),
    }
    pairs["hmac"] = signing.query_hmac(pairs.items(), state.app.secret)
    return f"{request.args['redirect_uri']}?{urlencode(pairs)}"


def _page(state: State, shop: Shop, wanted: set[str]) -> str:
    items = "".join(f"<li>{escape(scope)}</li>" for scope in sorted(wanted))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,"><style>:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }'
        "body { max-width: 32rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }</style>"
        f"<title>Install {escape(state.app.name)}</title>"
        f"<h1>Install {escape(state.app.name)} in {escape(shop.name)}</h1><ul>{items}</ul>"
        '<form method="post"><button>Install</button></form></html>'
    )


def _told(scopes: Collection[str]) -> str:
    """As Shopify lists them: to read is not named beside to write (its libraries' AuthScopes, “compressed”)."""
    implied = {f"read_{scope.removeprefix('write_')}" for scope in scopes if scope.startswith("write_")}
    return ",".join(scope for scope in scopes if scope not in implied)


def _listed(scopes: str) -> list[str]:
    return [scope.strip() for scope in scopes.split(",") if scope.strip()]


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, content_type="application/json; charset=utf-8")

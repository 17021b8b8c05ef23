"""Who may see a page in the admin's frame, the page that fetches a new session token, and the second way to install.

    a document     `?id_token=` in its address; without a good one it goes through `/session/bounce` and comes back
    a fetch        `Authorization: Bearer`, which App Bridge adds; without a good one 401, and App Bridge fetches again
    /auth          the authorization-code grant, at the top of the browser: `/auth?shop=` → Shopify → `/auth/callback`

Without Shopify's settings none of it is there: its addresses are 404, and pages open to passes (`pages.caller`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Flask, Response, abort, make_response, redirect, render_template, request

from blossom.admin import errors, rules, service
from blossom.platform import clock, config, db, htmx, pages
from blossom.platform.config import Config
from blossom.shopify import domains
from blossom.shopify.access_scopes import scope_words
from blossom.shopify.errors import ShopifyError

views = Blueprint("admin", __name__)

_DOCUMENTS = ("GET", "HEAD")


def init(app: Flask, merchants: frozenset[str]) -> None:
    """Admit only proven sessions to the blueprints named in `merchants`."""

    @app.before_request
    def _admit() -> Any:
        settings = config.current()
        if not settings.shopify_api_key or not pages.wanted():
            return None
        if (request.blueprint in merchants or request.url_rule is None) and rules.RELOAD in request.args:
            raise errors.NotFromShopify("it would send you on")  # with a session token, and not necessarily to us
        if request.blueprint in merchants:
            return _admit_fetch(settings) if _is_fetch() else _admit_document(settings)
        if request.url_rule is None:  # somebody followed a stale link in the frame: the page that says so stands in it
            pages.stand_in(_frame(settings, _shop_named()))
        return None


@views.get("/session/bounce")
def bounce() -> Response:
    """A page with nothing but App Bridge, which loads the address in `shopify-reload` with a new session token."""
    settings = _settings()
    pages.stand_in(replace(_frame(settings, None), bridged=False))
    given = request.args.getlist(rules.RELOAD)
    if len(given) != 1 or not rules.is_reload_address(given[0], settings.app_url):
        raise errors.NotFromShopify("it names no page of Blossom to come back to")
    pages.stand_in(_frame(settings, _shop_named()))
    return _unstored(make_response(render_template("admin/bounce.html")))


@views.get("/auth")
def begin_grant() -> Response:
    """Send the merchant to Shopify's page on which they grant what the app asks for."""
    settings, shop = _settings(), _shop_named()
    if shop is None:
        raise errors.NotFromShopify("it names no shop")
    return _unstored(redirect(service.grant_url(settings, shop)))


@views.get("/auth/callback")
def end_grant() -> Response:
    """The merchant has granted: trade the code for tokens, and go where the admin shows the app."""
    settings, shop = _settings(), _shop_named()
    if shop is None or not service.is_from_shopify(settings, list(request.args.items(multi=True))):
        raise errors.NotFromShopify("its proof does not hold")
    if not service.began_here(settings, shop, request.args.get("state", "")):
        raise errors.NotFromShopify("it was not asked for here, or too long ago")
    db.end_request(200)  # nothing may be held while Shopify is called
    service.install_by_code(shop, request.args.get("code", ""))
    return _unstored(redirect(rules.in_admin(shop, settings.shopify_admin_url, settings.shopify_api_key)))


def _settings() -> Config:
    settings = config.current()
    if not settings.shopify_api_key:
        abort(404)
    return settings


def _is_fetch() -> bool:
    """Whether a script asks, which can try again, rather than a browser that loads a document."""
    headers = request.headers
    return "Authorization" in headers or "HX-Request" in headers or headers.get("Sec-Fetch-Dest") == "empty"


def _admit_fetch(settings: Config) -> None:
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    token = service.read_token(settings, credential.strip()) if kind.lower() == "bearer" else None
    if token is None:
        raise errors.SessionRefused
    entry = service.enter(settings, token)
    if entry is None:
        raise errors.InstallNeeded(token.shop, _grant_address(settings, token.shop))
    if entry.rights_unknown:  # a page that stood open for days: who fills in a form on it should not have to load it
        db.end_request(200)
        service.learn_rights(entry, token.shop, credential.strip())
        entry = service.enter(settings, token) or entry
    _let_in(settings, token.shop, entry)


def _admit_document(settings: Config) -> Response | None:
    shop, given = _shop_named(), request.args.getlist("id_token")
    pages.stand_in(_frame(settings, shop))
    token = service.read_token(settings, given[0]) if len(given) == 1 else None
    if token is None:
        return _without_token(settings, shop, came_with_one=bool(given))
    if shop not in (None, token.shop):
        raise errors.NotFromShopify("it names one shop, and its session is another's")
    pages.stand_in(_frame(settings, token.shop))
    entry = service.enter(settings, token)
    if entry is None:
        db.end_request(200)  # nothing may be held while Shopify is called
        try:
            service.install(token.shop, given[0])
        except ShopifyError as error:
            if error.code != "grant_refused":
                raise
            return _without_token(settings, shop, came_with_one=True)  # it was good for us, and a moment too late
        entry = service.enter(settings, token)
    if entry is not None and entry.rights_are_old:
        db.end_request(200)
        service.learn_rights(entry, token.shop, given[0])
        entry = service.enter(settings, token)
    if entry is None:  # taken out again at this very moment
        raise errors.InstallNeeded(token.shop, _grant_address(settings, token.shop))
    _let_in(settings, token.shop, entry)
    return None


def _let_in(settings: Config, shop: str, entry: service.Entry) -> None:
    frame = _frame(settings, shop)
    if entry.missing_scopes:
        missing = scope_words(entry.missing_scopes)
        frame = replace(frame, missing_scopes=missing, grant_url=_grant_address(settings, shop))
    pages.stand_in(frame)
    pages.admit(entry.principal)


def _grant_address(settings: Config, shop: str) -> str:
    return rules.address(settings.app_url, "/auth", [("shop", shop)])


def _without_token(settings: Config, shop: str | None, *, came_with_one: bool) -> Response:
    """Where a document goes that has no good session token. A form that a script did not send can't go anywhere."""
    if request.method not in _DOCUMENTS:
        raise errors.SessionRefused
    if came_with_one and rules.has_bounced(request.args.get(rules.BOUNCED), clock.now()):
        raise errors.SessionRefused  # a new token is refused as well: our clock is wrong, or the app's secret
    if request.headers.get("Sec-Fetch-Dest") == "document":  # at the top of the browser, where App Bridge has no admin
        if shop is None:
            raise errors.NotFromShopify("Blossom lives inside the Shopify admin")
        return _unstored(
            redirect(rules.in_admin(shop, settings.shopify_admin_url, settings.shopify_api_key, request.path))
        )
    query = rules.own_query(list(request.args.items(multi=True)))
    again = [*query, (rules.BOUNCED, str(int(clock.now().timestamp())))]
    known = [
        (name, value)
        for name, value in query
        if name in ("shop", pages.LOCALE) or (name == "host" and rules.looks_like_host(value))
    ]
    reload = (rules.RELOAD, rules.address(settings.app_url, request.path, again))
    return _unstored(redirect(rules.address("", "/session/bounce", [*known, reload])))


def _shop_named() -> str | None:
    """The shop that the address names. Raises `NotFromShopify` for two of them, and for what is no shop's name."""
    given = request.args.getlist("shop")
    if not given:
        return None
    shop = domains.shop_domain(given[0]) if len(given) == 1 else None
    if shop is None:
        raise errors.NotFromShopify("its shop is not one")
    return shop


def _frame(settings: Config, shop: str | None) -> pages.Frame:
    return pages.Frame(
        rules.ancestors(shop, settings.shopify_admin_url), settings.shopify_api_key, settings.shopify_app_bridge_url
    )


def _unstored(response: Any) -> Response:
    answer = make_response(response)
    answer.headers["Cache-Control"] = "no-store"
    answer.vary.update((*htmx.ASKED_BY, "Authorization"))
    return answer

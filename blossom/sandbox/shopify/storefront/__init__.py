"""A shop's own site, as far as an app can be met there: a small theme with the app's embed block, and the app proxy.

The proxy does what Shopify's does: it signs the query, forwards method, body and the browser's address, takes cookies
out of both directions, waits five seconds, and renders `application/liquid` in the theme. What the theme renders is
Liquid by python-liquid, so a page whose typed words mean something to Liquid shows it here, too.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

import requests
from flask import Blueprint, Response, request

from blossom.sandbox.shopify import signing
from blossom.sandbox.shopify.state import Shop, State
from blossom.sandbox.shopify.storefront import checkout, theme

_SECONDS = 5.0
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_FORWARDED = ("Accept", "Accept-Language", "Content-Type", "User-Agent")
_ANSWERED = ("Content-Language", "Cache-Control", "Content-Security-Policy", "Referrer-Policy", "Vary", "X-Robots-Tag")
_RESERVED = frozenset({"shop", "path_prefix", "timestamp", "signature", "logged_in_customer_id"})


def blueprint(state: State) -> Blueprint:
    """What answers `<name>.storefront.test`."""
    routes = Blueprint("storefront", __name__)

    @routes.get("/")
    def home() -> Response:
        """The shop's home page, with the embed block, in the language of `?locale=`."""
        shop = _shop(state)
        if shop is None:
            return _plain("There is no such shop.", 404)
        page = theme.home(shop, _locale(shop), _prefix(state))
        return checkout.note_landing(Response(page, mimetype="text/html"))

    @routes.route("/<prefix>/<subpath>/<path:rest>", methods=_METHODS)
    def proxied(prefix: str, subpath: str, rest: str) -> Response:
        shop = _shop(state)
        if shop is None or shop.installation is None or f"/{prefix}/{subpath}" != _prefix(state):
            return _plain("There is nothing at this address.", 404)
        return _forward(state, shop, rest)

    return routes


def links(state: State) -> Blueprint:
    """Links to a shop's domain, either, lead to its own site: `/shops/<domain>/apps/…`, since this machine knows one
    address."""
    routes = Blueprint("storefront_links", __name__)

    @routes.get("/shops/<domain>/<prefix>/<subpath>/<path:rest>")
    def to_storefront(domain: str, prefix: str, subpath: str, rest: str) -> Response:
        with state.lock:
            shop = state.shops.get(domain) or state.shop_at(domain)
        if shop is None or f"/{prefix}/{subpath}" != _prefix(state):
            return _plain("There is nothing at this address.", 404)
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        where = f"{state.storefront_url(shop)}/{prefix}/{subpath}/{quote(rest)}{query}"
        return Response(status=302, headers={"Location": where})

    return routes


def _forward(state: State, shop: Shop, rest: str) -> Response:
    with state.lock:
        app, now = state.app, state.now()
    pairs = [(name, value) for name, value in request.args.items(multi=True) if name not in _RESERVED]
    pairs += [
        ("shop", shop.domain),
        ("logged_in_customer_id", ""),
        ("path_prefix", _prefix(state)),
        ("timestamp", str(int(now.timestamp()))),
    ]
    pairs.append(("signature", signing.proxy_signature(pairs, app.secret)))
    headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
    headers["X-Forwarded-For"] = request.remote_addr or ""
    try:
        answer = requests.request(
            request.method,
            f"{app.proxy_url}/{quote(rest)}?{urlencode(pairs)}",
            data=request.get_data(),
            headers=headers,
            timeout=_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException:
        return _plain("There was an error in the third-party application.", 502)
    body = answer.content
    content_type = answer.headers.get("Content-Type", "text/html")
    if content_type.partition(";")[0].strip() == "application/liquid":
        body = theme.page(shop, _locale(shop), answer.content.decode("utf-8", "replace")).encode()
        content_type = "text/html; charset=utf-8"
    response = Response(body, answer.status_code, content_type=content_type)
    for name in (*_ANSWERED, "Location"):
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    return response


def _shop(state: State) -> Shop | None:
    return state.shop_at(request.host)


def _prefix(state: State) -> str:
    with state.lock:
        return f"/{state.app.proxy_prefix}/{state.app.proxy_subpath}"


def _locale(shop: Shop) -> str:
    return request.args.get("locale", shop.locale)[:10]


def _plain(text: str, status: int) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")

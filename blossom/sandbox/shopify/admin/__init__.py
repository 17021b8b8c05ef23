"""Shopify's admin as a browser meets it: a page on a host of its own around the app, and a stand-in of App Bridge.

    /store/<shop>/apps/<app>/<path>   the app's page in the admin's frame; before the install, Shopify's question
    /app-bridge.js                    what the app loads first of all scripts
    /tokens/stale                     steering: `{"count": n}`, the next n session tokens are five minutes old

Whoever works in the admin is the shop's owner, or the member of its staff whose id a cookie `staff` names.

Nothing here knows the app but by `state.App`: what it frames is whatever listens at `app_url`.
"""

from __future__ import annotations

import base64
from urllib.parse import quote, urlencode, urlsplit

import orjson
from flask import Blueprint, Response, abort, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as Answer

from blossom.sandbox.shopify import signing
from blossom.sandbox.shopify.state import Shop, State

STALE_SECONDS = 300
_FILES = "files"


def blueprint(state: State) -> Blueprint:
    """The admin over `state`."""
    routes = Blueprint("admin", __name__, template_folder="templates")
    stale = _Stale()

    @routes.get("/store/<handle>/apps/<app>/")
    @routes.get("/store/<handle>/apps/<app>/<path:path>")
    def page(handle: str, app: str, path: str = "") -> str:
        with state.lock:
            shop = _shop(state, handle, app)
            shown = {"shop": shop, "app": state.app, "base": _base(handle, app)}
            if shop.installation is None:
                return render_template("question.html", **shown)
            source = f"{state.app.app_url}/{quote(path)}?{_signed_query(state, shop, stale)}"
            return render_template("admin.html", source=source, origin=_origin(state.app.app_url), **shown)

    @routes.post("/store/<handle>/apps/<app>/install")
    def install(handle: str, app: str) -> Answer:
        """The merchant says yes to what the app asks for."""
        with state.lock:
            state.install(_shop(state, handle, app))
        return redirect(f"{_base(handle, app)}/", 303)

    @routes.post("/store/<handle>/apps/<app>/id-token")
    def id_token(handle: str, app: str) -> Response:
        """What the admin's page asks for whenever App Bridge wants a session token."""
        with state.lock:
            shop = _shop(state, handle, app)
            if shop.installation is None:
                abort(403)
            return _json({"id_token": _token(state, shop, stale)})

    @routes.post("/tokens/stale")
    def make_stale() -> Response:
        given = request.get_json(force=True, silent=True)
        if not isinstance(given, dict) or not isinstance(given.get("count"), int):
            abort(400)
        with state.lock:
            stale.count = given["count"]
        return _json({"count": stale.count})

    @routes.get("/<name>.<any(js, css):kind>")
    def file(name: str, kind: str) -> Response:
        answer = send_from_directory(f"{routes.root_path}/{_FILES}", f"{name}.{kind}")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return routes


class _Stale:
    """How many of the next session tokens come too late."""

    count = 0


def _shop(state: State, handle: str, app: str) -> Shop:
    shop = state.shops.get(f"{handle}.myshopify.com")
    if shop is None or app not in (state.app.api_key, state.app.handle):
        abort(404)
    return shop


def _base(handle: str, app: str) -> str:
    return f"/store/{handle}/apps/{app}"


def _token(state: State, shop: Shop, stale: _Stale) -> str:
    """A session token of whoever is signed in."""
    member = shop.staff_member(request.cookies.get("staff", type=int))
    if not stale.count:
        return state.id_token(shop, member)
    stale.count -= 1
    issued = int(state.now().timestamp()) - STALE_SECONDS
    return state.id_token(shop, member, iat=issued, nbf=issued, exp=issued + 60)


def _signed_query(state: State, shop: Shop, stale: _Stale) -> str:
    """What the admin adds to the app's address when it loads it into the frame."""
    host = f"{request.host}/store/{shop.handle}"
    pairs = {
        **request.args.to_dict(),  # of the page itself, such as a list's filter
        "embedded": "1",
        "host": base64.urlsafe_b64encode(host.encode()).decode().rstrip("="),
        "id_token": _token(state, shop, stale),
        "locale": request.args.get("locale", shop.locale),  # the language of whoever is signed in
        "session": signing.random_id(),
        "shop": shop.domain,
        "timestamp": str(int(state.now().timestamp())),
    }
    return urlencode({**pairs, "hmac": signing.query_hmac(pairs.items(), state.app.secret)})


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")

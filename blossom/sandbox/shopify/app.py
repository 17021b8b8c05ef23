"""The stand-in as a WSGI app: who answers which host.

    admin.*               the admin's page around the app   admin/
    *.storefront.test     a shop's own site, app proxy      storefront/      (`state.Hosts`: `localhost` for `test`)
    any other host        the APIs: `/shops/<shop>/admin/oauth/…`, `/shops/<shop>/admin/api/<version>/graphql.json`,
                          `/bulk/<id>.jsonl`, and `/control/…`, by which tests and the demo steer the stand-in

Each is a Flask app of its own, so that each has all paths for itself. `/control/…` is there under every host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Blueprint, Flask

from blossom.sandbox.shopify import admin, control, graphql_api, oauth, storefront
from blossom.sandbox.shopify.admin import charges
from blossom.sandbox.shopify.state import State
from blossom.sandbox.shopify.storefront import checkout

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ADMIN: tuple[Callable[[State], Blueprint], ...] = (admin.blueprint, charges.blueprint)
"""What answers `admin.*`."""

STOREFRONT: tuple[Callable[[State], Blueprint], ...] = (storefront.blueprint, checkout.blueprint)
"""What answers `*.storefront.test`."""

APIS: tuple[Callable[[State], Blueprint], ...] = (
    oauth.blueprint,
    graphql_api.blueprint,
    graphql_api.files,
    storefront.links,
)
"""What answers any other host."""


def create_app(state: State) -> WSGIApplication:
    """The stand-in over `state`."""
    of_admin, of_storefront, apis = (_site(state, makers) for makers in (ADMIN, STOREFRONT, APIS))

    def by_host(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()
        if host.startswith("admin."):
            return of_admin(environ, start_response)
        if host.endswith(f".{state.hosts.storefronts}"):
            return of_storefront(environ, start_response)
        return apis(environ, start_response)

    return by_host


def _site(state: State, makers: Iterable[Callable[[State], Blueprint]]) -> Flask:
    site = Flask(__name__, static_folder=None)
    site.config["MAX_CONTENT_LENGTH"] = 32_000_000
    for make in (*makers, control.blueprint):
        site.register_blueprint(make(state))
    return site

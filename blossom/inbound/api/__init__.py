"""Webhooks' addresses: Mitto's (`routes`, and before the app `ingress`) and Shopify's."""

from __future__ import annotations

from flask import Flask

from blossom.inbound.api import routes, shopify
from blossom.inbound.api.ingress import ReceiptsIngress
from blossom.inbound.api.shopify import ShopifyIngress

__all__ = ["ReceiptsIngress", "ShopifyIngress", "init"]


def init(app: Flask) -> None:
    """Take webhooks at `app`. The receipts' ingress stands outermost: the web worker asks it for lots."""
    app.register_blueprint(routes.blueprint)
    app.register_blueprint(shopify.blueprint)
    app.wsgi_app = ShopifyIngress(app)  # type: ignore[method-assign]  # as Flask's documentation has it
    app.wsgi_app = ReceiptsIngress(app)  # type: ignore[method-assign]

"""The page on which a merchant approves or declines a charge of the app's: where a `confirmationUrl` leads.

Approved, the browser goes to the app's `returnUrl` with `charge_id`; declined, to the app in the admin, as Shopify has
done since December 2018 (its developer changelog), so the app hears of it by webhook or by asking.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from blossom.sandbox.shopify import billing, payloads
from blossom.sandbox.shopify.billing import Charge
from blossom.sandbox.shopify.state import Shop, State

_EVERY = {"EVERY_30_DAYS": "every 30 days", "ANNUAL": "every year", None: "once"}


def blueprint(state: State) -> Blueprint:
    """The page over `state`."""
    routes = Blueprint("charges", __name__, template_folder="templates")

    @routes.get("/store/<handle>/charges/<app>/<int:id>/confirm")
    def ask(handle: str, app: str, id: int) -> str:
        with state.lock:
            shop, charge = _named(state, handle, app, id)
            return _page(state, shop, charge)

    @routes.post("/store/<handle>/charges/<app>/<int:id>/confirm")
    def decide(handle: str, app: str, id: int) -> Response | tuple[str, int]:
        with state.lock:
            shop, charge = _named(state, handle, app, id)
            if request.form.get("answer") not in ("approve", "decline"):
                abort(400)
            approved = request.form["answer"] == "approve"
            try:
                billing.decide(state, shop, charge, approved=approved)
            except ValueError:
                return _page(state, shop, charge), 409
            if not approved:
                return redirect(f"/store/{shop.handle}/apps/{state.app.api_key}/", 303)
            joint = "&" if "?" in charge.return_url else "?"
            return redirect(f"{charge.return_url}{joint}{urlencode({'charge_id': charge.id})}", 303)

    return routes


def _named(state: State, handle: str, app: str, id: int) -> tuple[Shop, Charge]:
    """The charge that the address names and proves."""
    shop = state.shops.get(f"{handle}.myshopify.com")
    charge = shop.charges.get(id) if shop else None
    given = request.args.get("signature", "")
    if shop is None or charge is None or app != state.app.handle:
        abort(404)
    if not secrets.compare_digest(charge.key.encode(), given.encode("utf-8", "replace")):
        abort(404)
    return shop, billing.as_it_stands(state, shop, charge)


def _page(state: State, shop: Shop, charge: Charge) -> str:
    shown: dict[str, Any] = {"shop": shop, "app": state.app, "charge": charge, "every": _EVERY[charge.interval]}
    shown["amount"] = payloads.money(charge.amount)
    shown["cap"] = None if charge.capped_amount is None else payloads.money(charge.capped_amount)
    return render_template("charge.html", **shown)

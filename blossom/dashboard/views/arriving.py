"""`/import`: how far Shopify's customers have come in."""

from __future__ import annotations

from typing import Any

from flask import Response

from blossom.dashboard import queries, rules, service
from blossom.dashboard.queries import Arrival
from blossom.dashboard.views.routes import views
from blossom.platform import htmx, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound


@views.get("/import")
def customers_import() -> Response:
    """How far Shopify's customers have come in; the home page asks for it again until they have."""
    caller = pages.caller_with("contacts:read")
    return _arrival(caller)


@views.post("/import")
def import_again() -> Response:
    """Ask Shopify for its customers once more, and show how far they are."""
    caller = pages.caller_with("contacts:write")
    if queries.arrival(caller.shop_id) is None:
        raise NotFound("connection to Shopify")
    service.import_again(caller.shop_id, actor=caller.actor)
    return _arrival(caller)


def _arrival(caller: Principal) -> Response:
    found = queries.arrival(caller.shop_id)
    if found is None:
        raise NotFound("connection to Shopify")
    told = _words(caller, found)
    if htmx.wants_partial() and not found.is_open:  # the home page's figure, which has grown since it was shown
        told["contacts"] = queries.contacts_now(caller.shop_id)
    return htmx.page_or_partial("dashboard/import.html", "dashboard/_import.html", **told)


def _words(caller: Principal, arrival: Arrival | None) -> dict[str, Any]:
    return {"arrival": arrival, "words": rules, "may_import": "contacts:write" in caller.scopes}

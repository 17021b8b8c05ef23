"""`/settings`: how the shop texts, and how it asks for consent. `/import`: how far Shopify's customers have come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, request

from blossom.consent import queries as consents
from blossom.dashboard import forms, queries, rules, service
from blossom.dashboard.queries import Arrival
from blossom.dashboard.rules import Places
from blossom.platform import config, htmx, languages, pages
from blossom.platform.access import Principal
from blossom.platform.errors import InvalidInput, NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop

views = Blueprint("dashboard", __name__)


@views.get("/import")
def customers_import() -> Response:
    """How far Shopify's customers have come in; the home page asks for it again until they have."""
    caller = _caller("contacts:read")
    return _arrival(caller)


@views.post("/import")
def import_again() -> Response:
    """Ask Shopify for its customers once more, and show how far they are."""
    caller = _caller("contacts:write")
    if queries.arrival(caller.shop_id) is None:
        raise NotFound("connection to Shopify")
    service.import_again(caller.shop_id, actor=caller.actor)
    return _arrival(caller)


@views.get("/settings")
def settings() -> Response:
    caller = _caller("shop:read")
    shop = shops.get_shop(caller.shop_id)
    return _form(caller, shop, forms.as_typed(_stored(shop)), {})


@views.post("/settings")
def save_settings() -> Response:
    """The form again: with a toast once it is saved, or (422) with what is wrong beside what was typed."""
    caller = _caller("shop:write")
    given = forms.read(request.form)
    if given.faults:
        return _form(caller, shops.get_shop(caller.shop_id), given.typed, given.faults)
    try:
        shop = service.save_settings(caller.shop_id, given.changes, actor=caller.actor)
    except InvalidInput as refused:
        return _form(caller, shops.get_shop(caller.shop_id), given.typed, refused.details["fields"])
    answer = _form(caller, shop, forms.as_typed(_stored(shop)), {})
    answer.headers["HX-Trigger"] = orjson.dumps({"toast": {"words": "Settings saved"}}).decode()
    return answer


@views.get("/settings/consent")
def consent_settings() -> Response:
    caller = _caller("shop:read")
    return _consent_form(caller, _consent_as_typed(caller.shop_id), {})


@views.post("/settings/consent")
def save_consent_settings() -> Response:
    """As `save_settings`."""
    caller = _caller("shop:write")
    locales, stored = languages.supported(), consents.settings(caller.shop_id).wordings
    given = forms.read_consent(request.form, locales, stored)
    if given.faults:
        return _consent_form(caller, given.typed, given.faults)
    try:
        service.save_consent_settings(caller.shop_id, given.changes, given.keywords, actor=caller.actor)
    except InvalidInput as refused:
        return _consent_form(caller, given.typed, refused.details["fields"])
    answer = _consent_form(caller, _consent_as_typed(caller.shop_id), {})
    answer.headers["HX-Trigger"] = orjson.dumps({"toast": {"words": "Consent settings saved"}}).decode()
    return answer


def _consent_as_typed(shop_id: int) -> Mapping[str, str]:
    keywords = shops.get_shop(shop_id).stop_keywords
    return forms.consent_as_typed(consents.settings(shop_id), keywords, languages.supported())


def _consent_form(caller: Principal, typed: Mapping[str, str], faults: Mapping[str, str]) -> Response:
    shop = shops.get_shop(caller.shop_id)
    response = htmx.page_or_partial(
        "dashboard/consent_settings.html",
        "dashboard/_consent_settings.html",
        shop=shop,
        typed=typed,
        faults=faults,
        may_write="shop:write" in caller.scopes,
        languages=rules.wordings(languages.supported(), shop.name),
        places=_places(shop),
    )
    response.status_code = 422 if faults else 200
    return response


def _places(shop: Shop) -> Places | None:
    """None in an installation without Shopify."""
    settings = config.current()
    if not settings.shopify_api_key:
        return None
    shop_url = settings.shopify_shop_url.format(shop=shop.domain)
    return rules.places(shops.proxy_address(shop.id), shop_url, settings.shopify_api_key)


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


def _caller(scope: str) -> Principal:
    caller = pages.caller(request.path.strip("/"))
    caller.require(scope)
    return caller


def _form(caller: Principal, shop: Shop, typed: Mapping[str, str], faults: Mapping[str, str]) -> Response:
    context: dict[str, Any] = {"shop": shop, "typed": typed, "faults": faults}
    context["may_write"] = "shop:write" in caller.scopes
    response = htmx.page_or_partial("dashboard/settings.html", "dashboard/_settings.html", **context)
    response.status_code = 422 if faults else 200
    return response


def _stored(shop: Shop) -> dict[str, Any]:
    return {name: getattr(shop, name) for name in (*forms.TEXTS, *forms.TIMES, *forms.CAPS, "quiet_hours_on")}

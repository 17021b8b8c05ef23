"""`/settings/consent`: how shoppers are asked, in which words, and by which of their own they opt in and out."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request

from blossom.consent import queries as consents
from blossom.dashboard import forms, rules, service
from blossom.dashboard.rules import Places
from blossom.dashboard.views.routes import views
from blossom.platform import config, htmx, languages, pages
from blossom.platform.access import Principal
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import t
from blossom.shops import queries as shops
from blossom.shops.models import Shop


@views.get("/settings/consent")
def consent_settings() -> Response:
    caller = pages.caller_with("shop:read")
    return _consent_form(caller, _consent_as_typed(caller.shop_id), {})


@views.post("/settings/consent")
def save_consent_settings() -> Response:
    """As `save_settings`."""
    caller = pages.caller_with("shop:write")
    locales, stored = languages.supported(), consents.settings(caller.shop_id).wordings
    given = forms.read_consent(request.form, locales, stored)
    if given.faults:
        return _consent_form(caller, given.typed, given.faults)
    try:
        service.save_consent_settings(caller.shop_id, given.changes, given.keywords, actor=caller.actor)
    except InvalidInput as refused:
        return _consent_form(caller, given.typed, refused.details["fields"])
    answer = _consent_form(caller, _consent_as_typed(caller.shop_id), {})
    return htmx.toast(answer, t("Consent settings saved"))


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

"""`/settings`: whom texts are from, when nobody is texted, how often, and the shop's own numbers and country."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from blossom.contacts.rules import phones
from blossom.dashboard import forms, rules, service
from blossom.dashboard.views.routes import views
from blossom.platform import htmx, languages, pages
from blossom.platform.access import Principal
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import t
from blossom.shops import queries as shops
from blossom.shops.models import Shop


@views.get("/settings")
def settings() -> Response:
    caller = pages.caller_with("shop:read")
    shop = shops.get_shop(caller.shop_id)
    return _form(caller, shop, _stored(shop), {})


@views.post("/settings")
def save_settings() -> Response:
    """The form again: with a toast once it is saved, or (422) with what is wrong beside what was typed."""
    caller = pages.caller_with("shop:write")
    given = forms.read(request.form)
    if given.faults:
        return _form(caller, shops.get_shop(caller.shop_id), given.typed, given.faults)
    try:
        shop = service.save_settings(caller.shop_id, given.changes, given.numbers, actor=caller.actor)
    except InvalidInput as refused:
        return _form(caller, shops.get_shop(caller.shop_id), given.typed, refused.details["fields"])
    return htmx.toast(_form(caller, shop, _stored(shop), {}), t("Settings saved"))


def _form(caller: Principal, shop: Shop, typed: Mapping[str, str], faults: Mapping[str, str]) -> Response:
    context: dict[str, Any] = {"shop": shop, "typed": typed, "faults": faults}
    response = htmx.page_or_partial(
        "dashboard/settings.html",
        "dashboard/_settings.html",
        **context,
        may_write="shop:write" in caller.scopes,
        countries=languages.countries(languages.reader()),
        unanswerable=rules.is_unanswerable(shop.sender, shop.opt_out_text),
        most_numbers=rules.MOST_NUMBERS,
    )
    response.status_code = 422 if faults else 200
    return response


def _stored(shop: Shop) -> dict[str, str]:
    stored = {name: getattr(shop, name) for name in forms.STORED}
    return forms.as_typed(stored, [str(phones.in_groups(each)) for each in shops.trial_numbers(shop.id)])

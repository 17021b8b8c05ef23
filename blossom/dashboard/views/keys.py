"""`/settings/keys`: keys by which the shop's own programs use the API."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request

from blossom.dashboard import forms, rules, service
from blossom.dashboard.forms import KeyForm
from blossom.dashboard.views.routes import views
from blossom.platform import config, htmx, pages
from blossom.platform.access import SCOPES, Principal
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import t
from blossom.shops import queries as shops

REVOKED_SHOWN = 10

_REVOKE = "/settings/keys/<int:key_id>/revoke"


@views.get("/settings/keys")
def api_keys() -> Response:
    return _page(pages.caller_with("shop:read"), KeyForm())


@views.post("/settings/keys")
def create_api_key() -> Response:
    """The page, with the key in it: this once, for it is kept nowhere."""
    caller = pages.caller_with("shop:write")
    form = forms.read_key(request.form.get("name", ""), request.form.getlist("scope"))
    try:
        _, plain = service.create_api_key(caller, form.name, form.scopes)
    except InvalidInput as refused:
        return _page(caller, form, refused.details["fields"])
    return htmx.toast(_page(caller, KeyForm(), made=plain), t("Key created"))


@views.get(_REVOKE)
def ask_to_revoke(key_id: int) -> Response:
    caller = pages.caller_with("shop:write")
    return htmx.page_or_partial(
        "dashboard/revoke_key.html",
        "dashboard/_revoke_key.html",
        shop=shops.get_shop(caller.shop_id),
        key=shops.api_key(caller.shop_id, key_id),
    )


@views.post(_REVOKE)
def revoke_api_key(key_id: int) -> Response:
    caller = pages.caller_with("shop:write")
    service.revoke_api_key(caller.shop_id, key_id, actor=caller.actor)
    return htmx.toast(_page(caller, KeyForm()), t("Key revoked"))


def _page(
    caller: Principal, form: KeyForm, faults: Mapping[str, str] | None = None, made: str | None = None
) -> Response:
    """`made`: a new key, in plain."""
    keys = shops.api_keys(caller.shop_id)
    response = htmx.page_or_partial(
        "dashboard/keys.html",
        "dashboard/_keys.html",
        shop=shops.get_shop(caller.shop_id),
        keys=[key for key in keys if key.revoked_at is None],
        revoked=[key for key in keys if key.revoked_at is not None][:REVOKED_SHOWN],
        form=form,
        faults=faults or {},
        made=made,
        most=rules.MOST_KEYS,
        groups=rules.SCOPE_GROUPS,
        scope_words=SCOPES,
        api_url=config.current().app_url,
        may_write="shop:write" in caller.scopes,
    )
    response.status_code = 422 if faults else 200
    return response

"""`/settings/staff`: who of the shop's staff may do what here, as Shopify tells. Nothing is changed here."""

from __future__ import annotations

from typing import NamedTuple

from flask import Response

from blossom.dashboard.views.routes import views
from blossom.platform import config, htmx, pages
from blossom.platform.access import SHOP_SCOPES
from blossom.platform.errors import NotFound
from blossom.shopify.access_scopes import right_words
from blossom.shops import queries as shops
from blossom.shops import rules as shop_rules
from blossom.shops import service as shops_service
from blossom.shops.models import StaffMember

STAFF_SHOWN = 200


class Row(NamedTuple):
    """`may_act` None: what Shopify told is too old to hold, and it is asked at their next visit."""

    member: StaffMember
    is_you: bool
    may_act: bool | None


@views.get("/settings/staff")
def staff() -> Response:
    """Who was here, the latest first; for installations with Shopify, which alone knows staff."""
    caller = pages.caller_with("shop:read")
    settings = config.current()
    if not settings.shopify_api_key:
        raise NotFound("page")
    writing = [scope for scope in settings.shopify_scopes if scope.startswith("write_")]
    rows = []
    for member in shops.staff(caller.shop_id, STAFF_SHOWN):
        told = shops_service.known_rights(member)
        may_act = None if told is None else shop_rules.rights_of(told, settings.shopify_scopes) == SHOP_SCOPES
        rows.append(Row(member, caller.actor == f"staff:{member.id}", may_act))
    return htmx.page_or_partial(
        "dashboard/staff.html",
        "dashboard/_staff.html",
        shop=shops.get_shop(caller.shop_id),
        rows=rows,
        needed=right_words(writing or settings.shopify_scopes),
    )

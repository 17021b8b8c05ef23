"""`/`: the home page. `/going`: what is on its way, which asks again by itself while something is sent."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from blossom.campaigns.rules.states import STATE_WORDS, CampaignState
from blossom.dashboard import rules as import_words
from blossom.home import queries
from blossom.home.rules.trends import DAYS, HEIGHT, STEP
from blossom.platform import htmx, pages
from blossom.platform.access import Principal
from blossom.shops import queries as shops

views = Blueprint("home", __name__)


@views.get("/")
def home() -> Response:
    caller = pages.caller_with("campaigns:read")
    shown = queries.home(caller.shop_id)
    return htmx.page_or_partial(
        "home/home.html",
        "home/_home.html",
        home=shown,
        shop=shown.shop,
        going=shown.going,
        width=DAYS * STEP,
        height=HEIGHT,
        step=STEP,
        # Of the customers that come in from Shopify (dashboard/_import.html).
        arrival=shown.arrival,
        words=import_words,
        may_import="contacts:write" in caller.scopes,
        **_of_rows(caller),
    )


@views.get("/going")
def going() -> Response:
    caller = pages.caller_with("campaigns:read")
    return htmx.page_or_partial(
        "home/going.html",
        "home/_going.html",
        shop=shops.get_shop(caller.shop_id),
        going=queries.going(caller.shop_id),
        **_of_rows(caller),
    )


def _of_rows(caller: Principal) -> dict[str, Any]:
    return {
        "states": STATE_WORDS,
        "sending": CampaignState.SENDING,
        "may_write": "campaigns:write" in caller.scopes,
    }

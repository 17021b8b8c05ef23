"""`/campaigns/<id>/confirm`: the question before a campaign is sent, with its true numbers, and the yes.

As a page it stands by itself, without JavaScript too; elsewhere it is fetched into `#dialog` and opens as a dialog.
"""

from __future__ import annotations

import re

from flask import Response, make_response, request, url_for

from blossom.campaigns import service
from blossom.campaigns.rules import confirming as rules
from blossom.campaigns.rules.ab_test import LETTERS, AbTest
from blossom.campaigns.rules.confirming import Deed
from blossom.campaigns.service import Question
from blossom.campaigns.views.routes import views
from blossom.campaigns.views.words import decided_after
from blossom.platform import htmx, pages
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops

_DONE = {
    Deed.SEND: noted("It is being sent"),
    Deed.SCHEDULE: noted("Scheduled"),
    Deed.SEND_NOW: noted("It is being sent"),
}
_CREDITS = re.compile(r"-?[0-9]{1,18}")


@views.get("/campaigns/<int:campaign_id>/confirm")
def confirmation(campaign_id: int) -> Response:
    """The question; or, where there is none to ask, word of that.

    `waiting`: what a dialog waits for that looks again by itself: "counting", or the deed that was said yes to. It gets
    nothing (204) while that goes on, and is led to the campaign once the deed is done.
    """
    caller, waiting = pages.caller_with("campaigns:send"), request.args.get("waiting", "")
    asked = service.ask_to_confirm(caller.shop_id, campaign_id)
    if not isinstance(asked, Question):
        if waiting in _DONE:
            return _lead_to(campaign_id, t(_DONE[Deed(waiting)]))
        shop = shops.get_shop(caller.shop_id)
        return htmx.page_or_partial("campaigns/confirmed.html", "campaigns/_confirmed.html", campaign=asked, shop=shop)
    if waiting == Deed.SCHEDULE and asked.deed is Deed.SEND_NOW:
        return _lead_to(campaign_id, t(_DONE[Deed.SCHEDULE]))
    if asked.waits and waiting in (asked.waits, asked.deed):
        return make_response("", 204)
    return _shown(asked, again=asked.was_refused)


@views.post("/campaigns/<int:campaign_id>/confirm")
def confirm(campaign_id: int) -> Response:
    """Do it, and lead to the campaign; or ask again: 409 with the numbers as they are now, 422 for a mistyped one."""
    caller, given = pages.caller_with("campaigns:send"), request.form
    free = given.get("free", "")
    outcome = service.confirm_campaign(
        caller.shop_id,
        campaign_id,
        deed=given.get("deed", ""),
        mark=given.get("mark", "") if given.get("yes") else "",
        credits_free=int(free) if _CREDITS.fullmatch(free) else 0,
        typed=given.get("typed", ""),
        actor=caller.actor,
    )
    if outcome.asked_again is not None:
        response = _shown(outcome.asked_again, typed=given.get("typed", ""), fault=outcome.fault, again=True)
        response.status_code = 422 if outcome.fault else 409
        return response
    if outcome.checking is not None:
        return _shown(outcome.checking)
    words = _DONE[Deed(given["deed"])] if outcome.done else noted("That was done already")
    return _lead_to(campaign_id, t(words))


def _shown(asked: Question, *, typed: str = "", fault: str | None = None, again: bool = False) -> Response:
    partial = "campaigns/_confirm_waits.html" if asked.waits else "campaigns/_confirm.html"
    return htmx.page_or_partial(
        "campaigns/confirm.html",
        partial,
        asked=asked,
        typed=typed[:40],
        fault=fault,
        again=again and fault is None,
        left_out_words=rules.LEFT_OUT_WORDS,
        letters=LETTERS,
        decided_after=decided_after,
        rule=AbTest.from_json(asked.campaign.ab_test) if asked.campaign.ab_test else None,
    )


def _lead_to(campaign_id: int, words: str) -> Response:
    return htmx.lead_to(url_for("campaigns.campaign_page", campaign_id=campaign_id), words)

"""`/campaigns`: the list, searched, filtered, sorted, page by page; and what can be done to a row without leaving it.

A row's own address, `/campaigns/<id>/row`, gives it as it is now; `/campaigns/<id>/row/<deed>` asks (GET, for what
can't be undone) and does (POST).
"""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from blossom.campaigns import queries, service
from blossom.campaigns.errors import InvalidStatus
from blossom.campaigns.forms import listing as forms
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import pages as lists
from blossom.campaigns.queries.pages import Row
from blossom.campaigns.rules import listing as rules
from blossom.campaigns.rules.listing import RowDeed
from blossom.campaigns.rules.states import STATE_WORDS, Action, CampaignState, allowed_from, may
from blossom.campaigns.views.routes import views
from blossom.messaging import queries as messaging
from blossom.platform import htmx, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops

_DONE = {
    RowDeed.DUPLICATE: noted("Copied"),
    RowDeed.PAUSE: noted("Paused"),
    RowDeed.RESUME: noted("It goes on"),
    RowDeed.CANCEL: noted("Cancelled"),
    RowDeed.DELETE: noted("Deleted"),
}


@views.get("/campaigns")
def campaigns() -> Response:
    """A page of the list."""
    caller = pages.caller_with("campaigns:read")
    choice = forms.read_choice(request.args)
    if choice is None:
        raise NotFound("page")
    return htmx.page_or_partial(
        "campaigns/list.html",
        "campaigns/_list.html",
        shop=shops.get_shop(caller.shop_id),
        listing=lists.listing(caller.shop_id, choice),
        choice=choice,
        sorts=rules.SORT_WORDS,
        states=rules.SHOWN_STATES,
        address=rules.address,
        **_words(caller),
    )


@views.get("/campaigns/<int:campaign_id>/row")
def campaign_row(campaign_id: int) -> Response:
    """The row as it is now. While it is sent it asks for itself (`was`: its state then); what can be done to it, which
    nobody takes away from under a finger meanwhile, changes with its state only."""
    caller = pages.caller_with("campaigns:read")
    row = lists.row(caller.shop_id, campaign_id)
    response = _row(caller, row)
    if htmx.wants_partial() and request.args.get("was") not in (None, row.campaign.state.value):
        response.headers["HX-Reswap"] = "outerHTML"
    return response


@views.get("/campaigns/<int:campaign_id>/row/<any(cancel, delete):deed>")
def ask_row(campaign_id: int, deed: str) -> Response:
    """The question before what can't be undone, with what it will do."""
    caller = pages.caller_with(rules.needed(RowDeed(deed)))
    row = lists.row(caller.shop_id, campaign_id)
    _require(row.campaign, RowDeed(deed), caller)
    sent = row.campaign.dispatch_id
    return htmx.page_or_partial(
        "campaigns/row_question.html",
        "campaigns/_row_question.html",
        shop=shops.get_shop(caller.shop_id),
        row=row,
        deed=deed,
        held=messaging.held_credits(caller.shop_id, sent) if sent else 0,
        **_words(caller),
    )


@views.post("/campaigns/<int:campaign_id>/row/<any(duplicate, pause, resume, cancel, delete):deed>")
def do_row(campaign_id: int, deed: str) -> Response:
    """Do it, and show the row as it is then; a copy is shown above the row that it was made of."""
    done = RowDeed(deed)
    caller = pages.caller_with(rules.needed(done))
    name = queries.get_campaign(caller.shop_id, campaign_id).name
    shown = _do(caller, campaign_id, done)
    if request.headers.get("HX-Request") != "true":
        return make_response(redirect(url_for("campaigns.campaigns"), 303))
    if shown is None:
        response = make_response(render_template("campaigns/_row_gone.html", campaign_id=campaign_id, name=name))
    else:
        response = _row(caller, lists.row(caller.shop_id, shown), focused=True)
        if done is RowDeed.DUPLICATE:
            response.headers["HX-Reswap"] = "beforebegin"
    return htmx.toast(response, t(_DONE[done]))


def _do(caller: Principal, campaign_id: int, deed: RowDeed) -> int | None:
    """The campaign to show afterwards; None: it is gone."""
    shop_id, actor = caller.shop_id, caller.actor
    if deed is RowDeed.DUPLICATE:
        return service.duplicate_campaign(shop_id, campaign_id, actor=actor).id
    if deed is RowDeed.DELETE:
        service.delete_campaign(shop_id, campaign_id, actor=actor)
        return None
    if deed is RowDeed.PAUSE:
        service.pause_campaign(shop_id, campaign_id, actor=actor)
    elif deed is RowDeed.RESUME:
        service.resume_campaign(shop_id, campaign_id, actor=actor)
    else:
        service.cancel_campaign(shop_id, campaign_id, actor=actor)
    return campaign_id


def _require(campaign: Campaign, deed: RowDeed, caller: Principal) -> None:
    """Raise `InvalidStatus` where there is nothing to ask any more."""
    if deed not in rules.deeds(campaign.state, has_dispatch=campaign.dispatch_id is not None, rights=caller.scopes):
        action = Action.CANCEL if deed is RowDeed.CANCEL else Action.DELETE
        raise InvalidStatus(action.value, campaign.state.value, allowed_from(action))


def _row(caller: Principal, row: Row, *, focused: bool = False) -> Response:
    return htmx.page_or_partial(
        "campaigns/row.html",
        "campaigns/_row.html",
        shop=shops.get_shop(caller.shop_id),
        row=row,
        focused=focused,
        **_words(caller),
    )


def _words(caller: Principal) -> dict[str, Any]:
    """What a row asks its page for."""

    def deeds(campaign: Campaign) -> list[str]:
        sent = campaign.dispatch_id is not None
        return [deed.value for deed in rules.deeds(campaign.state, has_dispatch=sent, rights=caller.scopes)]

    return {
        "state_words": STATE_WORDS,
        "deeds": deeds,
        "may_write": "campaigns:write" in caller.scopes,
        "may_send": "campaigns:send" in caller.scopes,
        "may_edit": lambda campaign: may(Action.EDIT, campaign.state),
        "is_live": lambda campaign: campaign.state is CampaignState.SENDING,
    }

"""What a merchant does with a campaign on its way: pause, resume, cancel, choose the text that the rest gets, send
again, have Mitto asked.

Each deed is asked first, at the same address: GET shows what it will do with the numbers as they are, as a page of its
own, or for htmx as a question on the campaign's page; POST does it, and shows the campaign as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, request, url_for

from blossom.campaigns import errors
from blossom.campaigns import service as campaigns
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import letter_number
from blossom.campaigns.rules.states import Action, allowed_from, may
from blossom.campaigns.views import picture as pictures
from blossom.campaigns.views import watching
from blossom.campaigns.views.routes import views
from blossom.messaging import queries as messaging
from blossom.messaging.errors import BEING_ASKED_ABOUT, NothingToRetry
from blossom.messaging.service import RetryOutcome
from blossom.platform import config, htmx, ids, pages
from blossom.platform.access import Principal
from blossom.platform.languages import t, tn

MOST_CHOSEN = 100
"""Messages that a merchant may choose on a page and send again together."""


@views.get("/campaigns/<int:campaign_id>/pause")
def ask_pause(campaign_id: int) -> Response:
    return _ask(campaign_id, "pause", Action.PAUSE)


@views.post("/campaigns/<int:campaign_id>/pause")
def pause(campaign_id: int) -> Response:
    caller = _sender()
    campaigns.pause_campaign(caller.shop_id, campaign_id, actor=caller.actor)
    return _done(caller, campaign_id, t("Paused"))


@views.get("/campaigns/<int:campaign_id>/resume")
def ask_resume(campaign_id: int) -> Response:
    return _ask(campaign_id, "resume", Action.RESUME)


@views.post("/campaigns/<int:campaign_id>/resume")
def resume(campaign_id: int) -> Response:
    caller = _sender()
    campaigns.resume_campaign(caller.shop_id, campaign_id, actor=caller.actor)
    return _done(caller, campaign_id, t("It goes on"))


@views.get("/campaigns/<int:campaign_id>/cancel")
def ask_cancel(campaign_id: int) -> Response:
    return _ask(campaign_id, "cancel", Action.CANCEL)


@views.post("/campaigns/<int:campaign_id>/cancel")
def cancel(campaign_id: int) -> Response:
    """Afterwards the same sentences as the question's (`_question.html`), with what has come of it."""
    caller = _sender()
    campaign, outcome = campaigns.cancel_campaign(caller.shop_id, campaign_id, actor=caller.actor)
    handed = outcome.left + outcome.failed
    if campaign.dispatch_id is None or not (outcome.cancelled or handed or outcome.in_flight):  # its audience open yet
        return _done(caller, campaign_id, t("Cancelled"), [t("Nobody has got it yet, and nobody will.")])
    told = [tn("%(num)s text never leaves.", "%(num)s texts never leave.", outcome.cancelled)]
    if handed:
        told.append(
            tn(
                "%(num)s text was handed to Mitto, and can't be called back.",
                "%(num)s texts were handed to Mitto, and can't be called back.",
                handed,
            )
        )
    if outcome.in_flight:
        told.append(
            tn(
                "%(num)s is being handed to Mitto at this moment, and may still go.",
                "%(num)s are being handed to Mitto at this moment, and may still go.",
                outcome.in_flight,
            )
        )
    if outcome.released_credits:
        told.append(tn("%(num)s credit is free again.", "%(num)s credits are free again.", outcome.released_credits))
    return _done(caller, campaign_id, t("Cancelled"), told)


@views.get("/campaigns/<int:campaign_id>/winner/<any(a, b, c, d):letter>")
def ask_winner(campaign_id: int, letter: str) -> Response:
    """Whether the rest is to get this text."""
    return _ask(campaign_id, "winner", Action.CHOOSE_WINNER, letter=letter.upper())


@views.post("/campaigns/<int:campaign_id>/winner/<any(a, b, c, d):letter>")
def choose_winner(campaign_id: int, letter: str) -> Response:
    caller, number = _sender(), letter_number(letter.upper())
    assert number is not None, "the route knows letters only"
    campaigns.choose_winner(caller.shop_id, campaign_id, number, actor=caller.actor)
    return _done(caller, campaign_id, t("Text %(letter)s goes to the rest", letter=letter.upper()))


@views.get("/campaigns/<int:campaign_id>/retry-failed")
def ask_retry_failed(campaign_id: int) -> Response:
    return _ask(campaign_id, "retry_failed", Action.RETRY, chosen=_chosen(request.args.getlist("message")))


@views.post("/campaigns/<int:campaign_id>/retry-failed")
def retry_failed(campaign_id: int) -> Response:
    caller, chosen = _sender(), _chosen(request.form.getlist("message"))
    return _retried(
        caller,
        campaign_id,
        lambda: campaigns.retry_failed(caller.shop_id, campaign_id, chosen or None, actor=caller.actor),
    )


@views.get("/campaigns/<int:campaign_id>/retry-unconfirmed")
def ask_retry_unconfirmed(campaign_id: int) -> Response:
    return _ask(campaign_id, "retry_unconfirmed", Action.RETRY)


@views.post("/campaigns/<int:campaign_id>/retry-unconfirmed")
def retry_unconfirmed(campaign_id: int) -> Response:
    caller, even = _sender(), "even_asked_about" in request.form
    return _retried(
        caller,
        campaign_id,
        lambda: campaigns.retry_unconfirmed(caller.shop_id, campaign_id, even_asked_about=even, actor=caller.actor),
    )


@views.post("/campaigns/<int:campaign_id>/refresh")
def refresh(campaign_id: int) -> Response:
    """Have a job ask Mitto; the page shows how far it is."""
    caller = _sender()
    is_new = campaigns.ask_for_refresh(caller.shop_id, campaign_id, actor=caller.actor)
    return _done(caller, campaign_id, t("Mitto is being asked") if is_new else t("Mitto is being asked already"))


def _sender() -> Principal:
    return pages.caller_with("campaigns:send")


def _chosen(given: Sequence[str]) -> list[int]:
    """The ids among what a form or an address names, each once."""
    found = (ids.read_id(each) for each in given)
    return list(dict.fromkeys(each for each in found if each is not None))[:MOST_CHOSEN]


def _ask(campaign_id: int, deed: str, action: Action, **context: Any) -> Response:
    """The question. Raises `InvalidStatus` where there is nothing to ask any more."""
    caller = _sender()
    picture = pictures.picture(pictures.of(caller), campaign_id)
    campaign = picture.campaign
    if not may(action, campaign.state):
        raise errors.InvalidStatus(action.value, campaign.state.value, allowed_from(action))
    held = messaging.held_credits(caller.shop_id, campaign.dispatch_id) if campaign.dispatch_id else 0
    return htmx.page_or_partial(
        "campaigns/question.html",
        "campaigns/_question.html",
        picture=picture,
        deed=deed,
        held=held,
        hours=config.current().reservation_hours,
        **context,
    )


def _done(caller: Principal, campaign_id: int, words: str, told: Sequence[str] = ()) -> Response:
    """The campaign as it is now, whole, so that its stream begins anew. `told`: what came of it, in sentences."""
    answer = watching.show(
        pictures.of(caller), campaign_id, "campaigns/page.html", "campaigns/_campaign.html", told=told
    )
    answer.headers["HX-Replace-Url"] = url_for("campaigns.campaign_page", campaign_id=campaign_id)
    return htmx.toast(answer, words)


_LEFT_OUT = {
    "opted_out": ("%(num)s has opted out since.", "%(num)s have opted out since."),
    "failed_for_good": ("%(num)s failed for good.", "%(num)s failed for good."),
    "not_failed": ("%(num)s has not failed.", "%(num)s have not failed."),
    "being_asked_about": (
        "Mitto is being asked about %(num)s: try again in a minute.",
        "Mitto is being asked about %(num)s: try again in a minute.",
    ),
}


def _retried(caller: Principal, campaign_id: int, retry: Callable[[], tuple[Campaign, RetryOutcome]]) -> Response:
    try:
        _, outcome = retry()
    except NothingToRetry as nothing:
        raise errors.NothingToSendAgain(being_asked_about=BEING_ASKED_ABOUT in nothing.details["left_out"]) from nothing
    told = [tn("%(num)s text is sent again.", "%(num)s texts are sent again.", outcome.retried)]
    if outcome.credits:
        told.append(tn("%(num)s credit is held for it.", "%(num)s credits are held for it.", outcome.credits))
    told += [tn(*_LEFT_OUT[reason], people) for reason, people in outcome.left_out.items() if reason in _LEFT_OUT]
    return _done(
        caller, campaign_id, tn("%(num)s text is sent again", "%(num)s texts are sent again", outcome.retried), told
    )

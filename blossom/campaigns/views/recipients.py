"""`/campaigns/<id>/recipients`: who gets a campaign and how it went for each; and one message with its history.

A number that is searched for is sent in a form's body: an address would put it into histories and logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, request

from blossom.campaigns import errors, queries
from blossom.campaigns.forms import watching as forms
from blossom.campaigns.forms.watching import Choice, Search
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules import causes, outcomes
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.states import Action, may
from blossom.campaigns.views import picture as pictures
from blossom.campaigns.views import story
from blossom.campaigns.views.routes import views
from blossom.contacts import queries as contacts
from blossom.contacts.rules import phones
from blossom.links import queries as links
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Place, RecipientRow, Stretch
from blossom.platform import htmx, languages, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops

ON_A_PAGE = 50


@views.get("/campaigns/<int:campaign_id>/recipients")
def recipients(campaign_id: int) -> Response:
    """All of them, or those in one state, a page at a time, in the order in which they are texted."""
    caller = pages.caller_with("campaigns:read")
    choice = forms.read_choice(request.args)
    if choice is None:
        raise NotFound("page")
    campaign, dispatch_id = _sent(caller, campaign_id)
    after = Place(*choice.after) if choice.after else None
    found = messaging.stretch(caller.shop_id, dispatch_id, state=choice.state, after=after, limit=ON_A_PAGE)
    return _list(caller, campaign, dispatch_id, found, choice)


@views.post("/campaigns/<int:campaign_id>/recipients")
def search_recipients(campaign_id: int) -> Response:
    """The recipient with the number that was typed; or (422) what is wrong with it."""
    caller = pages.caller_with("contacts:read")
    campaign, dispatch_id = _sent(caller, campaign_id)
    asked = forms.read_search(request.form, shops.get_shop(caller.shop_id).default_country)
    rows = messaging.recipients(caller.shop_id, dispatch_id, phone=asked.phone, limit=1) if asked.phone else []
    response = _list(caller, campaign, dispatch_id, Stretch(rows, None), Choice(), asked)
    response.status_code = 422 if asked.fault else 200
    return response


@views.get("/campaigns/<int:campaign_id>/recipients/<int:message_id>")
def message(campaign_id: int, message_id: int) -> Response:
    """One message, and all that happened to it."""
    caller = pages.caller_with("campaigns:read")
    campaign, dispatch_id = _sent(caller, campaign_id)
    history = messaging.history(caller.shop_id, dispatch_id, message_id)
    phone = history.message.phone
    known = contacts.contact_by_phone(caller.shop_id, phone) if phone and "contacts:read" in caller.scopes else None
    shop = shops.get_shop(caller.shop_id)
    return htmx.page_or_partial(
        "campaigns/message.html",
        "campaigns/_message.html",
        campaign=campaign,
        shop=shop,
        message=history.message,
        letters=_letters(campaign),
        phone=shown_phone(caller, history.message),
        country=languages.country(history.message.country),
        contact=known,
        state_words=outcomes.STATES,
        story=story.tell(history, links.opened_by(caller.shop_id, message_id), shop.timezone),
    )


def shown_phone(caller: Principal, row: RecipientRow) -> str | None:
    """The number as the caller may see it; None: its person is forgotten."""
    if row.phone is None:
        return None
    return phones.in_groups(row.phone) if "contacts:read" in caller.scopes else phones.mask_phone(row.phone)


def _sent(caller: Principal, campaign_id: int) -> tuple[Campaign, int]:
    """The campaign and its dispatch. Raises `NotFound`, `NothingSent`."""
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    if campaign.dispatch_id is None:
        raise errors.NothingSent()
    return campaign, campaign.dispatch_id


def _list(
    caller: Principal,
    campaign: Campaign,
    dispatch_id: int,
    found: Stretch,
    choice: Choice,
    search: Search | None = None,
) -> Response:
    progress = messaging.progress(caller.shop_id, dispatch_id)
    context: dict[str, Any] = {
        "campaign": campaign,
        "shop": shops.get_shop(caller.shop_id),
        "rows": [(row, shown_phone(caller, row), _why(row)) for row in found.rows],
        "after": found.after,
        "choice": choice,
        "letters": _letters(campaign),
        "search": search,
        "total": progress.total,
        "outcomes": outcomes.outcomes(pictures.counts_of(progress), progress.total),
        "state_words": outcomes.STATES,
        "may_choose": choice.state == "failed"
        and "campaigns:send" in caller.scopes
        and may(Action.RETRY, campaign.state),
    }
    return htmx.page_or_partial("campaigns/recipients.html", "campaigns/_recipients.html", **context)


def _letters(campaign: Campaign) -> Sequence[str]:
    """What its texts are called, if there are several."""
    return AbTest.from_json(campaign.ab_test).letters if campaign.ab_test else ()


def _why(row: RecipientRow) -> str | None:
    """Why a message failed or was skipped, for `t`."""
    if row.state == "failed":
        return causes.words(row.error, row.delivery_status).happened
    return causes.skipped(row.reason) if row.state == "skipped" else None

"""`/campaigns/new` and `/campaigns/<id>/edit`: a campaign is written, looked at, tried, and handed to its confirmation.

One form. What is typed is saved by itself while it is a draft (`service.drafting`); what is planned already is saved by
a press of its button only, for a half-typed text must not go out at its hour. `/campaigns/preview` answers with all
that changes while one types, saves nothing, and counts nobody: `/campaigns/count` does that, once for each audience.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4, uuid5

import orjson
from flask import Response, make_response, redirect, render_template, request, url_for

from blossom.campaigns import queries, service
from blossom.campaigns.errors import ChangedMeanwhile, InvalidSchedule, InvalidStatus
from blossom.campaigns.forms import composing as forms
from blossom.campaigns.forms import several as texts
from blossom.campaigns.forms.composing import ComposeForm
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import composing, counting
from blossom.campaigns.queries.composing import Asked, Look
from blossom.campaigns.rules.ab_test import LETTERS, AbTest
from blossom.campaigns.rules.schedule import Schedule
from blossom.campaigns.rules.states import Action, CampaignState, Priority, may
from blossom.campaigns.service import Draft, Save
from blossom.campaigns.views import trying, words
from blossom.campaigns.views.routes import views
from blossom.campaigns.views.words import PRIORITY_WORDS, REASON_WORDS
from blossom.message_templates import queries as templates
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.wording import CURE_WORDS, snippets
from blossom.platform import clock, htmx, ids, pages, queue
from blossom.platform.access import Principal
from blossom.platform.errors import BlossomError, InvalidInput, NotFound
from blossom.platform.languages import noted, t
from blossom.segments import queries as segments
from blossom.segments.models import Segment
from blossom.segments.rules import Audience, Kind
from blossom.shops import queries as shops
from blossom.shops.models import Shop

SEGMENTS_SHOWN = 200
TEMPLATES_SHOWN = 20

_EDIT = "/campaigns/<int:campaign_id>/edit"


@dataclass(frozen=True)
class Kept:
    """How the form stands in the database. `state`: "new" (nothing yet), "saved", "unfit" (that, and it can't be sent),
    "changed" (by somebody else, while this was typed), "gone", "closed" (it is being sent), "refused". `reasons`: what
    is wrong, with `field` where it is.
    """

    state: str
    campaign: Campaign | None = None
    reasons: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    at: datetime | None = None

    @property
    def status(self) -> int:
        return {"new": 200, "saved": 200, "unfit": 200, "refused": 422, "gone": 404}.get(self.state, 409)

    @property
    def saved(self) -> Campaign | None:
        """The campaign, if it stands in the database as it does in the form."""
        return self.campaign if self.state in ("saved", "unfit") else None


@views.get("/campaigns/new")
def new_campaign() -> Response:
    """An empty page; `?template=`, `?segment=` fill in a text, or for whom it is."""
    caller = pages.caller_with("campaigns:write")
    form = _blank(caller.shop_id)
    if (template_id := ids.read_id(request.args.get("template", ""))) is not None:
        template = templates.get_template(caller.shop_id, template_id)
        form = replace(form, name=template.name, several=texts.of_stored(template.body, None))
    if (segment_id := ids.read_id(request.args.get("segment", ""))) is not None:
        form = replace(form, who="segments", include=(segments.segment(caller.shop_id, segment_id).id,))
    return _page(caller, form, Kept("new"))


@views.post("/campaigns/new")
def begin_campaign() -> Response:
    return _keep(pages.caller_with("campaigns:write"), None)


@views.get(_EDIT)
def edit_campaign(campaign_id: int) -> Response:
    """The page; of a campaign that can't be changed any more, the way to where it can be watched."""
    caller = pages.caller_with("campaigns:write")
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    if not may(Action.EDIT, campaign.state):
        return make_response(redirect(url_for("campaigns.campaign_page", campaign_id=campaign_id), 303))
    form = _as_typed(shops.get_shop(caller.shop_id), campaign)
    return _page(caller, form, Kept("saved", campaign, at=campaign.updated_at))


@views.post(_EDIT)
def save_campaign(campaign_id: int) -> Response:
    return _keep(pages.caller_with("campaigns:write"), campaign_id)


@views.post("/campaigns/preview")
def preview_campaign() -> Response:
    """All parts of the page that follow from what is typed."""
    caller = pages.caller_with("campaigns:write")
    shop, form = shops.get_shop(caller.shop_id), forms.read(request.form.to_dict(flat=False))
    known, form, lost = _segments(caller.shop_id, form)
    return _render("campaigns/_live.html", _live(shop, form, lost), segments=known)


@views.post("/campaigns/count")
def count_audience() -> Response:
    """Have whom the form names counted, unless somebody just has (`again`: even so). Once they are, or when a count was
    thrown away, the page looks once more; while a job counts, it asks here again."""
    caller = pages.caller_with("campaigns:write")
    shop, now = shops.get_shop(caller.shop_id), clock.now()
    _, form, _ = _segments(caller.shop_id, forms.read(request.form.to_dict(flat=False)))
    schedule, _ = _schedule(form, shop, now)
    planned = (schedule.scheduled_at if schedule else None) or now
    again, counted = bool(request.form.get("again")), None
    if form.audience:
        if again:
            counting.forget_census(shop.id, form.audience, planned)
        counted = service.counted(shop.id, form.audience, planned, now)
    response = make_response("")
    if counted or again or not form.audience:
        response.headers["HX-Trigger"] = "counted"
    response.headers["HX-Reswap"] = "none"
    return response


def _keep(caller: Principal, campaign_id: int | None) -> Response:
    """Save the form, and do what its button says (`do`): save, test, review. Nothing but the state of saving comes
    back, so nothing that was typed meanwhile is taken away."""
    shop, deed = shops.get_shop(caller.shop_id), request.form.get("do", "")
    if deed in ("test", "review"):
        caller.require("campaigns:send")
    _, form, lost = _segments(caller.shop_id, forms.read(request.form.to_dict(flat=False)))
    if form.page is None:
        raise InvalidInput({"page": "is missing: load the page again"})
    if request.form.get("anew"):  # what was deleted elsewhere goes on as another draft, the same for each click
        campaign_id, form = None, replace(form, page=uuid5(form.page, f"without {campaign_id}"), version=None)
    planned = campaign_id is not None and _is_planned(caller.shop_id, campaign_id)
    if deed == "test" and planned:
        return trying.answer(shop, trying.send(caller, campaign_id or 0, form))
    kept = _save(caller, shop, form, campaign_id)
    tried = trying.send(caller, kept.saved.id, form) if deed == "test" and kept.saved else None
    if deed == "review" and kept.saved:
        kept = _reviewed(shop, kept.saved, form, lost)
    if not htmx.wants_partial():
        if deed == "review" and kept.state == "saved" and kept.saved:
            return make_response(redirect(url_for("campaigns.confirmation", campaign_id=kept.saved.id), 303))
        return _page(caller, form, kept, tried)
    response = make_response(render_template("campaigns/_kept.html", kept=kept, form=form, shop=shop, tried=tried))
    response.status_code = kept.status
    response.headers["Cache-Control"] = "no-store"
    response.headers["Blossom-Kept"] = kept.state
    if kept.saved:
        response.headers["HX-Replace-Url"] = url_for("campaigns.edit_campaign", campaign_id=kept.saved.id)
        if kept.state == "saved":
            _and_then(response, kept.saved, deed)
    return response


def _and_then(response: Response, campaign: Campaign, deed: str) -> None:
    """What the press of a button leads to: a word, or the question with all numbers, as a dialog over the page."""
    if deed == "save":
        drafted = campaign.state is CampaignState.DRAFT
        htmx.toast(response, t("Saved") if drafted else t("Saved; it goes out as planned"))
    elif deed == "review":
        address = url_for("campaigns.confirmation", campaign_id=campaign.id)
        response.headers["HX-Trigger"] = orjson.dumps({"review": {"address": address}}).decode()


def _save(caller: Principal, shop: Shop, form: ComposeForm, campaign_id: int | None) -> Kept:
    """Write it down, or say why not. Of refusals nothing is left in the database."""
    if form.faults:
        campaign = queries.get_campaign(caller.shop_id, campaign_id) if campaign_id else None
        reasons = [{"field": name, "message": fault} for name, fault in form.faults.items()]
        return Kept("refused", campaign, reasons)
    name, test = form.name or t("Untitled campaign"), form.several.test
    draft = Draft(name, form.body, form.audience, form.priority, form.plan, ab_test=test)
    assert form.page is not None, "_keep() has seen to it"
    by = Save(form.page, form.turn, form.over or form.version, caller.actor)
    try:
        campaign = service.save_draft(caller.shop_id, campaign_id, draft, by)
    except ChangedMeanwhile:
        return Kept("changed", queries.get_campaign(caller.shop_id, campaign_id or 0))
    except NotFound:
        if campaign_id is None:
            raise
        return Kept("gone")
    except InvalidStatus:
        return Kept("closed", queries.get_campaign(caller.shop_id, campaign_id or 0))
    except BlossomError as refused:  # a planned campaign must stay fit for its hour
        if refused.status != 422:
            raise
        return Kept("refused", queries.get_campaign(caller.shop_id, campaign_id or 0), _reasons(refused))
    return Kept("saved", campaign, at=clock.now())


def _reasons(refused: BlossomError) -> list[Mapping[str, Any]]:
    if isinstance(refused, InvalidSchedule):
        return [{"field": "when", "message": refused.message, "actionable": refused.actionable}]
    return [{"field": _field(why), **why} for why in refused.details.get("reasons", [])] or [
        {"field": "body", "message": refused.message, "actionable": refused.actionable}
    ]


def _field(why: Mapping[str, Any]) -> str:
    """Where on the page it is mended."""
    if why["code"] in ("no_audience", "segment_gone", "no_recipients"):
        return "who"
    if why["code"] == "no_prices":
        return "cost"
    letter = why.get("text") or LETTERS[0]
    return "body" if letter == LETTERS[0] else f"body-{letter.lower()}"


def _reviewed(shop: Shop, campaign: Campaign, form: ComposeForm, lost: str | None) -> Kept:
    """It is saved; and whether something stands against sending it at any hour."""
    reasons = [{"field": _field(why), **why} for why in service.text_reasons(shop, campaign)]
    _, fault = _schedule(form, shop, clock.now())
    if fault:
        reasons.append({"field": "when", "message": fault})
    if lost:
        reasons.append({"field": "who", "message": lost})
    return Kept("unfit" if reasons else "saved", campaign, reasons, at=clock.now())


def _is_planned(shop_id: int, campaign_id: int) -> bool:
    try:
        return queries.get_campaign(shop_id, campaign_id).state is CampaignState.SCHEDULED
    except NotFound:
        return False


def _page(caller: Principal, form: ComposeForm, kept: Kept, tried: Mapping[str, Any] | None = None) -> Response:
    shop = shops.get_shop(caller.shop_id)
    known, form, lost = _segments(caller.shop_id, form)
    # Those of Shopify's, for the next look.
    queue.enqueue("customers.list_segments", queue="sync", unless_waiting=True, shop_id=shop.id)
    campaign = kept.campaign
    response = _render(
        "campaigns/compose.html",
        _live(shop, form, lost),
        campaign=campaign,
        kept=kept,
        tried=tried,
        page=form.page or uuid4(),
        planned=campaign is not None and campaign.state is CampaignState.SCHEDULED,
        may_send="campaigns:send" in caller.scopes,
        segments=known,
        standing=segments.readings(shop.id, [each.id for each in known if each.kind == Kind.SHOPIFY]),
        templates=templates.list_templates(caller.shop_id, trigger=Trigger.CAMPAIGN, limit=TEMPLATES_SHOWN),
        variables=snippets(Trigger.CAMPAIGN),
        priorities=PRIORITY_WORDS,
        letters=LETTERS,
        after_minutes=texts.after_minutes,
        minutes_words=words.minutes,
    )
    response.status_code = kept.status
    return response


def _live(shop: Shop, form: ComposeForm, lost: str | None) -> dict[str, Any]:
    """What follows from what is typed."""
    now = clock.now()
    schedule, plan_fault = _schedule(form, shop, now)
    somebody, person_fault = None, None
    if form.person_phone:
        somebody, person_fault = composing.person_by_phone(shop.id, form.person_phone)
    as_example = form.as_example and somebody is None
    asked = Asked(
        form.several.in_use,
        form.audience,
        schedule,
        form.person,
        somebody,
        as_example=as_example,
        word=t("there"),
        test=form.several.test,
    )
    look: Look = composing.look(shop.id, asked, now)
    return {
        "shop": shop,
        "form": form,
        "readings": service.readings_of(shop.id, form.audience),
        "look": look,
        "schedule": schedule,
        "plan_fault": plan_fault,
        "person_fault": person_fault,
        "lost": lost,
        "now": now,
        "cure_words": CURE_WORDS,
        "reason_words": REASON_WORDS,
        "city": words.city,
    }


def _schedule(form: ComposeForm, shop: Shop, now: datetime) -> tuple[Schedule | None, str | None]:
    try:
        return form.plan.schedule(shop.timezone, now), None
    except InvalidSchedule as fault:
        return None, fault.message


def _segments(shop_id: int, form: ComposeForm) -> tuple[Sequence[Segment], ComposeForm, str | None]:
    """The shop's segments, the form without those that it hasn't (any more), and a word about that."""
    known = segments.segments(shop_id, limit=SEGMENTS_SHOWN)
    there = {segment.id for segment in known}
    for segment_id in {*form.include, *form.exclude} - there:
        try:
            known = [*known, segments.segment(shop_id, segment_id)]
        except NotFound:
            continue
        there.add(segment_id)
    known = sorted(known, key=lambda segment: segment.name.casefold())
    if there.issuperset({*form.include, *form.exclude}):
        return known, form, None
    kept = replace(
        form,
        include=tuple(each for each in form.include if each in there),
        exclude=tuple(each for each in form.exclude if each in there),
    )
    return known, kept, noted("A segment that was chosen is no more. Look at the audience again.")


def _blank(shop_id: int) -> ComposeForm:
    """As it stands before anything is typed, with the shop's own numbers to try a text on."""
    return replace(forms.read({}), phones=", ".join(shops.trial_numbers(shop_id)))


def _as_typed(shop: Shop, campaign: Campaign) -> ComposeForm:
    """A stored campaign as the form shows it."""
    audience = Audience.from_json(campaign.audience) if campaign.audience else None
    return replace(
        _blank(campaign.shop_id),
        name=campaign.name,
        several=texts.of_stored(campaign.body, AbTest.from_json(campaign.ab_test) if campaign.ab_test else None),
        who="" if audience is None else "everybody" if audience.everybody else "segments",
        include=audience.segments if audience else (),
        exclude=audience.exclude if audience else (),
        priority=Priority(campaign.priority),
        plan=service.plan_of(shop, campaign),
        version=campaign.version,
        faults={},
    )


def _render(template: str, live: Mapping[str, Any], **context: Any) -> Response:
    response = make_response(render_template(template, **live, **context))
    response.vary.update(htmx.ASKED_BY)
    response.headers["Cache-Control"] = "no-store"
    return response

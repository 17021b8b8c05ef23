"""A merchant's yes: asked with the numbers as they are now, and taken for these very numbers only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from blossom.campaigns import errors, queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules import confirming as rules
from blossom.campaigns.rules.confirming import Deed, LocalMoment
from blossom.campaigns.rules.plans import Plan, When
from blossom.campaigns.rules.schedule import Schedule
from blossom.campaigns.rules.states import CampaignState
from blossom.campaigns.service import fitness
from blossom.campaigns.service.locking import lock
from blossom.campaigns.service.sending import enqueue_campaign
from blossom.campaigns.service.writing import schedule_campaign
from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.queries import census, previewing
from blossom.messaging.rules.caps import Caps
from blossom.platform import clock
from blossom.platform.languages import noted
from blossom.shops import queries as shops
from blossom.shops.models import Shop


@dataclass(frozen=True)
class Question:
    """Everything that is shown before a yes, as it is at one moment.

    `reasons`: why it can't be sent (`code`, `message`, `actionable`); with a faulty text, or nobody chosen, there is
    nothing to count, and `seen` is None. `first`, `last`: when texts leave; None without recipients. `later`: moment →
    people who are not texted at once. `mark` changes with all of that.
    """

    campaign: Campaign
    shop: Shop
    deed: Deed
    reasons: list[dict[str, Any]]
    seen: previewing.Preview | None = None
    first: LocalMoment | None = None
    last: LocalMoment | None = None
    later: dict[datetime, int] = field(default_factory=dict)
    sample: previewing.Sample | None = None
    mark: str = ""

    @property
    def recipients(self) -> int:
        return self.seen.estimate.recipients - self.seen.estimate.unrenderable if self.seen else 0

    @property
    def left_out(self) -> dict[str, int]:
        """Reason → people of the audience who get nothing, the most first."""
        if self.seen is None:
            return {}
        reasons = dict(self.seen.left_out)
        if self.seen.estimate.unrenderable:
            reasons["missing_value"] = self.seen.estimate.unrenderable
        return dict(sorted(reasons.items(), key=lambda item: -item[1]))

    @property
    def is_large(self) -> bool:
        return self.recipients >= rules.LARGE

    @property
    def credits_free(self) -> int:
        return self.seen.credit.available if self.seen else 0

    @property
    def credits_after(self) -> int:
        """Credits left once all is sent; less than none when it can't be paid for."""
        return self.credits_free - self.seen.estimate.credits if self.seen else 0


def ask_to_confirm(shop_id: int, campaign_id: int) -> Question | Campaign:
    """The question; or the campaign, of which nothing can be asked: it is on its way, or has ended.

    Reads the whole audience once. Raises `NotFound`.
    """
    campaign = queries.get_campaign(shop_id, campaign_id)
    return _question(campaign) or campaign


@dataclass(frozen=True)
class Outcome:
    """What became of a yes. `done`: this very call did it; else, without `asked_again`, it had been done before.

    `asked_again`: nothing was done, and this is how it stands now; `fault`: what is wrong with the number typed, None
    when the numbers are not those that were shown.
    """

    campaign: Campaign
    done: bool = False
    asked_again: Question | None = None
    fault: str | None = None


def confirm_campaign(
    shop_id: int, campaign_id: int, *, deed: str, mark: str, credits_free: int, typed: str, actor: str
) -> Outcome:
    """Take the yes to a question as it was shown: `deed` and `mark` are its own, `credits_free` what it said is free.

    Of many clicks one does it, the others find it done. Raises `NotFound`, and what enqueueing and planning raise.
    """
    campaign = lock(shop_id, campaign_id)
    if deed == Deed.SCHEDULE and campaign.state is CampaignState.SCHEDULED:
        return Outcome(campaign)
    question = _question(campaign)
    if question is None:
        return Outcome(campaign)
    shown = question.deed == deed and question.mark == mark
    if not shown or question.reasons or question.credits_free < credits_free:
        return Outcome(campaign, asked_again=question)
    if question.is_large and rules.typed_number(typed) != question.recipients:
        fault = noted("The number must be %(number)s, as many as get it.", number=question.recipients)
        return Outcome(campaign, asked_again=question, fault=fault)
    if question.deed is not Deed.SCHEDULE:
        return Outcome(enqueue_campaign(shop_id, campaign_id, judged=True, actor=actor), done=True)
    plan = Plan.from_json(campaign.plan)
    wall = plan.wall()
    assert wall is not None, "it would be among the reasons"
    local = plan.when is When.LOCAL
    return Outcome(schedule_campaign(shop_id, campaign_id, wall, local=local, actor=actor), done=True)


def _question(campaign: Campaign) -> Question | None:
    """Everything as it is now; None where there is nothing to ask."""
    plan = Plan.from_json(campaign.plan)
    deed = rules.deed_of(campaign.state, has_hour=plan.when is not When.NOW)
    if deed is None:
        return None
    shop, now = shops.get_shop(campaign.shop_id), clock.now()
    hour, reasons = None, fitness.text_reasons(shop, campaign)
    if deed is Deed.SCHEDULE:
        try:
            hour = plan.schedule(shop.timezone, now)
        except errors.InvalidSchedule as refused:
            reasons.append({"code": refused.code, "message": refused.message, "actionable": refused.actionable})
    if reasons:
        return Question(campaign, shop, deed, reasons, mark=rules.mark({"version": campaign.version}))
    return _counted(campaign, shop, deed, now, hour)


def _counted(campaign: Campaign, shop: Shop, deed: Deed, now: datetime, hour: Schedule | None) -> Question:
    not_before, local_at = (hour.scheduled_at, hour.local_at) if hour else (None, None)
    audience = fitness.audience_of(campaign)
    assert audience is not None, "text_reasons() has seen to it"
    source = fitness.source_of(shop, campaign.body)
    compiled = language.compile_text(source, Trigger.CAMPAIGN)
    caps = Caps(shop.daily_cap, shop.weekly_cap)
    counted = census.take(shop.id, audience, caps, now=now, planned=max(now, not_before or now))
    seen = previewing.of_census(shop, counted, compiled, shop.sender, now=now, not_before=not_before, local_at=local_at)
    due = [
        (moment, zone, people)
        for (zone, country), number in counted.places().items()
        for moment, people in previewing.due_moments(shop, {(zone, country): number}, now, not_before, local_at).items()
    ]
    first, last = rules.ends(due, now) or (None, None)
    later = rules.later(due, now)
    facts = {
        "deed": deed,
        "version": campaign.version,
        "source": source,
        "sender": shop.sender,
        "left_out": sorted(seen.left_out.items()),
        "costs": seen.estimate,
        "hour": [not_before, local_at],
        "later": later,
    }
    return Question(
        campaign,
        shop,
        deed,
        [{"code": why.code, "message": why.message, "actionable": why.actionable} for why in seen.objections],
        seen,
        first,
        last,
        later,
        _sample(shop, compiled, counted),
        rules.mark(facts),
    )


def _sample(shop: Shop, compiled: language.CompiledText, counted: census.Census) -> previewing.Sample | None:
    """The text as somebody gets it: whoever of the audience has been here longest."""
    someone = [group.someone for group in counted.groups[:1]]
    values = previewing.values_for_all(shop, compiled, shop.sender)
    found = (previewing.sample_of(contact, compiled, values) for contact in previewing.some_contacts(shop.id, someone))
    return next(filter(None, found), None)

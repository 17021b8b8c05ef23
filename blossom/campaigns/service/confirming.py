"""A merchant's yes: asked with the numbers as they are now, and taken for these very numbers only.

In a shop that is too large to be read in a request (`counting.is_at_once`) the question shows a count of the last
minute, and a yes is kept (`Yes`) until a job has counted everybody once more: what it does, it does for the numbers
that were shown, or not at all (decision 0037).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import text

from blossom.campaigns import errors, queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import counting as kept
from blossom.campaigns.queries import yeses
from blossom.campaigns.rules import confirming as rules
from blossom.campaigns.rules.confirming import Deed, LocalMoment
from blossom.campaigns.rules.plans import Plan, When
from blossom.campaigns.rules.schedule import Schedule
from blossom.campaigns.rules.states import CampaignState
from blossom.campaigns.service import counting, fitness, shopify_segments
from blossom.campaigns.service.locking import lock
from blossom.campaigns.service.sending import enqueue_campaign
from blossom.campaigns.service.writing import schedule_campaign
from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.queries import previewing
from blossom.messaging.queries.census import Census
from blossom.platform import clock, gsm, queue
from blossom.platform.db import session
from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted
from blossom.segments.rules import Audience, Reading
from blossom.shops import queries as shops
from blossom.shops.models import Shop

log = structlog.get_logger()

SHOWN_FOR = timedelta(minutes=1)
"""A count is shown as how it stands now for so long."""

HOLDS_FOR = timedelta(minutes=10)
"""A yes that no job has found by then, however the numbers are, is asked for again."""

_KEEP = text("""
INSERT INTO campaign_yeses AS y (campaign_id, shop_id, deed, mark, credits_free, actor, said_at)
VALUES (:campaign_id, :shop_id, :deed, :mark, :credits_free, :actor, :now)
ON CONFLICT (campaign_id) DO UPDATE
SET deed = excluded.deed, mark = excluded.mark, credits_free = excluded.credits_free, actor = excluded.actor,
    said_at = excluded.said_at, refused_at = NULL
WHERE y.refused_at IS NOT NULL OR y.mark <> excluded.mark OR y.deed <> excluded.deed
RETURNING campaign_id
""")

Count = Callable[[Shop, Audience, datetime, datetime], Census | None]
"""Whom the shop's audience has, for a planned moment, now; None: they are being counted."""


class Waits(StrEnum):
    """Why a question can't be answered yet."""

    COUNTING = "counting"
    CHECKING = "checking"  # a yes: everybody is counted once more
    READING = "reading"  # segments of Shopify's, whose members are being read


@dataclass(frozen=True)
class Question:
    """Everything that is shown before a yes, as it is at one moment.

    `reasons`: why it can't be sent (`code`, `message`, `actionable`); with a faulty text, or nobody chosen, there is
    nothing to count, and `seen` is None. `first`, `last`: when texts leave; None without recipients. `later`: moment →
    people who are not texted at once. `mark` changes with all of that. `waits`: nothing can be said yet. `was_refused`:
    there was a yes, to numbers that have changed meanwhile. `readings`: how the audience's segments of Shopify's stand.
    `may_cost_less`: names are put in capitals, and of some it isn't known whether that saves.
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
    waits: Waits | None = None
    readings: list[Reading] = field(default_factory=list)
    was_refused: bool = False
    may_cost_less: bool = False

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

    Reads the whole audience of a small shop once, of a large one nobody. Raises `NotFound`.
    """
    campaign = queries.get_campaign(shop_id, campaign_id)
    yes = yeses.yes_to(shop_id, campaign_id)
    if yes is not None and yes.refused_at is None and _deed_of(campaign) is not None:
        return Question(campaign, shops.get_shop(shop_id), Deed(yes.deed), [], waits=Waits.CHECKING)
    question = _question(campaign, _for_a_look)
    if question is None:
        return campaign
    refused_at = yes.refused_at if yes else None
    return replace(question, was_refused=refused_at is not None and refused_at + HOLDS_FOR > clock.now())


@dataclass(frozen=True)
class Outcome:
    """What became of a yes. `done`: this very call did it; else, without `asked_again`, it had been done before.

    `asked_again`: nothing was done, and this is how it stands now; `fault`: what is wrong with the number typed, None
    when the numbers are not those that were shown. `checking`: a job does it, if the numbers still are.
    """

    campaign: Campaign
    done: bool = False
    asked_again: Question | None = None
    fault: str | None = None
    checking: Question | None = None


def confirm_campaign(
    shop_id: int, campaign_id: int, *, deed: str, mark: str, credits_free: int, typed: str, actor: str
) -> Outcome:
    """Take the yes to a question as it was shown: `deed` and `mark` are its own, `credits_free` what it said is free.

    Of many clicks one does it, the others find it done. Raises `NotFound`, and what enqueueing and planning raise.
    """
    campaign = lock(shop_id, campaign_id)
    if deed == Deed.SCHEDULE and campaign.state is CampaignState.SCHEDULED:
        return Outcome(campaign)
    at_once = counting.is_at_once(shop_id)
    question = _question(campaign, _for_a_look if at_once else _as_kept, waits=False)
    if question is None:
        return Outcome(campaign)
    if question.waits or not _is_as_shown(question, deed, mark, credits_free):
        return Outcome(campaign, asked_again=question)
    if question.is_large and rules.typed_number(typed) != question.recipients:
        fault = noted("The number must be %(number)s, as many as get it.", number=question.recipients)
        return Outcome(campaign, asked_again=question, fault=fault)
    if at_once:
        return Outcome(_do(question, actor), done=True)
    _keep_yes(question, credits_free, actor)
    return Outcome(campaign, checking=replace(question, waits=Waits.CHECKING))


def _is_as_shown(question: Question, deed: str, mark: str, credits_free: int) -> bool:
    same = question.deed == deed and question.mark == mark
    return same and not question.reasons and question.credits_free >= credits_free


def _do(question: Question, actor: str) -> Campaign:
    campaign = question.campaign
    if question.deed is not Deed.SCHEDULE:
        return enqueue_campaign(campaign.shop_id, campaign.id, judged=True, actor=actor)
    plan = Plan.from_json(campaign.plan)
    wall = plan.wall()
    assert wall is not None, "it would be among the reasons"
    return schedule_campaign(campaign.shop_id, campaign.id, wall, local=plan.when is When.LOCAL, actor=actor)


def _keep_yes(question: Question, credits_free: int, actor: str) -> None:
    """Of several clicks that say the same the first makes the job."""
    campaign = question.campaign
    values = {
        "campaign_id": campaign.id,
        "shop_id": campaign.shop_id,
        "deed": question.deed.value,
        "mark": question.mark,
        "credits_free": credits_free,
        "actor": actor,
        "now": clock.now(),
    }
    if session.execute(_KEEP, values).one_or_none() is not None:
        queue.enqueue("campaigns.take_yes", shop_id=campaign.shop_id, campaign_id=campaign.id)


def take_yes(shop_id: int, campaign_id: int) -> None:
    """Count everybody once more, and do what a yes was said to, if all is as it was shown; else ask again.

    Of several calls one does it. The count is made before the campaign is locked, so that nobody waits for it.
    """
    count = _Once()
    if yeses.yes_to(shop_id, campaign_id) is None:  # another job took it, or the draft was thrown away
        return
    campaign = queries.get_campaign(shop_id, campaign_id)
    _question(campaign, count, waits=False)
    campaign = lock(shop_id, campaign_id)  # as is who keeps a yes
    yes = yeses.yes_to(shop_id, campaign_id)
    if yes is None or yes.refused_at is not None:
        return
    question = _question(campaign, count, waits=False)
    if question is None:  # it is on its way by another, or has ended
        session.delete(yes)
        return
    try:
        if yes.said_at + HOLDS_FOR >= clock.now() and _is_as_shown(question, yes.deed, yes.mark, yes.credits_free):
            with session.begin_nested():
                _do(question, yes.actor)
            session.delete(yes)
            return
    except BlossomError as refused:  # the shop has left, say: the question says so from now on
        log.warning("campaigns.yes_refused", shop_id=shop_id, campaign_id=campaign_id, code=refused.code)
    yes.refused_at = clock.now()
    session.flush()


def _for_a_look(shop: Shop, audience: Audience, planned: datetime, now: datetime) -> Census | None:
    """Of a small shop as it is now."""
    since = now if counting.is_at_once(shop.id) else now - SHOWN_FOR
    return counting.counted(shop.id, audience, planned, now, since=since)


def _as_kept(shop: Shop, audience: Audience, planned: datetime, now: datetime) -> Census | None:
    """What the merchant has seen, unless somebody counted since."""
    return counting.counted(shop.id, audience, planned, now)


class _Once:
    """Counts an audience anew the first time, and remembers."""

    def __init__(self) -> None:
        self._counted: tuple[Audience, Census] | None = None

    def __call__(self, shop: Shop, audience: Audience, planned: datetime, now: datetime) -> Census:
        if self._counted is None or self._counted[0] != audience:
            self._counted = audience, kept.take_census(shop.id, audience, planned, now)
        return self._counted[1]


def _deed_of(campaign: Campaign) -> Deed | None:
    return rules.deed_of(campaign.state, has_hour=Plan.from_json(campaign.plan).when is not When.NOW)


def _question(campaign: Campaign, count: Count, *, waits: bool = True) -> Question | None:
    """Everything as it is now; None where there is nothing to ask. `waits`: for segments of Shopify's that were not
    read just now; a yes to numbers that were shown doesn't."""
    deed = _deed_of(campaign)
    if deed is None:
        return None
    plan = Plan.from_json(campaign.plan)
    shop, now = shops.get_shop(campaign.shop_id), clock.now()
    hour, reasons = None, fitness.text_reasons(shop, campaign)
    if deed is Deed.SCHEDULE:
        try:
            hour = plan.schedule(shop.timezone, now)
        except errors.InvalidSchedule as refused:
            reasons.append({"code": refused.code, "message": refused.message, "actionable": refused.actionable})
    if reasons:
        return Question(campaign, shop, deed, reasons, mark=rules.mark({"version": campaign.version}))
    audience = fitness.audience_of(campaign)
    assert audience is not None, "text_reasons() has seen to it"
    readings = shopify_segments.look(shop.id, audience)
    if waits and shopify_segments.must_wait(readings, now):
        return Question(campaign, shop, deed, [], waits=Waits.READING, readings=readings)
    counted = count(shop, audience, max(now, (hour and hour.scheduled_at) or now), now)
    if counted is None:
        return Question(campaign, shop, deed, [], waits=Waits.COUNTING)
    return replace(_with_numbers(campaign, shop, deed, now, hour, counted), readings=readings)


def _with_numbers(
    campaign: Campaign, shop: Shop, deed: Deed, now: datetime, hour: Schedule | None, counted: Census
) -> Question:
    not_before, local_at = (hour.scheduled_at, hour.local_at) if hour else (None, None)
    sources, test = fitness.sources_of(shop, campaign), fitness.test_of(campaign)
    texts = [language.compile_text(source, Trigger.CAMPAIGN) for source in sources]
    seen = previewing.of_census(
        shop,
        counted,
        texts,
        shop.sender,
        shares=test.shares if test else (),
        now=now,
        not_before=not_before,
        local_at=local_at,
    )
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
        "source": sources,
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
        _sample(shop, texts[0], counted),
        rules.mark(facts),
        may_cost_less=_may_cost_less(texts, counted),
    )


def _may_cost_less(texts: Sequence[language.CompiledText], counted: Census) -> bool:
    """A name kept before sizes told of capitals counts as dear in them too, as those of other scripts do."""
    large = {use.variable for each in texts for use in each.uses if "upper" in use.filters}
    names = [name for name in ("first_name", "last_name") if large & {name, "full_name"}]
    sizes = (getattr(group, f"{name}_size") for group in counted.groups for name in names)
    return any(size < 0 and not gsm.is_gsm_in_capitals(size) for size in sizes)


def _sample(shop: Shop, compiled: language.CompiledText, counted: Census) -> previewing.Sample | None:
    """The text as somebody gets it: whoever of the audience has been here longest."""
    someone = [group.someone for group in counted.groups[:1]]
    values = previewing.values_for_all(shop, compiled, shop.sender)
    found = (previewing.sample_of(contact, compiled, values) for contact in previewing.some_contacts(shop.id, someone))
    return next(filter(None, found), None)

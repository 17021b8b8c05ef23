"""What the compose page does: it saves while somebody types, from several tabs perhaps, over a network that comes and
goes.

A page has a number of its own each time it is loaded, and numbers its saves. So a save whose answer was lost may come
again, a late one changes nothing, and what another page (or the API) changed meanwhile is never overwritten unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from blossom.campaigns import errors
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.plans import Plan, When
from blossom.campaigns.rules.schedule import ScheduleKind
from blossom.campaigns.rules.states import Action, CampaignState, Priority
from blossom.campaigns.service import planning, writing
from blossom.campaigns.service.locking import lock, require
from blossom.platform import clock
from blossom.platform.db import lock_for_transaction, session
from blossom.segments.rules import Audience
from blossom.shops import queries as shops


@dataclass(frozen=True)
class Draft:
    """All that the compose page holds of a campaign. It may be unfinished."""

    name: str
    body: str
    audience: Audience | None
    priority: Priority
    plan: Plan
    ab_test: AbTest | None = None


@dataclass(frozen=True)
class Save:
    """Who saves: `page`, as its `turn`th save, having seen `version` of the campaign (None: it had none yet)."""

    page: UUID
    turn: int
    version: int | None
    actor: str


def save_draft(shop_id: int, campaign_id: int | None, draft: Draft, by: Save) -> Campaign:
    """Keep a draft as it stands on the page; without an id it is begun, once for each page.

    Of a planned campaign the text must stay fit for its hour, and another hour plans it anew (`When.NOW`: makes it a
    draft again). Raises `NotFound`, `InvalidStatus`, `ChangedMeanwhile`, `InvalidInput` for a segment that is not
    there; of a planned one `CannotSend`, `InvalidSchedule`.
    """
    if campaign_id is None:
        campaign_id = _begun_on(shop_id, by.page)
        if campaign_id is None:
            return _begin(shop_id, draft, by)
    campaign = lock(shop_id, campaign_id)
    require(campaign, Action.EDIT)
    if campaign.saved_on == by.page and by.turn <= (campaign.saved_turn or 0):
        return campaign  # it was overtaken on its way
    if _is(campaign, draft):
        return campaign
    if by.version != campaign.version and campaign.saved_on != by.page:
        raise errors.ChangedMeanwhile(campaign.version)
    with session.begin_nested():  # so that a refused change leaves nothing behind, whoever catches the refusal
        if campaign.state is CampaignState.SCHEDULED:
            _plan_anew(campaign, draft, by)
        else:
            first = campaign.saved_on != by.page
            writing.change(campaign, _fields(draft), note_by=by.actor if first else None)
            campaign.plan = _stored(draft.plan)
        campaign.saved_on, campaign.saved_turn = by.page, by.turn
        session.flush()
    return campaign


def _begun_on(shop_id: int, page: UUID) -> int | None:
    """The campaign that this page began: an answer that was lost makes it begin again."""
    lock_for_transaction(f"campaigns.begun_on:{page}", shop_id % 2**31)  # two at once: the second finds the first's
    return session.scalars(
        select(Campaign.id).where(Campaign.shop_id == shop_id, Campaign.begun_on == page)
    ).one_or_none()


def _begin(shop_id: int, draft: Draft, by: Save) -> Campaign:
    campaign = writing.create_campaign(shop_id, **_fields(draft), actor=by.actor)
    campaign.plan = _stored(draft.plan)
    campaign.begun_on = campaign.saved_on = by.page
    campaign.saved_turn = by.turn
    session.flush()
    return campaign


def _plan_anew(campaign: Campaign, draft: Draft, by: Save) -> None:
    """Change a planned campaign. An hour that was not touched stays, though it may be only minutes away."""
    shop = shops.get_shop(campaign.shop_id)
    before = planning.plan_of(shop, campaign)
    if draft.plan.when is When.NOW:
        writing.unschedule_campaign(campaign.shop_id, campaign.id, actor=by.actor)
        campaign.plan = None
    writing.change(campaign, _fields(draft), note_by=by.actor)
    if draft.plan.when is not When.NOW and draft.plan != before:
        schedule, wall = draft.plan.schedule(shop.timezone, clock.now()), draft.plan.wall()
        assert schedule is not None, "it is not for now"
        assert wall is not None, "schedule() has seen to it"
        local = schedule.kind is ScheduleKind.LOCAL
        writing.schedule_campaign(campaign.shop_id, campaign.id, wall, local=local, actor=by.actor)


def _is(campaign: Campaign, draft: Draft) -> bool:
    """Whether all of that is stored already."""
    shop = shops.get_shop(campaign.shop_id)
    plan = planning.plan_of(shop, campaign)
    stored = (campaign.name, campaign.body, campaign.ab_test, campaign.audience, campaign.priority, plan)
    audience = draft.audience.to_json() if draft.audience else None
    test = draft.ab_test.to_json() if draft.ab_test else None
    return stored == (draft.name, draft.body, test, audience, draft.priority.value, draft.plan)


def _fields(draft: Draft) -> dict[str, Any]:
    texts = {"body": draft.body, "ab_test": draft.ab_test}
    return {"name": draft.name, **texts, "audience": draft.audience, "priority": draft.priority}


def _stored(plan: Plan) -> dict[str, Any] | None:
    return None if plan == Plan() else plan.to_json()

"""What happens to a campaign before anything is sent: written, changed, planned, copied, thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from blossom.audit import service as audit
from blossom.campaigns import errors, queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules import schedule, states
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.states import Action, CampaignState, Priority
from blossom.campaigns.service import shopify_segments
from blossom.campaigns.service.fitness import check_text, names_known_segments
from blossom.campaigns.service.locking import lock, require
from blossom.campaigns.service.planning import plan_of
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

EDITABLE = frozenset({"name", "body", "ab_test", "audience", "priority"})


def create_campaign(
    shop_id: int,
    *,
    name: str,
    body: str = "",
    ab_test: AbTest | None = None,
    audience: Audience | None = None,
    priority: Priority = Priority.NORMAL,
    actor: str,
) -> Campaign:
    """A new draft. It may be unfinished: its text and audience are checked when it is planned or sent.

    Raises `InvalidInput` when the audience names a segment that the shop does not have.
    """
    now = clock.now()
    campaign = Campaign(
        shop_id=shop_id,
        name=name,
        body=body,
        ab_test=ab_test.to_json() if ab_test else None,
        audience=_stored(shop_id, audience),
        stored_state=CampaignState.DRAFT.value,
        priority=priority.value,
        created_at=now,
        updated_at=now,
    )
    session.add(campaign)
    session.flush()
    _note(campaign, "created", actor)
    return campaign


def update_campaign(
    shop_id: int, campaign_id: int, changes: Mapping[str, Any], *, version: int | None = None, actor: str
) -> Campaign:
    """Change a draft or a planned campaign. `changes`: some of name, body, ab_test (`AbTest` or None), audience
    (`Audience` or None), priority.

    With `version`, the one that the caller read: raises `ChangedMeanwhile` if somebody was quicker. Raises `NotFound`,
    `InvalidStatus`; a planned campaign must stay fit for its hour, else `CannotSend`.
    """
    assert EDITABLE.issuperset(changes), "only what a merchant writes"
    campaign = lock(shop_id, campaign_id)
    require(campaign, Action.EDIT)
    if version is not None and version != campaign.version:
        raise errors.ChangedMeanwhile(campaign.version)
    with session.begin_nested():  # so that a refused change leaves nothing behind, whoever catches the refusal
        change(campaign, changes, note_by=actor)
    return campaign


def change(campaign: Campaign, changes: Mapping[str, Any], *, note_by: str | None) -> None:
    """Write these of `EDITABLE` into a locked campaign. `note_by`: who, for the trail; None: the trail has it already.
    Raises `InvalidInput`, and for a planned one `CannotSend`."""
    for name, value in changes.items():
        if name == "audience":
            campaign.audience = _stored(campaign.shop_id, value)
        elif name == "ab_test":
            campaign.ab_test = value.to_json() if value else None
        else:
            setattr(campaign, name, str(value))
    if campaign.state is CampaignState.SCHEDULED:
        check_text(shops.get_shop(campaign.shop_id), campaign)
    _changed(campaign)
    if note_by is not None:
        _note(campaign, "changed", note_by, fields=sorted(changes))


def delete_campaign(shop_id: int, campaign_id: int, *, actor: str) -> None:
    """Throw a campaign away of which no text ever left. Raises `NotFound`, `InvalidStatus`."""
    campaign = lock(shop_id, campaign_id)
    if not states.may_delete(campaign.state, has_dispatch=campaign.dispatch_id is not None):
        raise errors.InvalidStatus(Action.DELETE.value, campaign.state.value, states.allowed_from(Action.DELETE))
    _note(campaign, "deleted", actor)
    session.delete(campaign)
    session.flush()


def duplicate_campaign(shop_id: int, campaign_id: int, *, name: str | None = None, actor: str) -> Campaign:
    """A draft with the same texts, audience and priority, whatever became of the original. Raises `NotFound`."""
    original = queries.get_campaign(shop_id, campaign_id)
    return create_campaign(
        shop_id,
        name=name or f"{original.name[:190]} (copy)",
        body=original.body,
        ab_test=AbTest.from_json(original.ab_test) if original.ab_test else None,
        audience=Audience.from_json(original.audience) if original.audience else None,
        priority=Priority(original.priority),
        actor=actor,
    )


def schedule_campaign(shop_id: int, campaign_id: int, at: datetime, *, local: bool = False, actor: str) -> Campaign:
    """Plan a campaign, or plan it anew: at one moment, or (`local`) at the wall time `at` in each recipient's zone.

    Raises `NotFound`, `InvalidStatus`, `InvalidSchedule`, and `CannotSend` for a text or an audience that could not be
    sent at any hour; `ShopLeft`. Credit and recipients are asked about when the hour has come.
    """
    campaign = lock(shop_id, campaign_id)
    shop_service.require_installed(shop_id)
    require(campaign, Action.SCHEDULE)
    shop = shops.get_shop(shop_id)
    plan = (schedule.at_local_time if local else schedule.at_moment)(at, shop.timezone, clock.now())
    check_text(shop, campaign)
    campaign.stored_state = CampaignState.SCHEDULED.value
    campaign.schedule_kind = plan.kind.value
    campaign.scheduled_at, campaign.local_at, campaign.due_at = plan.scheduled_at, plan.local_at, plan.due_at
    campaign.plan = None
    _changed(campaign)
    _note(campaign, "scheduled", actor, kind=plan.kind.value)
    return campaign


def unschedule_campaign(shop_id: int, campaign_id: int, *, actor: str) -> Campaign:
    """Make a planned campaign a draft again; a draft stays as it is. Raises `NotFound`, `InvalidStatus`."""
    campaign = lock(shop_id, campaign_id)
    if campaign.state is CampaignState.DRAFT:
        return campaign
    require(campaign, Action.UNSCHEDULE)
    campaign.plan = plan_of(shops.get_shop(shop_id), campaign).to_json()  # its draft keeps the hour
    campaign.stored_state = CampaignState.DRAFT.value
    campaign.schedule_kind = campaign.scheduled_at = campaign.local_at = campaign.due_at = None
    _changed(campaign)
    _note(campaign, "unscheduled", actor)
    return campaign


def _stored(shop_id: int, audience: Audience | None) -> dict[str, Any] | None:
    if audience is None:
        return None
    if not names_known_segments(shop_id, audience):
        raise InvalidInput({"audience": "names a segment that this shop does not have"})
    shopify_segments.note_choice(shop_id, audience)
    return audience.to_json()


def _changed(campaign: Campaign) -> None:
    campaign.updated_at = clock.now()
    campaign.version += 1
    campaign.saved_on = campaign.saved_turn = None  # no page's own work, unless it says so (`drafting`)
    session.flush()


def _note(campaign: Campaign, deed: str, actor: str, **details: Any) -> None:
    audit.record(
        campaign.shop_id,
        f"campaigns.{deed}",
        actor=actor,
        subject_type="campaign",
        subject_id=campaign.id,
        details=details,
    )

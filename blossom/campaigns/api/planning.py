"""Campaigns before they are sent: listed, written, changed, planned, copied, thrown away, looked at beforehand."""

from __future__ import annotations

from blossom.campaigns import queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.api.examples import CAMPAIGN, DRAFT, PREVIEW
from blossom.campaigns.api.rendering import campaign_answer, preview_answer, refused_preview
from blossom.campaigns.api.routes import api
from blossom.campaigns.forms.answers import CampaignAnswer, CampaignPage, CampaignPreviewAnswer, ReasonAnswer
from blossom.campaigns.forms.inputs import (
    CampaignChange,
    CampaignInput,
    CampaignsQuery,
    DuplicateInput,
    ScheduleInput,
)
from blossom.campaigns.rules import states
from blossom.platform.api import Principal, encode_cursor
from blossom.shops import queries as shops
from blossom.wallet import queries as wallet

_UNFIT = {"cannot_send": 422}
_INVALID = {"invalid_status": 409}
_SCHEDULE = {"schedule_in_past": 422, "schedule_too_far": 422, "invalid_schedule": 422}


@api.get("/campaigns", scope="campaigns:read", query=CampaignsQuery, answer=CampaignPage, summary="List campaigns")
def list_campaigns(caller: Principal, query: CampaignsQuery) -> CampaignPage:
    found, total = queries.list_campaigns(
        caller.shop_id,
        state=query.status and states.shown(query.status),
        before_id=query.cursor,
        offset=query.offset,
        limit=query.page_size + 1,
    )
    page = found[: query.page_size]
    stats = queries.stats_of(caller.shop_id, page) if query.with_stats else {}
    return CampaignPage(
        items=[campaign_answer(campaign, stats[campaign.id][0] if stats else None) for campaign in page],
        page=None if query.cursor else query.page,
        page_size=query.page_size,
        total=total,
        next_cursor=encode_cursor(page[-1].id) if len(found) > len(page) else None,
    )


@api.post(
    "/campaigns",
    scope="campaigns:write",
    body=CampaignInput,
    answer=CampaignAnswer,
    status=201,
    summary="Write a campaign",
    body_example=DRAFT,
    answer_example=CAMPAIGN,
)
def create_campaign(caller: Principal, body: CampaignInput) -> CampaignAnswer:
    campaign = campaigns.create_campaign(
        caller.shop_id,
        name=body.name,
        body=body.body,
        ab_test=body.ab_test.read() if body.ab_test else None,
        audience=body.audience,
        priority=body.priority,
        actor=caller.actor,
    )
    return campaign_answer(campaign)


@api.get("/campaigns/<int:campaign_id>", scope="campaigns:read", answer=CampaignAnswer, summary="Read a campaign")
def get_campaign(caller: Principal, campaign_id: int) -> CampaignAnswer:
    return campaign_answer(queries.get_campaign(caller.shop_id, campaign_id))


@api.put(
    "/campaigns/<int:campaign_id>",
    scope="campaigns:write",
    body=CampaignChange,
    answer=CampaignAnswer,
    summary="Change a campaign",
    description="Drafts and planned ones; a planned campaign must stay fit to be sent.",
    errors=_INVALID | _UNFIT | {"changed_meanwhile": 409},
    body_example={"name": "Summer sale, last days", "version": 1},
)
def update_campaign(caller: Principal, campaign_id: int, body: CampaignChange) -> CampaignAnswer:
    campaign = campaigns.update_campaign(
        caller.shop_id, campaign_id, body.changes, version=body.version, actor=caller.actor
    )
    return campaign_answer(campaign)


@api.delete(
    "/campaigns/<int:campaign_id>",
    scope="campaigns:write",
    summary="Delete a campaign",
    description="Only one of which no text ever left.",
    errors=_INVALID,
)
def delete_campaign(caller: Principal, campaign_id: int) -> None:
    campaigns.delete_campaign(caller.shop_id, campaign_id, actor=caller.actor)


@api.post(
    "/campaigns/<int:campaign_id>/duplicate",
    scope="campaigns:write",
    body=DuplicateInput,
    answer=CampaignAnswer,
    status=201,
    summary="Copy a campaign into a new draft",
)
def duplicate_campaign(caller: Principal, campaign_id: int, body: DuplicateInput) -> CampaignAnswer:
    copy = campaigns.duplicate_campaign(caller.shop_id, campaign_id, name=body.name, actor=caller.actor)
    return campaign_answer(copy)


@api.put(
    "/campaigns/<int:campaign_id>/schedule",
    scope="campaigns:send",
    body=ScheduleInput,
    answer=CampaignAnswer,
    summary="Plan a campaign",
    description=(
        "At one moment, or at a wall time in each recipient's zone. A wall time that clocks skip in spring is read as"
        " that much after the gap's beginning; one that comes twice in autumn, as the first. Quiet hours hold."
    ),
    errors=_INVALID | _UNFIT | _SCHEDULE,
    body_example={"at": "2027-03-01T10:00:00", "local": True},
)
def schedule_campaign(caller: Principal, campaign_id: int, body: ScheduleInput) -> CampaignAnswer:
    campaign = campaigns.schedule_campaign(caller.shop_id, campaign_id, body.at, local=body.local, actor=caller.actor)
    return campaign_answer(campaign)


@api.delete(
    "/campaigns/<int:campaign_id>/schedule",
    scope="campaigns:send",
    answer=CampaignAnswer,
    summary="Make a planned campaign a draft again",
    errors=_INVALID,
)
def unschedule_campaign(caller: Principal, campaign_id: int) -> CampaignAnswer:
    return campaign_answer(campaigns.unschedule_campaign(caller.shop_id, campaign_id, actor=caller.actor))


@api.get(
    "/campaigns/<int:campaign_id>/preview",
    scope="campaigns:read",
    answer=CampaignPreviewAnswer,
    summary="What sending it would reach and cost",
    description=(
        "With a faulty text, or nobody chosen, nothing can be counted: `canSend` is false, `reasons` say why, numbers"
        " are null and lists empty."
    ),
    answer_example=PREVIEW,
)
def preview_campaign(caller: Principal, campaign_id: int) -> CampaignPreviewAnswer:
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    shop = shops.get_shop(caller.shop_id)
    if reasons := campaigns.text_reasons(shop, campaign):
        return refused_preview([ReasonAnswer(**reason) for reason in reasons], wallet.balance_if_any(shop.id))
    return preview_answer(campaigns.preview(shop, campaign))

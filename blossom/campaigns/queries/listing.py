"""Campaigns by id, page by page, and those that the clock looks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, func, select

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind, DispatchState
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.shops.models import Shop

_DISPATCH_STATES = {  # what the dispatch of a campaign in this state is meant to be in
    CampaignState.SENDING: (DispatchState.PREPARING.value, DispatchState.SENDING.value),
    CampaignState.PAUSED: (DispatchState.PAUSED.value,),
}


def get_campaign(shop_id: int, campaign_id: int) -> Campaign:
    """Raises `NotFound`."""
    campaign: Campaign | None = session.scalars(
        select(Campaign).where(Campaign.shop_id == shop_id, Campaign.id == campaign_id)
    ).one_or_none()
    if campaign is None:
        raise NotFound("campaign")
    return campaign


def many_campaigns(shop_id: int, campaign_ids: Collection[int]) -> list[Campaign]:
    """Those of `campaign_ids` that the shop has, by id."""
    return list(
        session.scalars(
            select(Campaign).where(Campaign.shop_id == shop_id, Campaign.id.in_(campaign_ids)).order_by(Campaign.id)
        )
    )


def of_dispatches(shop_id: int, dispatch_ids: Collection[int]) -> dict[int, Campaign]:
    """The campaign of each of these dispatches that is a campaign's, by dispatch."""
    found = session.scalars(select(Campaign).where(Campaign.shop_id == shop_id, Campaign.dispatch_id.in_(dispatch_ids)))
    return {campaign.dispatch_id: campaign for campaign in found if campaign.dispatch_id is not None}


def list_campaigns(
    shop_id: int,
    *,
    state: CampaignState | None = None,
    before_id: int | None = None,
    offset: int = 0,
    limit: int = 20,
) -> tuple[list[Campaign], int]:
    """A page, the newest first, and how many there are in all. `before_id`: only older ones than this."""
    wanted = [Campaign.shop_id == shop_id]
    if state is not None:
        words = [state.value, CampaignState.SENT.value] if state is CampaignState.COMPLETED else [state.value]
        wanted.append(Campaign.stored_state.in_(words))
    total = session.scalars(select(func.count()).select_from(Campaign).where(*wanted)).one()
    if before_id is not None:
        wanted.append(Campaign.id < before_id)
    rows = session.scalars(select(Campaign).where(*wanted).order_by(Campaign.id.desc()).offset(offset).limit(limit))
    return list(rows), total


def tested_since(shop_id: int, moment: datetime) -> list[tuple[datetime, int]]:
    """The shop's test sends after `moment`, the oldest first: when, and to how many numbers."""
    rows = session.execute(
        select(Dispatch.created_at, Dispatch.total)
        .where(Dispatch.shop_id == shop_id, Dispatch.kind == DispatchKind.TEST.value, Dispatch.created_at > moment)
        .order_by(Dispatch.created_at)
    )
    return [(row.created_at, row.total) for row in rows]


def due_campaigns(now: datetime, limit: int = 100) -> Sequence[tuple[int, int]]:
    """(shop, campaign) of planned campaigns whose hour has come, of all installed shops, the longest overdue first."""
    rows = session.execute(
        select(Campaign.shop_id, Campaign.id)
        .join(Shop, Shop.id == Campaign.shop_id)
        .where(
            Campaign.stored_state == CampaignState.SCHEDULED.value,
            Campaign.due_at <= now,
            Shop.uninstalled_at.is_(None),
        )
        .order_by(Campaign.due_at)
        .limit(limit)
    )
    return [(row.shop_id, row.id) for row in rows]


def unsettled_dispatches(limit: int = 500) -> Sequence[tuple[int, int]]:
    """(shop, dispatch) of open campaigns, of all shops, that don't say what their dispatch does: the news was lost."""
    rows = session.execute(
        select(Campaign.shop_id, Campaign.dispatch_id)
        .join(Dispatch, and_(Dispatch.shop_id == Campaign.shop_id, Dispatch.id == Campaign.dispatch_id))
        .where(
            Campaign.stored_state.in_([state.value for state in _DISPATCH_STATES]),
            ~and_(
                Campaign.stored_state == CampaignState.SENDING.value,
                Dispatch.state.in_(_DISPATCH_STATES[CampaignState.SENDING]),
            ),
            ~and_(
                Campaign.stored_state == CampaignState.PAUSED.value,
                Dispatch.state.in_(_DISPATCH_STATES[CampaignState.PAUSED]),
            ),
        )
        .order_by(Campaign.id)
        .limit(limit)
    )
    return [(row.shop_id, row.dispatch_id) for row in rows if row.dispatch_id is not None]

"""A campaign under lock, brought up to date with its dispatch, and checked for what is about to be done."""

from __future__ import annotations

from sqlalchemy import select

from blossom.campaigns import errors
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import Action, CampaignState, allowed_from, may
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform.db import session
from blossom.platform.errors import NotFound

_FOLDED = {
    DispatchState.PREPARING: CampaignState.SENDING,
    DispatchState.SENDING: CampaignState.SENDING,
    DispatchState.PAUSED: CampaignState.PAUSED,
    DispatchState.COMPLETED: CampaignState.COMPLETED,
    DispatchState.FAILED: CampaignState.FAILED,
    DispatchState.CANCELLED: CampaignState.CANCELLED,
}


def lock(shop_id: int, campaign_id: int) -> Campaign:
    """The campaign, its row locked until the transaction ends, its state that of its dispatch. Raises `NotFound`."""
    campaign: Campaign | None = session.scalars(
        select(Campaign)
        .where(Campaign.shop_id == shop_id, Campaign.id == campaign_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if campaign is None:
        raise NotFound("campaign")
    fold(campaign)
    return campaign


def require(campaign: Campaign, action: Action) -> None:
    """Raise `InvalidStatus` unless `action` can be done to the campaign as it stands."""
    if not may(action, campaign.state):
        raise errors.InvalidStatus(action.value, campaign.state.value, allowed_from(action))


def fold(campaign: Campaign) -> bool:
    """Take over what the dispatch of a locked campaign came to; whether that changed anything.

    The dispatch is read after the campaign was locked, and every deed that changes both holds that lock: what is
    read here can't be older than what the campaign says.
    """
    if campaign.dispatch_id is None or campaign.state not in (CampaignState.SENDING, CampaignState.PAUSED):
        return False
    dispatch = session.scalars(
        select(Dispatch)
        .where(Dispatch.shop_id == campaign.shop_id, Dispatch.id == campaign.dispatch_id)
        .execution_options(populate_existing=True)
    ).one()
    state = _FOLDED[DispatchState(dispatch.state)]
    if state is campaign.state:
        return False
    campaign.stored_state = state.value
    campaign.finished_at = dispatch.finished_at
    campaign.failure_code, campaign.failure_text = dispatch.failure_code, dispatch.failure_text
    session.flush()
    return True

"""A campaign's figures over its messages: counted at once for a small one, else as a job has counted them."""

from __future__ import annotations

from blossom.campaigns.models import Campaign, CampaignTally, StatusRefresh
from blossom.campaigns.queries import stats
from blossom.campaigns.rules import tally
from blossom.campaigns.rules.tally import Tally
from blossom.links import queries as links
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Progress
from blossom.platform.db import session

COUNTED_AT_ONCE = 1_000
"""Messages that a request may read for a page."""


def count(campaign: Campaign, dispatch_id: int) -> Tally:
    """Count now. Reads every message of the dispatch."""
    clicks = links.clicks_by_minute(campaign.shop_id, dispatch_id)
    minutes = messaging.minutes(campaign.shop_id, dispatch_id)
    return tally.count(
        messaging.groups(campaign.shop_id, dispatch_id),
        minutes if clicks is None else {**minutes, "clicked": clicks},
        clickers=None if clicks is None else sum(people for _, people in clicks),
        unsubscribes=stats.unsubscribes(campaign),
    )


def standing(progress: Progress) -> list[int]:
    """A dispatch's counts: as long as they are the same, so is what is counted of its messages."""
    return [
        progress.total, progress.sent, progress.delivered, progress.failed, progress.skipped, progress.cancelled,
        progress.unconfirmed,
    ]  # fmt: skip


def kept(shop_id: int, campaign_id: int) -> CampaignTally | None:
    """What was counted last; None if nobody has ever asked for it."""
    found = session.get(CampaignTally, campaign_id, populate_existing=True)
    return found if found is not None and found.shop_id == shop_id else None


def refresh_of(shop_id: int, campaign_id: int) -> StatusRefresh | None:
    """The last question to the provider after this campaign's texts."""
    found = session.get(StatusRefresh, campaign_id, populate_existing=True)
    return found if found is not None and found.shop_id == shop_id else None

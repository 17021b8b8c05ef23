"""Having a large campaign counted: a look at it asks for it, a job does it, and looks in between make no second job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from blossom.campaigns import queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import tallies
from blossom.campaigns.rules import tally
from blossom.campaigns.rules.tally import Tally
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Progress
from blossom.platform import clock, queue
from blossom.platform.db import session

WHILE_SENDING, ONCE_ENDED = timedelta(seconds=30), timedelta(seconds=10)
"""How long after it was asked for a count may be asked for again: a million messages are read for one or two seconds,
beside a send that needs the database itself. A job that was lost is asked for anew by then."""

_WANT = text("""
INSERT INTO campaign_tallies AS t (campaign_id, shop_id, wanted_at) VALUES (:campaign_id, :shop_id, :now)
ON CONFLICT (campaign_id) DO UPDATE SET wanted_at = excluded.wanted_at WHERE t.wanted_at < :before
RETURNING campaign_id
""")

_KEEP = text("""
UPDATE campaign_tallies
SET counted_at = :counted_at, standing = CAST(:standing AS jsonb), figures = CAST(:figures AS jsonb)
WHERE campaign_id = :campaign_id AND shop_id = :shop_id AND (counted_at IS NULL OR counted_at < :counted_at)
""")


@dataclass(frozen=True)
class Figures:
    """`tally` as of `counted_at`; None before it was ever counted. `good`: it tells how the campaign stands now; else
    it is being counted anew."""

    tally: Tally | None
    counted_at: datetime | None
    good: bool


def figures(campaign: Campaign, progress: Progress) -> Figures:
    """The figures over the campaign's messages, and if they are not good any more, have them counted."""
    now = clock.now()
    if progress.total <= tallies.COUNTED_AT_ONCE:
        return Figures(tallies.count(campaign, progress.dispatch_id), now, good=True)
    kept, standing = tallies.kept(campaign.shop_id, campaign.id), tallies.standing(progress)
    good = kept is not None and tally.is_good(kept.counted_at, kept.standing, standing, progress.finished_at, now)
    if not good:
        _want(campaign, now - (WHILE_SENDING if progress.finished_at is None else ONCE_ENDED), now)
    counted = Tally.from_json(kept.figures) if kept is not None and kept.figures is not None else None
    return Figures(counted, kept.counted_at if kept else None, good)


def _want(campaign: Campaign, before: datetime, now: datetime) -> None:
    values = {"campaign_id": campaign.id, "shop_id": campaign.shop_id, "now": now, "before": before}
    if session.execute(_WANT, values).one_or_none() is not None:
        queue.enqueue("campaigns.tally", shop_id=campaign.shop_id, campaign_id=campaign.id)


def count_tally(shop_id: int, campaign_id: int) -> None:
    """Count a campaign's messages and keep it, unless a later count was kept meanwhile. Raises `NotFound`."""
    campaign = queries.get_campaign(shop_id, campaign_id)
    if campaign.dispatch_id is None:
        return
    counted_at = clock.now()
    standing = tallies.standing(messaging.progress(shop_id, campaign.dispatch_id))  # before: what moves now is old then
    counted = tallies.count(campaign, campaign.dispatch_id)
    values = {
        "campaign_id": campaign_id,
        "shop_id": shop_id,
        "counted_at": counted_at,
        "standing": tally.dumped(standing),
        "figures": tally.dumped(counted.to_json()),
    }
    session.execute(_KEEP, values)

"""For when a campaign is planned, or a draft is meant to be."""

from __future__ import annotations

from datetime import datetime

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.plans import Plan
from blossom.campaigns.rules.schedule import Schedule, ScheduleKind
from blossom.shops.models import Shop


def schedule_of(campaign: Campaign) -> Schedule | None:
    """What it is planned for; None for one that is not."""
    if campaign.schedule_kind is None or campaign.due_at is None:
        return None
    kind = ScheduleKind(campaign.schedule_kind)
    return Schedule(kind, campaign.due_at, campaign.scheduled_at, campaign.local_at)


def plan_of(shop: Shop, campaign: Campaign) -> Plan:
    """The same as somebody types it; of a draft, as somebody typed it."""
    schedule = schedule_of(campaign)
    return Plan.of_schedule(schedule, shop.timezone) if schedule else Plan.from_json(campaign.plan)


def planned(shop: Shop, campaign: Campaign, now: datetime) -> Schedule | None:
    """For when it is planned, or a draft is meant to be; None: at once. Raises `InvalidSchedule` for an hour of a draft
    that can't be."""
    return schedule_of(campaign) or Plan.from_json(campaign.plan).schedule(shop.timezone, now)

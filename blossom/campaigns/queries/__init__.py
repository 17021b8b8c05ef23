"""Reads of campaigns and of what became of them."""

from blossom.campaigns.queries.ab_test import AbStanding, TextStanding, ab_test
from blossom.campaigns.queries.listing import (
    due_campaigns,
    get_campaign,
    list_campaigns,
    many_campaigns,
    of_dispatches,
    tested_since,
    unsettled_dispatches,
)
from blossom.campaigns.queries.stats import CampaignStats, campaign_stats, stats_of
from blossom.campaigns.queries.tallies import refresh_of

__all__ = [
    "AbStanding",
    "CampaignStats",
    "TextStanding",
    "ab_test",
    "campaign_stats",
    "due_campaigns",
    "get_campaign",
    "list_campaigns",
    "many_campaigns",
    "of_dispatches",
    "refresh_of",
    "stats_of",
    "tested_since",
    "unsettled_dispatches",
]

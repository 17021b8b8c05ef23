"""The campaigns' jobs. Each may run twice, late, or not at all: rows say what is to be done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog

from blossom.campaigns import queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.queries import yeses
from blossom.platform import clock, queue
from blossom.platform.db import transaction
from blossom.segments.rules import Audience

log = structlog.get_logger()

LOST_AFTER = timedelta(seconds=5)
"""A yes whose job is not there by then is taken by the sweep."""


@queue.job("campaigns.enqueue_due")
def enqueue_due() -> None:
    """Send the planned campaigns whose hour has come, each in a transaction of its own."""
    now = clock.now()
    with transaction():
        due = queries.due_campaigns(now)
    for shop_id, campaign_id in due:
        try:
            with transaction():
                campaigns.enqueue_due_campaign(shop_id, campaign_id, now)
        except Exception:  # one broken campaign must not keep the others of all shops from going out
            log.exception("campaigns.enqueue_due_failed", shop_id=shop_id, campaign_id=campaign_id)


@queue.job("campaigns.settle")
def settle(shop_id: int, dispatch_id: int) -> None:
    with transaction():
        campaigns.settle(shop_id, dispatch_id)


@queue.job("campaigns.settle_all")
def settle_all() -> None:
    """Bring up to date those whose news was lost."""
    with transaction():
        unsettled = queries.unsettled_dispatches()
    for shop_id, dispatch_id in unsettled:
        try:
            with transaction():
                campaigns.settle(shop_id, dispatch_id)
        except Exception:  # as above: the others' news must not wait for this one's
            log.exception("campaigns.settle_failed", shop_id=shop_id, dispatch_id=dispatch_id)


@queue.job("campaigns.tally")
def tally(shop_id: int, campaign_id: int) -> None:
    """Count a campaign's messages for its pages."""
    with transaction():
        campaigns.count_tally(shop_id, campaign_id)


@queue.job("campaigns.count_audience")
def count_audience(shop_id: int, audience: dict[str, Any], planned: str) -> None:
    """Count whom a page is about to show."""
    with transaction():
        campaigns.count_audience(shop_id, Audience.from_json(audience), datetime.fromisoformat(planned))


@queue.job("campaigns.take_yes")
def take_yes(shop_id: int, campaign_id: int) -> None:
    with transaction():
        campaigns.take_yes(shop_id, campaign_id)


@queue.job("campaigns.take_yeses")
def take_yeses() -> None:
    """Do what merchants said yes to, where the job was lost."""
    with transaction():
        lost = yeses.lost_yeses(clock.now() - LOST_AFTER)
    for shop_id, campaign_id in lost:
        try:
            take_yes(shop_id, campaign_id)
        except Exception:  # as above
            log.exception("campaigns.take_yes_failed", shop_id=shop_id, campaign_id=campaign_id)


@queue.job("campaigns.keep_segments_fresh")
def keep_segments_fresh() -> None:
    """Have read who is in the segments of Shopify's that campaigns to come name."""
    with transaction():
        campaigns.keep_segments_fresh(clock.now())


@queue.job("campaigns.refresh")
def refresh() -> None:
    """Ask the provider what merchants wanted asked."""
    campaigns.run_refreshes()

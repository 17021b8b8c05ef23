"""What a campaign came to, cached in Redis for as long as nothing changes it.

Nothing calls upward, so nobody below can drop a figure here. Instead the cache's key holds what the figures are made
of: the dispatch's counts, its links' clicks, and the shop's last consent event. A change makes another key; old ones
expire by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import redis
import structlog
from sqlalchemy import text

from blossom.campaigns.models import Campaign
from blossom.consent.rules import Source
from blossom.links import queries as links
from blossom.messaging import queries as messaging
from blossom.platform import queue
from blossom.platform.db import session

log = structlog.get_logger()

BY_THE_PERSON = (Source.KEYWORD, Source.STOREFRONT)
"""Opt-outs that say something about a text. Those that came by Shopify or a list may have any cause."""

CACHED_SECONDS = 300


@dataclass(frozen=True)
class CampaignStats:
    """`sent` is whatever left: sent, delivered and failed ones (spec §2). Rates are 0 to 1, None with nothing to
    divide by. `clicks`: links that recipients have opened, each recipient's link once; None for a text that shortens
    none. What discounts and reports will tell is None until they exist."""

    campaign_id: int
    sent: int
    delivered: int
    failed: int
    unsubscribes: int
    delivered_rate: float | None
    first_sent_at: datetime | None
    clicks: int | None = None
    redemptions: int | None = None
    orders: int | None = None
    revenue: int | None = None
    conversion_rate: float | None = None


def campaign_stats(campaign: Campaign) -> tuple[CampaignStats, bool]:
    """The figures of one campaign, and whether they came from the cache."""
    return stats_of(campaign.shop_id, [campaign])[campaign.id]


def stats_of(shop_id: int, campaigns: Sequence[Campaign]) -> dict[int, tuple[CampaignStats, bool]]:
    """Campaign → its figures, and whether they came from the cache."""
    dispatches = [campaign.dispatch_id for campaign in campaigns if campaign.dispatch_id is not None]
    progress = messaging.progress_many(shop_id, dispatches)
    opened = links.opened(shop_id, dispatches)
    last_event = session.execute(
        text("SELECT max(id) FROM consent_events WHERE shop_id = :shop_id"), {"shop_id": shop_id}
    ).scalar_one()
    found = {}
    for campaign in campaigns:
        counts = _Counts.of(progress.get(campaign.dispatch_id or 0), opened.get(campaign.dispatch_id or 0))
        key = f"campaign-stats:{shop_id}:{campaign.id}:{campaign.dispatch_id}:{counts}:{last_event}"
        known = _recall(key)
        if known is None:
            fresh = _count(campaign, counts)
            _keep(key, fresh)
            found[campaign.id] = fresh, False
        else:
            found[campaign.id] = known, True
    return found


class _Counts(NamedTuple):
    left: int
    delivered: int
    failed: int
    clicks: int | None

    @classmethod
    def of(cls, progress: messaging.Progress | None, clicks: int | None) -> _Counts:
        if progress is None:
            return cls(0, 0, 0, clicks)
        return cls(progress.sent + progress.delivered + progress.failed, progress.delivered, progress.failed, clicks)


# An opt-out counts for the last text before it: of two campaigns that somebody got, one is the one that was too much.
_UNSUBSCRIBES = text("""
SELECT count(DISTINCT m.id)
FROM consent_events e
JOIN messages m ON m.dispatch_id = :dispatch_id AND m.phone_hash = e.phone_hash
WHERE e.shop_id = :shop_id AND e.to_state = 'opted_out' AND e.source = ANY(:sources)
  AND e.occurred_at >= :since AND m.sent_at <= e.occurred_at
  AND NOT EXISTS (
      SELECT FROM messages later
      WHERE later.shop_id = m.shop_id AND later.phone_hash = m.phone_hash AND later.id <> m.id
        AND later.sent_at > m.sent_at AND later.sent_at <= e.occurred_at)
""")

# Batches leave in this order, so the first text is in one of the first that sent any; the rows of all would be read
# for a minute where there are a million.
_FIRST_SENT = text("""
SELECT min(m.sent_at)
FROM (SELECT * FROM batches
      WHERE shop_id = :shop_id AND dispatch_id = :dispatch_id AND sent + delivered + failed > 0
      ORDER BY due_at, number LIMIT 10) b
CROSS JOIN LATERAL (
    SELECT m.sent_at FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = b.dispatch_id AND m.batch_number = b.number
    OFFSET 0
) m
""")


def _count(campaign: Campaign, counts: _Counts) -> CampaignStats:
    first_sent_at = None
    if campaign.dispatch_id is not None and counts.left:
        of_dispatch: dict[str, Any] = {"shop_id": campaign.shop_id, "dispatch_id": campaign.dispatch_id}
        first_sent_at = session.execute(_FIRST_SENT, of_dispatch).scalar_one()
    return CampaignStats(
        campaign_id=campaign.id,
        sent=counts.left,
        delivered=counts.delivered,
        failed=counts.failed,
        unsubscribes=unsubscribes(campaign) if counts.left else 0,
        delivered_rate=counts.delivered / counts.left if counts.left else None,
        first_sent_at=first_sent_at,
        clicks=counts.clicks,
    )


def unsubscribes(campaign: Campaign) -> int:
    """Who opted out by themselves after this campaign's text, and before another one reached them."""
    if campaign.dispatch_id is None or campaign.started_at is None:
        return 0
    values = {"shop_id": campaign.shop_id, "dispatch_id": campaign.dispatch_id, "since": campaign.started_at}
    return int(session.execute(_UNSUBSCRIBES, {**values, "sources": list(BY_THE_PERSON)}).scalar_one())


def _recall(key: str) -> CampaignStats | None:
    try:
        kept = queue.connection().get(key)
    except redis.RedisError as error:
        log.warning("campaigns.stats_cache_unavailable", error=type(error).__name__)
        return None
    if kept is None:
        return None
    values = orjson.loads(kept)
    if values["first_sent_at"]:
        values["first_sent_at"] = datetime.fromisoformat(values["first_sent_at"])
    return CampaignStats(**values)


def _keep(key: str, stats: CampaignStats) -> None:
    try:
        queue.connection().set(key, orjson.dumps(asdict(stats)), ex=CACHED_SECONDS)
    except redis.RedisError as error:
        log.warning("campaigns.stats_cache_unavailable", error=type(error).__name__)

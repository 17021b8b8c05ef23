"""What the last 30 days came to, by day of the shop's and by campaign: sums over batches, never over messages.

A shop that sent millions has tens of thousands of batches: then the sums are kept in Redis for a minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import redis
import structlog
from sqlalchemy import text

from blossom.home.rules import Day, days_of
from blossom.home.rules.trends import DAYS
from blossom.messaging.rules.states import MARKETING_KINDS
from blossom.platform import clock, queue
from blossom.platform.db import session
from blossom.shops.models import Shop

log = structlog.get_logger()

KEPT_SECONDS = 60
KEPT_FROM = 2_000
"""Batches from which on sums are kept: a million texts."""

# One statement for the trend and for the campaigns that something is the matter with.
_TEXTS = text("""
SELECT d.id AS dispatch_id, (b.recorded_at AT TIME ZONE :zone)::date AS day, count(*) AS batches,
       sum(b.sent + b.delivered + b.failed) AS sent, sum(b.delivered) AS delivered, sum(b.failed) AS failed,
       sum(b.unconfirmed) AS unconfirmed
FROM dispatches d JOIN batches b ON b.dispatch_id = d.id
WHERE d.shop_id = :shop_id AND d.created_at >= :since AND d.kind = ANY(CAST(:kinds AS text[]))
  AND b.recorded_at >= :since
GROUP BY 1, 2
""")

_OPT_OUTS = text("""
SELECT (occurred_at AT TIME ZONE :zone)::date AS day, count(*) AS opt_outs
FROM consent_events
WHERE shop_id = :shop_id AND to_state = 'opted_out' AND occurred_at >= :since
GROUP BY 1
""")

_CREDITS = text("""
SELECT (at AT TIME ZONE :zone)::date AS day, -sum(amount) AS credits
FROM wallet_entries
WHERE shop_id = :shop_id AND at >= :since AND kind IN ('capture', 'refund', 'reversal')
GROUP BY 1
""")


@dataclass(frozen=True)
class Troubles:
    """Of the texts of one dispatch in the last week: how many were tried, failed, have an unknown outcome."""

    dispatch_id: int
    tried: int
    failed: int
    unconfirmed: int


@dataclass(frozen=True)
class Figures:
    """`days`: the last 30, the oldest first. `troubles`: of dispatches of the last week, the newest first."""

    days: Sequence[Day]
    troubles: Sequence[Troubles]

    @property
    def spent(self) -> int:
        return sum(day.credits for day in self.days)


def figures(shop: Shop) -> Figures:
    """The figures now; of a shop that sends very much, of a minute ago at most."""
    last = clock.now().astimezone(ZoneInfo(shop.timezone)).date()
    key = f"home-figures:{shop.id}:{shop.timezone}:{last}"
    found = _recall(key)
    if found is None:
        found = _summed(shop, last)
        if found["batches"] >= KEPT_FROM:
            _keep(key, found)
    days: dict[date, Mapping[str, int]] = {date.fromisoformat(day): values for day, values in found["days"].items()}
    return Figures(days_of(last, days), [Troubles(**each) for each in found["troubles"]])


def _summed(shop: Shop, last: date) -> dict[str, Any]:
    """As it is kept: what happened by day, and the troubles of the last week."""
    zone = ZoneInfo(shop.timezone)
    since = datetime.combine(last - timedelta(days=DAYS - 1), time(), zone)
    values = {"shop_id": shop.id, "zone": shop.timezone, "since": since}
    days: defaultdict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    troubles: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    batches, a_week_ago = 0, last - timedelta(days=6)
    for row in session.execute(_TEXTS, {**values, "kinds": [kind.value for kind in MARKETING_KINDS]}):
        batches += row.batches
        for name in ("sent", "delivered", "failed"):
            days[row.day.isoformat()][name] += int(getattr(row, name))
        if row.day >= a_week_ago:
            for place, number in enumerate((row.sent + row.unconfirmed, row.failed, row.unconfirmed)):
                troubles[row.dispatch_id][place] += int(number)
    for statement, name in ((_OPT_OUTS, "opt_outs"), (_CREDITS, "credits")):
        for row in session.execute(statement, values):
            days[row.day.isoformat()][name] = int(getattr(row, name))
    return {
        "batches": batches,
        "days": days,
        "troubles": [
            {"dispatch_id": dispatch_id, "tried": tried, "failed": failed, "unconfirmed": unconfirmed}
            for dispatch_id, (tried, failed, unconfirmed) in sorted(troubles.items(), reverse=True)
            if failed or unconfirmed
        ],
    }


def _recall(key: str) -> dict[str, Any] | None:
    try:
        kept = queue.connection().get(key)
    except redis.RedisError as error:
        log.warning("home.cache_unavailable", error=type(error).__name__)
        return None
    return orjson.loads(kept) if kept is not None else None


def _keep(key: str, found: dict[str, Any]) -> None:
    try:
        queue.connection().set(key, orjson.dumps(found), ex=KEPT_SECONDS)
    except redis.RedisError as error:
        log.warning("home.cache_unavailable", error=type(error).__name__)

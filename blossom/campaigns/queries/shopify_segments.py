"""Which of Shopify's segments campaigns to come will need."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text

from blossom.platform.db import session
from blossom.segments.rules import ACCEPTED_AGE


def needed_segments(now: datetime, *, kept: timedelta, soon: timedelta, drafts: timedelta) -> list[tuple[int, int]]:
    """(Shop, segment) of those that are to be read now: which a planned campaign names, or a draft that was touched
    within `drafts`, and which were last read, or given up, longer than `kept` ago; and of those planned within `soon`,
    which would be too old at its hour. Up to 1,000."""
    values = {"now": now, "kept": kept, "accepted": ACCEPTED_AGE, "soon": soon, "drafts": drafts}
    return [(row.shop_id, row.segment_id) for row in session.execute(_NEEDED, values)]


# Of shops that ever chose one of Shopify's segments, which are few.
_NEEDED = text(
    """
    SELECT DISTINCT s.shop_id, s.segment_id
    FROM (SELECT DISTINCT shop_id FROM shopify_segments WHERE wanted_at IS NOT NULL AND gone_at IS NULL) AS choosers
    JOIN campaigns c ON c.shop_id = choosers.shop_id
    CROSS JOIN LATERAL jsonb_array_elements_text(
        coalesce(c.audience -> 'segments', '[]') || coalesce(c.audience -> 'exclude', '[]')
    ) AS named(id)
    JOIN shopify_segments s ON s.shop_id = c.shop_id AND s.segment_id = CAST(named.id AS bigint)
    WHERE (c.state = 'scheduled' OR (c.state = 'draft' AND c.updated_at > :now - CAST(:drafts AS interval)))
      AND s.gone_at IS NULL AND (
          (s.state = 'resting' AND (s.read_at IS NULL OR s.read_at < :now - CAST(:kept AS interval)))
          OR (s.state = 'failed' AND s.wanted_at < :now - CAST(:kept AS interval))
          OR (s.state IN ('resting', 'failed') AND c.state = 'scheduled'
              AND c.due_at BETWEEN :now AND :now + CAST(:soon AS interval)
              AND (s.read_at IS NULL OR s.read_at < c.due_at - CAST(:accepted AS interval)))
      )
    LIMIT 1000
    """
)

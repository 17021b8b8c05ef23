"""Writing down where a dispatch's links lead, and that somebody opened one. The caller's transaction commits."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import insert, text

from blossom.links.models import LinkTarget
from blossom.platform import clock
from blossom.platform.db import session

SHARDS = 16
"""Rows among which the clicks of one link are counted."""


def keep_targets(shop_id: int, dispatch_id: int, addresses: Mapping[int, str]) -> None:
    """Number → where that link of a dispatch leads, for good: nothing else is ever redirected to."""
    if addresses:
        session.execute(
            insert(LinkTarget),
            [
                {"shop_id": shop_id, "dispatch_id": dispatch_id, "number": number, "address": address}
                for number, address in addresses.items()
            ],
        )


# Of two links of one message that are opened at the same moment, one is the first. A lock that is no row's: nobody else
# takes it, so that none waits in a circle.
_HOLD = text("SELECT pg_advisory_xact_lock(hashtext('clicks of a message'), CAST(:message_id % 2147483647 AS integer))")

# The message's row first, then a shard of the link's count: one of either, so that none waits in a circle.
_CLICK = text("""
WITH before AS (
    SELECT EXISTS (SELECT FROM link_clicks WHERE message_id = :message_id) AS any
), clicked AS (
    INSERT INTO link_clicks AS c (message_id, number, shop_id, dispatch_id, first_at, clicks)
    VALUES (:message_id, :number, :shop_id, :dispatch_id, :now, 1)
    ON CONFLICT (message_id, number) DO UPDATE SET clicks = c.clicks + 1
    RETURNING c.clicks = 1 AS is_first
)
INSERT INTO link_counts AS s (dispatch_id, number, shard, shop_id, opened, clicks, people)
SELECT :dispatch_id, :number, :shard, :shop_id, clicked.is_first::integer, 1, (NOT before.any)::integer
FROM clicked, before
ON CONFLICT (dispatch_id, number, shard) DO UPDATE
SET opened = s.opened + excluded.opened, clicks = s.clicks + 1, people = s.people + excluded.people
""")


def record_click(shop_id: int, dispatch_id: int, message_id: int, number: int) -> None:
    """Count a click on a link that has a target. Again by the same message: one more click, nobody more who opened."""
    session.execute(_HOLD, {"message_id": message_id})
    session.execute(
        _CLICK,
        {
            "shop_id": shop_id,
            "dispatch_id": dispatch_id,
            "message_id": message_id,
            "number": number,
            "shard": message_id % SHARDS,
            "now": clock.now(),
        },
    )

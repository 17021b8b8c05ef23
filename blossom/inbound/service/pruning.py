"""What was done with does not stay: first the payload goes, then the row."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Executable, text

from blossom.inbound.rules import webhooks as rules
from blossom.platform import clock, stopping
from blossom.platform.db import rows_changed, transaction

BATCH = 1_000

_EMPTY = text(
    """
    UPDATE shopify_webhooks SET payload_sealed = NULL WHERE id = ANY(ARRAY(
        SELECT id FROM shopify_webhooks
        WHERE state IN ('done', 'ignored') AND payload_sealed IS NOT NULL AND ended_at < :before
        ORDER BY ended_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
    """
)
_REMOVE = text(
    """
    DELETE FROM shopify_webhooks WHERE id = ANY(ARRAY(
        SELECT id FROM shopify_webhooks WHERE state IN ('done', 'ignored') AND ended_at < :before
        ORDER BY ended_at LIMIT :batch FOR UPDATE SKIP LOCKED
    ))
    """
)


def prune_webhooks() -> tuple[int, int]:
    """Empty and remove webhooks that are done or ignored and old enough (`PAYLOAD_KEPT`, `ROW_KEPT`); how many of each.
    The dead and the owed stay. Opens and commits its own transactions, one a batch."""
    now = clock.now()
    return _batches(_EMPTY, now - rules.PAYLOAD_KEPT), _batches(_REMOVE, now - rules.ROW_KEPT)


def _batches(statement: Executable, before: datetime) -> int:
    done = 0
    while not stopping.requested():
        with transaction():
            changed = rows_changed(statement, {"before": before, "batch": BATCH})
        done += changed
        if changed < BATCH:
            break
    return done

"""Which segments a shop has at Shopify: asked for when a merchant looks, and every few hours. Those that are there no
more stay here while somebody may still speak of them, and are marked as gone."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text

from blossom.customers import rules
from blossom.customers.errors import TakenOver
from blossom.platform import clock, queue
from blossom.platform.db import rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError
from blossom.shops import service as shop_service

if TYPE_CHECKING:
    from blossom.shopify.client import ShopifyClient

log = structlog.get_logger()

LISTED = 250
MOST_LISTED = 5_000
"""Segments of one shop, of which more than a page full is rare."""

LIST_AGE = timedelta(minutes=1)
"""A visit asks for the list no sooner after the last one."""

LIST_EVERY = timedelta(hours=6)
"""By itself."""

LONGEST_NAME = 255


def ask_for_list(shop_id: int) -> None:
    """Have the shop's segments listed, unless they just were. Flushed; who calls commits."""
    now = clock.now()
    if rows_changed(_ASK_LIST, {"shop": shop_id, "now": now, "before": now - LIST_AGE}) > 0:
        nudge()


def list_due() -> bool:
    """List the segments of the next shop of which that is due; whether there was one. Manages its transactions."""
    now = clock.now()
    values = {"now": now, "until": now + rules.IN_HAND}
    with transaction():
        session.execute(_OWED, values)
        row = session.execute(_TAKE_LIST, values).one_or_none()
    if row is not None:
        _try_listing(row)
    return row is not None


def nudge() -> None:
    """Wake a worker for what is due."""
    queue.enqueue("customers.run_segments", queue="sync", unless_waiting=True)


def _try_listing(row: Any) -> None:
    try:
        with contextlib.closing(shop_service.client(row.shop_id)) as client:
            found = _listed(client)
    except ShopifyError as error:
        _put_list_off(row, error.code)
    except Exception as error:
        log.exception("customers.segments_stumbled", shop_id=row.shop_id)
        _put_list_off(row, error.code if isinstance(error, BlossomError) else type(error).__name__)
    else:
        _keep_list(row, found)


def _listed(client: ShopifyClient) -> dict[int, str]:
    """The shop's segments: the number at Shopify → the name."""
    found: dict[int, str] = {}
    after = None
    while len(found) < MOST_LISTED:
        page = client.run("segments", first=LISTED, after=after)["segments"]
        found |= {number_of("Segment", each["id"]): str(each["name"])[:LONGEST_NAME] for each in page["nodes"]}
        if not page["pageInfo"]["hasNextPage"]:
            return found
        before, after = after, page["pageInfo"]["endCursor"]
        if after is None or after == before:  # the same page for ever
            raise ShopifyError("answer_unreadable", http_status=200)
    log.warning("customers.many_segments", shop=client.shop, most=MOST_LISTED)
    return found


def _keep_list(row: Any, found: dict[int, str]) -> None:
    now = clock.now()
    values = {"shop": row.shop_id, "now": now, "numbers": list(found), "names": list(found.values())}
    with transaction():
        ended = {"shop": row.shop_id, "turn": row.turn, "now": now, "next": now + LIST_EVERY}
        if rows_changed(_LIST_DONE, ended) == 0:
            raise TakenOver
        session.execute(_RENAME, values)
        session.execute(_ADD, values)
        if len(found) < MOST_LISTED:  # else the others may be there all the same
            session.execute(_GONE, values)
            session.execute(_CLEAR_GONE, values)
            session.execute(_FORGET_GONE, values)


def number_of(kind: str, gid: Any) -> int:
    """The number in a thing's id at Shopify. Raises `ShopifyError` for what is no such id."""
    number = gid.removeprefix(f"gid://shopify/{kind}/") if isinstance(gid, str) else ""
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ShopifyError("answer_unreadable", http_status=200)
    return int(number)


def _put_list_off(row: Any, fault: str) -> None:
    log.warning("customers.segments_not_listed", shop_id=row.shop_id, fault=fault)
    next_try_at = clock.now() + min(rules.reading_retry_after(row.tries + 1) or LIST_EVERY, LIST_EVERY)
    with transaction():
        values = {"shop": row.shop_id, "turn": row.turn, "next": next_try_at, "fault": fault}
        session.execute(_LIST_PUT_OFF, values)


_ASK_LIST = text(
    """
    INSERT INTO shopify_segment_lists AS l (shop_id, next_try_at) VALUES (:shop, :now)
    ON CONFLICT (shop_id) DO UPDATE SET next_try_at = :now
        WHERE (l.listed_at IS NULL OR l.listed_at < :before) AND l.next_try_at > :now
    """
)

# Shops that have come since: their segments were never listed.
_OWED = text(
    """
    INSERT INTO shopify_segment_lists (shop_id, next_try_at)
    SELECT i.shop_id, :now FROM installations i JOIN shops s ON s.id = i.shop_id
    WHERE i.access_token_sealed IS NOT NULL AND i.access_lost_at IS NULL AND s.uninstalled_at IS NULL
      AND NOT EXISTS (SELECT FROM shopify_segment_lists l WHERE l.shop_id = i.shop_id)
    LIMIT 100
    ON CONFLICT DO NOTHING
    """
)

_TAKE_LIST = text(
    """
    UPDATE shopify_segment_lists SET turn = turn + 1, in_hand_until = :until
    WHERE shop_id = (
        SELECT l.shop_id FROM shopify_segment_lists l
        JOIN shops s ON s.id = l.shop_id JOIN installations i ON i.shop_id = l.shop_id
        WHERE l.next_try_at <= :now AND (l.in_hand_until IS NULL OR l.in_hand_until <= :now)
          AND s.uninstalled_at IS NULL AND i.access_token_sealed IS NOT NULL AND i.access_lost_at IS NULL
        ORDER BY l.next_try_at LIMIT 1 FOR UPDATE OF l SKIP LOCKED
    )
    RETURNING shop_id, turn, tries
    """
)

_LIST_DONE = text(
    """
    UPDATE shopify_segment_lists
    SET listed_at = :now, next_try_at = :next, in_hand_until = NULL, tries = 0, fault = NULL
    WHERE shop_id = :shop AND turn = :turn
    """
)

_LIST_PUT_OFF = text(
    """
    UPDATE shopify_segment_lists SET next_try_at = :next, in_hand_until = NULL, tries = tries + 1, fault = :fault
    WHERE shop_id = :shop AND turn = :turn
    """
)

_RENAME = text(
    """
    UPDATE segments g SET name = listed.name
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:names AS text[])) AS listed(number, name)
    JOIN shopify_segments s ON s.shop_id = :shop AND s.shopify_id = listed.number
    WHERE g.shop_id = :shop AND g.id = s.segment_id AND g.name <> listed.name
    """
)

_ADD = text(
    """
    WITH added AS (
        SELECT nextval(pg_get_serial_sequence('segments', 'id')) AS id, listed.number, listed.name
        FROM unnest(CAST(:numbers AS bigint[]), CAST(:names AS text[])) AS listed(number, name)
        WHERE NOT EXISTS (
            SELECT FROM shopify_segments s WHERE s.shop_id = :shop AND s.shopify_id = listed.number
        )
    ), ours AS (
        INSERT INTO segments (id, shop_id, name, kind, created_at, updated_at)
        SELECT id, :shop, name, 'shopify', :now, :now FROM added
    )
    INSERT INTO shopify_segments (shop_id, segment_id, shopify_id) SELECT :shop, id, number FROM added
    """
)

_GONE = text(
    """
    UPDATE shopify_segments SET
        gone_at = CASE WHEN shopify_id = ANY(CAST(:numbers AS bigint[])) THEN NULL ELSE CAST(:now AS timestamptz) END,
        state = 'resting', cursor = NULL, next_try_at = NULL, in_hand_until = NULL, turn = turn + 1, fault = NULL
    WHERE shop_id = :shop AND (gone_at IS NULL) <> (shopify_id = ANY(CAST(:numbers AS bigint[])))
    """
)

# Of one that was just being read.
_CLEAR_GONE = text(
    """
    DELETE FROM shopify_segment_pages p USING shopify_segments s
    WHERE p.shop_id = :shop AND s.shop_id = p.shop_id AND s.segment_id = p.segment_id AND s.gone_at IS NOT NULL
    """
)

# Nobody ever chose them.
_FORGET_GONE = text(
    """
    DELETE FROM segments g USING shopify_segments s
    WHERE g.shop_id = :shop AND s.shop_id = g.shop_id AND s.segment_id = g.id
      AND s.gone_at IS NOT NULL AND s.wanted_at IS NULL
    """
)

"""Who is in a segment of Shopify's: read when it is asked for (`ask_for_members`).

A page is a transaction of its own, so a worker that is killed is followed by one that goes on there. Pages gather
beside the members, and take their place all at once, when the last one is there: nobody sees a list that was read by
half. A member's id has the number of their customer, by which those who are contacts are found when the reading ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text

from blossom.customers import rules
from blossom.customers.errors import TakenOver
from blossom.customers.service import segment_lists
from blossom.platform import clock, db, stopping
from blossom.platform.db import rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind, ShopifyErrorScope
from blossom.shops import service as shop_service

if TYPE_CHECKING:
    from blossom.shopify.client import ShopifyClient

log = structlog.get_logger()

AT_A_TIME_SECONDS = 60.0
"""A reading gives way to others after this, and a job hands its worker back; what is left is the next one's."""

PAGE = 500
"""Members in one answer. Shopify gives up to 1,000, and a call may cost up to 1,000 points, of which a member may cost
one: half of that leaves points for the shop's other calls, too."""

LONGEST = timedelta(hours=6)
"""A reading that was wanted so long ago begins anew: what its first pages say is of another day."""

MOST_BEGUN_ANEW = 2
"""A reading that fails for good at a late page begins anew: where it stopped may mean nothing to Shopify by now. After
so many times that was not what is the matter."""

_ADOPTING = timedelta(minutes=15)  # a million members take their place well within it
_LARGE = 50_000


def ask_for_members(shop_id: int, segment_ids: Collection[int], older_than: timedelta = timedelta(0)) -> None:
    """Have the members of those of these segments read that are Shopify's, unless their last reading ended less than
    `older_than` ago. What waits for a further try is tried at once. Flushed; who calls commits."""
    if not segment_ids:
        return
    now = clock.now()
    values = {"shop": shop_id, "ids": sorted(segment_ids), "now": now, "before": now - older_than}
    if rows_changed(_ASK_MEMBERS, values) > 0:
        segment_lists.nudge()


def note_failure_told(shop_id: int, segment_id: int) -> None:
    """Whoever waited for a reading that was given up has been told: the next wish has it tried anew. What was the
    matter stays written down. Flushed."""
    session.execute(_TOLD, {"shop": shop_id, "segment": segment_id})


def forget_member(shop_id: int, customer_id: int) -> None:
    """Forget a customer who is gone in the readings that are under way, too. Flushed."""
    session.execute(_FORGET_MEMBER, {"shop": shop_id, "customer": customer_id})


def run_segments() -> int:
    """List and read what is due, until nothing is, or the time is up; how many steps. Manages its transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    steps = 0
    while time.monotonic() < ends_at and not stopping.requested():
        try:
            if not segment_lists.list_due() and not _read_due(ends_at):
                return steps
        except TakenOver:
            log.warning("customers.segments_taken_over")
        steps += 1
    with transaction():
        segment_lists.nudge()
    return steps


def _read_due(ends_at: float) -> bool:
    now = clock.now()
    with transaction():
        row = session.execute(_TAKE_READING, {"now": now, "until": now + rules.IN_HAND}).one_or_none()
    if row is not None:
        _try_reading(row, ends_at)
    return row is not None


def _try_reading(row: Any, ends_at: float) -> None:
    facts = {"shop_id": row.shop_id, "segment_id": row.segment_id}
    try:
        with contextlib.closing(shop_service.client(row.shop_id)) as client:
            try:
                _read(row, client, ends_at)
            except ShopifyError as error:
                if error.kind is not ShopifyErrorKind.PERMANENT or error.scope is not ShopifyErrorScope.CALL:
                    raise
                if error.code == "not_found" or not _is_there(client, row.shopify_id):
                    _note_gone(row)
                elif row.cursor is not None and row.begun_anew < MOST_BEGUN_ANEW:
                    _begin_anew(row, error.code)
                else:
                    raise
    except TakenOver:
        raise
    except ShopifyError as error:
        if error.kind is ShopifyErrorKind.PERMANENT:
            log.warning("customers.segment_not_read", **facts, code=error.code)
            _give_up(row, error.code)
        else:
            _put_off(row, error.code, error.retry_after)
    except Exception as error:
        log.exception("customers.segment_stumbled", **facts)
        _put_off(row, error.code if isinstance(error, BlossomError) else type(error).__name__)


def _read(row: Any, client: ShopifyClient, ends_at: float) -> None:
    cursor = row.cursor if row.wanted_at > clock.now() - LONGEST else None
    segment = f"gid://shopify/Segment/{row.shopify_id}"
    while True:
        answer = client.run("segment_members", segment=segment, first=PAGE, after=cursor)
        if answer["segment"] is None:
            raise ShopifyError("not_found", http_status=200)
        page = answer["customerSegmentMembers"]
        customers = [segment_lists.number_of("CustomerSegmentMember", edge["node"]["id"]) for edge in page["edges"]]
        more = page["pageInfo"]["hasNextPage"]
        following = page["pageInfo"]["endCursor"] if more else None
        if more and (following is None or following == cursor):
            raise ShopifyError("answer_unreadable", http_status=200)
        with transaction():
            _store(row, cursor, following, page["totalCount"], customers)
            _rename(row, answer["segment"]["name"])
        cursor = following
        if not more:
            _adopt(row)
            return
        if time.monotonic() > ends_at or stopping.requested():
            _release(row)
            return


def _is_there(client: ShopifyClient, shopify_id: int) -> bool:
    """Of a segment that is no more Shopify may say many things when it is asked for its members."""
    try:
        return client.run("segment", segment=f"gid://shopify/Segment/{shopify_id}")["segment"] is not None
    except ShopifyError as error:
        if error.code == "not_found":
            return False
        raise


def _store(row: Any, cursor: str | None, following: str | None, expected: int, customers: Sequence[int]) -> None:
    """One page and the note how far we are, in one transaction: both or neither."""
    keys = {"shop": row.shop_id, "segment": row.segment_id}
    if cursor is None:
        session.execute(_CLEAR, keys)
    now = clock.now()
    values = {"turn": row.turn, "first": cursor is None, "following": following, "expected": expected, "now": now}
    _write(_NOTE_PAGE, row, **values, until=now + rules.IN_HAND, read=len(customers))
    session.execute(_STORE, {**keys, "customers": list(customers)})


def _rename(row: Any, name: str) -> None:
    kept = str(name)[: segment_lists.LONGEST_NAME]
    session.execute(_RENAME_ONE, {"shop": row.shop_id, "segment": row.segment_id, "name": kept})


def _adopt(row: Any) -> None:
    """Let those who were read be its members, all at once."""
    keys = {"shop": row.shop_id, "segment": row.segment_id}
    with transaction():
        _write(_HOLD, row, until=clock.now() + _ADOPTING)  # for other workers to see
    with transaction():
        _write(_HOLD, row, until=clock.now() + _ADOPTING)  # its row, until the end: no audience is fixed meanwhile
        members = int(session.execute(_COUNT_READ, keys).scalar_one())
        with db.reading_all_of(members) if members > _LARGE else contextlib.nullcontext():
            session.execute(_LEAVE, keys)
            session.execute(_JOIN, {**keys, "now": clock.now()})
        known = int(session.execute(_COUNT_KNOWN, keys).scalar_one())
        session.execute(_CLEAR, keys)
        now = clock.now()
        _write(_DONE, row, now=now, members=members, known=known)
        session.execute(_TOUCH, {**keys, "now": now})
    log.info("customers.segment_read", shop_id=row.shop_id, segment_id=row.segment_id, members=members, known=known)


def _note_gone(row: Any) -> None:
    with transaction():
        _write(_NOTE_GONE, row, now=clock.now())
        session.execute(_CLEAR, {"shop": row.shop_id, "segment": row.segment_id})


def _put_off(row: Any, fault: str, retry_after: float | None = None) -> None:
    """Try again later; after too many failures in a row, no more by itself. A page that came counts them from zero."""
    with transaction():
        keys = {"shop": row.shop_id, "segment": row.segment_id}
        tries = int(session.execute(_TRIES, keys).scalar_one()) + 1
    pause = rules.reading_retry_after(tries)
    if pause is None:
        _give_up(row, fault)
        return
    with transaction():
        next_try_at = clock.now() + max(pause, timedelta(seconds=retry_after or 0))
        _write(_PUT_OFF, row, tries=tries, next=next_try_at, fault=fault)


def _begin_anew(row: Any, fault: str) -> None:
    with transaction():
        _write(_BEGIN_ANEW, row, next=clock.now(), fault=fault)


def _give_up(row: Any, fault: str) -> None:
    with transaction():
        _write(_GIVE_UP, row, fault=fault)
        session.execute(_CLEAR, {"shop": row.shop_id, "segment": row.segment_id})


def _release(row: Any) -> None:
    """Others' turn; then it goes on."""
    with transaction():
        _write(_PUT_OFF, row, tries=0, next=clock.now(), fault=None)


def _write(statement: Any, row: Any, **values: Any) -> None:
    """Raises `TakenOver`."""
    keys = {"shop": row.shop_id, "segment": row.segment_id, "turn": row.turn}
    if rows_changed(statement, {**keys, **values}) == 0:
        raise TakenOver


# In order, as whoever holds several of them takes them.
_ASK_MEMBERS = text(
    """
    UPDATE shopify_segments s SET
        next_try_at = CASE WHEN s.in_hand_until IS NULL THEN :now ELSE least(s.next_try_at, :now) END,
        state = CASE WHEN o.open THEN s.state ELSE 'wanted' END,
        wanted_at = CASE WHEN o.open THEN s.wanted_at ELSE :now END,
        cursor = CASE WHEN o.open THEN s.cursor END, expected = CASE WHEN o.open THEN s.expected END,
        read_so_far = CASE WHEN o.open THEN s.read_so_far ELSE 0 END,
        tries = CASE WHEN o.open THEN s.tries ELSE 0 END,
        begun_anew = CASE WHEN o.open THEN s.begun_anew ELSE 0 END, fault = CASE WHEN o.open THEN s.fault END
    FROM (
        SELECT segment_id, state IN ('wanted', 'reading') AS open FROM shopify_segments
        WHERE shop_id = :shop AND segment_id = ANY(CAST(:ids AS bigint[])) AND gone_at IS NULL
          AND (state IN ('wanted', 'reading') OR read_at IS NULL OR read_at <= :before)
        ORDER BY segment_id FOR UPDATE
    ) AS o
    WHERE s.shop_id = :shop AND s.segment_id = o.segment_id
    """
)
_TAKE_READING = text(
    """
    UPDATE shopify_segments SET turn = turn + 1, in_hand_until = :until
    WHERE (shop_id, segment_id) = (
        SELECT m.shop_id, m.segment_id FROM shopify_segments m JOIN shops s ON s.id = m.shop_id
        WHERE m.state IN ('wanted', 'reading') AND m.next_try_at <= :now
          AND (m.in_hand_until IS NULL OR m.in_hand_until <= :now) AND s.uninstalled_at IS NULL
        ORDER BY m.next_try_at LIMIT 1 FOR UPDATE OF m SKIP LOCKED
    )
    RETURNING shop_id, segment_id, shopify_id, cursor, begun_anew, wanted_at, turn
    """
)
_TRIES = text("SELECT tries FROM shopify_segments WHERE shop_id = :shop AND segment_id = :segment")
_NOTE_PAGE = text(
    """
    UPDATE shopify_segments SET state = 'reading', cursor = :following, expected = :expected,
        wanted_at = CASE WHEN :first THEN :now ELSE wanted_at END,
        read_so_far = CASE WHEN :first THEN 0 ELSE read_so_far END + :read,
        tries = 0, fault = NULL, next_try_at = :now, in_hand_until = :until
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn AND state IN ('wanted', 'reading')
    """
)
_CLEAR = text("DELETE FROM shopify_segment_pages WHERE shop_id = :shop AND segment_id = :segment")
# By the key, however many were read: pages are only of segments that are being read.
_FORGET_MEMBER = text(
    """
    DELETE FROM shopify_segment_pages
    WHERE shop_id = :shop AND customer = :customer AND segment_id = ANY(ARRAY(
        SELECT segment_id FROM shopify_segments WHERE shop_id = :shop AND state = 'reading'
    ))
    """
)
_STORE = text(
    """
    INSERT INTO shopify_segment_pages (shop_id, segment_id, customer)
    SELECT :shop, :segment, customer FROM unnest(CAST(:customers AS bigint[])) AS customer
    ON CONFLICT DO NOTHING
    """
)
_RENAME_ONE = text("UPDATE segments SET name = :name WHERE shop_id = :shop AND id = :segment AND name <> :name")
_HOLD = text(
    """
    UPDATE shopify_segments SET in_hand_until = :until
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn
    """
)
_COUNT_READ = text("SELECT count(*) FROM shopify_segment_pages WHERE shop_id = :shop AND segment_id = :segment")
_COUNT_KNOWN = text("SELECT count(*) FROM segment_members WHERE shop_id = :shop AND segment_id = :segment")
_LEAVE = text(
    """
    DELETE FROM segment_members m
    WHERE m.shop_id = :shop AND m.segment_id = :segment AND NOT EXISTS (
        SELECT FROM contacts c
        JOIN shopify_segment_pages p
          ON p.shop_id = c.shop_id AND p.segment_id = m.segment_id AND p.customer = c.shopify_customer_id
        WHERE c.shop_id = m.shop_id AND c.id = m.contact_id
    )
    """
)
# Held, so that none of them goes before they are in.
_JOIN = text(
    """
    INSERT INTO segment_members (shop_id, segment_id, contact_id, added_at)
    SELECT c.shop_id, :segment, c.id, :now
    FROM shopify_segment_pages p JOIN contacts c ON c.shop_id = p.shop_id AND c.shopify_customer_id = p.customer
    WHERE p.shop_id = :shop AND p.segment_id = :segment AND NOT EXISTS (
        SELECT FROM segment_members m WHERE m.shop_id = :shop AND m.segment_id = :segment AND m.contact_id = c.id
    )
    FOR KEY SHARE OF c
    ON CONFLICT DO NOTHING
    """
)
_DONE = text(
    """
    UPDATE shopify_segments SET state = 'resting', members = :members, known = :known, read_at = :now,
        cursor = NULL, next_try_at = NULL, in_hand_until = NULL, tries = 0, fault = NULL
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn
    """
)
_TOUCH = text("UPDATE segments SET updated_at = :now WHERE shop_id = :shop AND id = :segment")
_NOTE_GONE = text(
    """
    UPDATE shopify_segments SET gone_at = :now, state = 'resting', cursor = NULL, next_try_at = NULL,
        in_hand_until = NULL, fault = NULL
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn
    """
)
_PUT_OFF = text(
    """
    UPDATE shopify_segments SET tries = :tries, next_try_at = :next, in_hand_until = NULL, fault = :fault
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn AND state IN ('wanted', 'reading')
    """
)
_TOLD = text(
    """
    UPDATE shopify_segments SET state = 'resting'
    WHERE shop_id = :shop AND segment_id = :segment AND state = 'failed'
    """
)
_BEGIN_ANEW = text(
    """
    UPDATE shopify_segments SET cursor = NULL, begun_anew = begun_anew + 1, next_try_at = :next, in_hand_until = NULL,
        fault = :fault
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn AND state IN ('wanted', 'reading')
    """
)
_GIVE_UP = text(
    """
    UPDATE shopify_segments
    SET state = 'failed', cursor = NULL, next_try_at = NULL, in_hand_until = NULL, fault = :fault
    WHERE shop_id = :shop AND segment_id = :segment AND turn = :turn
    """
)

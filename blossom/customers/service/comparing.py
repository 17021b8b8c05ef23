"""Each night, what changed at Shopify since the last look: whatever webhooks told of already changes nothing, and what
they missed is found. Then who is gone there, which no change tells: customers are asked for by their numbers, so many a
night, and the next night goes on from there.

A page's people, consent and the moment up to which the shop is in step are one transaction, so a worker that is killed
is followed by one that goes on there; as is a question's end, and how far the asking is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, select, text

from blossom.contacts.rules import customers as customer_rules
from blossom.contacts.service import Outcome
from blossom.customers import queries, rules
from blossom.customers.errors import TakenOver
from blossom.customers.models import CustomerGone
from blossom.customers.rules import Chunk
from blossom.customers.service.applying import forget_gone, save_together
from blossom.platform import clock, queue, stopping
from blossom.platform.db import lock_for_transaction, rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

if TYPE_CHECKING:
    from blossom.shopify.client import ShopifyClient

log = structlog.get_logger()

AT_A_TIME_SECONDS = 120.0
"""A job hands its worker back after this; what is left is the next one's."""

PAGE = 100
ASK = 250  # customers in one question whether they are there, which costs as many points
ASKED_A_NIGHT = 50_000
"""A shop of a basic plan gets so many points back in some 8 minutes; one with a million customers is through in 20
nights."""

GONE_A_NIGHT = 1_000
"""No more are believed to be gone in one night: who deletes more tells of it by webhooks, of which not all get lost."""

_KNOWN_FOR = timedelta(hours=1)  # of whom we have just heard is there, though a replica of Shopify's may not know
_PAGES_IN_A_SEARCH = 200  # Shopify pages to 25,000 customers; then a new search begins where this one stood


def begin_comparing(shop_id: int, in_step_until: datetime) -> None:
    """An import has brought all that changed before then: compare from there, each night. In its transaction."""
    zone = shops.get_shop(shop_id).timezone
    values = {"shop": shop_id, "until": in_step_until, "next": rules.next_night(clock.now(), zone)}
    session.execute(_BEGIN, values)


def compare_due() -> int:
    """Compare the shops whose night it is, one after the other; how many. Manages its transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    done = 0
    while time.monotonic() < ends_at and not stopping.requested():
        now = clock.now()
        with transaction():
            row = session.execute(_TAKE, {"now": now, "until": now + rules.IN_HAND}).one_or_none()
        if row is None:
            return done
        done += 1
        try:
            _try(row, ends_at)
        except TakenOver:
            log.warning("customers.comparison_taken_over", shop_id=row.shop_id)
    with transaction():
        queue.enqueue("customers.compare", queue="sync", unless_waiting=True)
    return done


def _try(row: Any, ends_at: float) -> None:
    try:
        with contextlib.closing(shop_service.client(row.shop_id)) as client:
            _compare(row, client, ends_at)
    except TakenOver:
        raise
    except ShopifyError as error:
        _put_off(row, error.code)
    except Exception as error:
        log.exception("customers.comparison_stumbled", shop_id=row.shop_id)
        _put_off(row, error.code if isinstance(error, BlossomError) else type(error).__name__)


def _compare(row: Any, client: ShopifyClient, ends_at: float) -> None:
    with transaction():
        shop = shops.get_shop(row.shop_id)
        country, zone = shop.default_country, shop.timezone
    read = partial(customer_rules.read_customer, default_country=country, shop_zone=zone)
    began_at = clock.now()
    if _look_at_changes(row, client, read, ends_at) and _look_for_the_gone(row, client, ends_at):
        _finish(row, began_at, zone)
    else:
        _release(row)


def _look_at_changes(row: Any, client: ShopifyClient, read: Callable[..., Any], ends_at: float) -> bool:
    """Whether all of them were looked at; else the process is to stop, or its time is up."""
    since, after, pages = row.in_step_until - rules.LOOK_BACK, None, 0
    while time.monotonic() < ends_at and not stopping.requested():
        query = f"updated_at:>='{since.isoformat(timespec='seconds').replace('+00:00', 'Z')}'"
        page = client.run("customers_updated_since", query=query, first=PAGE, after=after)["customers"]
        chunk = rules.chunk_of(page["nodes"], read)
        latest = max((each.updated_at for each in chunk.customers), default=since)
        with transaction():
            _store(row, chunk, latest)
        pages += 1
        if not page["pageInfo"]["hasNextPage"]:
            return True
        after = page["pageInfo"]["endCursor"]
        if pages % _PAGES_IN_A_SEARCH == 0 and latest > since:
            since, after = latest, None
    return False


def _look_for_the_gone(row: Any, client: ShopifyClient, ends_at: float) -> bool:
    """Whether this night's asking is over; else the process is to stop, or its time is up."""
    up_to, asked, gone = row.asked_up_to, row.asked, row.gone
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            values = {"shop": row.shop_id, "after": up_to, "most": ASK, "before": clock.now() - _KNOWN_FOR}
            customers = list(session.scalars(_CUSTOMERS, values))
        missing = _missing(client, _missing(client, customers))  # twice, since one of Shopify's replicas may lag
        up_to, asked = customers[-1] if len(customers) == ASK else 0, asked + len(customers)
        with transaction():
            gone += forget_gone(row.shop_id, missing)
            until = clock.now() + rules.IN_HAND
            _write(_NOTE_ASKED, row, up_to=up_to, asked=asked, gone=gone, until=until)
        if gone >= GONE_A_NIGHT:
            log.error("customers.many_gone", shop_id=row.shop_id, gone=gone)
        if not up_to or asked >= ASKED_A_NIGHT or gone >= GONE_A_NIGHT:
            return True
    return False


def _missing(client: ShopifyClient, customers: Sequence[int]) -> list[int]:
    """Those of these customers whom Shopify doesn't know."""
    if not customers:
        return []
    nodes = client.run("customers_there", ids=[customer_rules.customer_gid(each) for each in customers])["nodes"]
    return [each for each, node in zip(customers, nodes, strict=True) if node is None]


def _store(row: Any, chunk: Chunk, latest: datetime) -> None:
    lock_for_transaction("contacts.save", row.shop_id)
    gone = set(session.scalars(select(CustomerGone.customer).where(CustomerGone.shop_id == row.shop_id)))
    saved = save_together(row.shop_id, [each for each in chunk.customers if each.id not in gone])
    found = sum(each is not None and each.outcome in (Outcome.CREATED, Outcome.UPDATED) for each in saved)
    until = clock.now() + rules.IN_HAND
    _write(_NOTE_PAGE, row, latest=latest, looked_at=chunk.lines, found=found, until=until)


def _finish(row: Any, began_at: datetime, zone: str) -> None:
    now = clock.now()
    with transaction():
        lock_for_transaction("contacts.save", row.shop_id)
        _write(_FINISH, row, latest=began_at, now=now, next=rules.next_night(now, zone))
        if not queries.has_open_import(row.shop_id):
            session.execute(delete(CustomerGone).where(CustomerGone.shop_id == row.shop_id))
    log.info("customers.compared", shop_id=row.shop_id)


def _put_off(row: Any, fault: str) -> None:
    log.warning("customers.comparison_put_off", shop_id=row.shop_id, fault=fault)
    with transaction():
        _write(_PUT_OFF, row, fault=fault, next=clock.now() + rules.retry_after(row.tries))


def _release(row: Any) -> None:
    """The next one goes on."""
    with transaction():
        _write(_PUT_OFF, row, fault=None, next=clock.now() + timedelta(seconds=1))


def _write(statement: Any, row: Any, **values: Any) -> None:
    """Raises `TakenOver`."""
    if rows_changed(statement, {"shop": row.shop_id, "turn": row.turn, **values}) == 0:
        raise TakenOver


_BEGIN = text(
    """
    INSERT INTO customer_comparisons (shop_id, in_step_until, next_try_at) VALUES (:shop, :until, :next)
    ON CONFLICT (shop_id) DO UPDATE
        SET in_step_until = greatest(customer_comparisons.in_step_until, excluded.in_step_until)
    """
)
# Not beside an import, which brings the same.
_TAKE = text(
    """
    UPDATE customer_comparisons SET turn = turn + 1, tries = tries + 1, in_hand_until = :until,
        looked_at = CASE WHEN finished_at IS NULL THEN looked_at ELSE 0 END,
        found = CASE WHEN finished_at IS NULL THEN found ELSE 0 END,
        asked = CASE WHEN finished_at IS NULL THEN asked ELSE 0 END,
        gone = CASE WHEN finished_at IS NULL THEN gone ELSE 0 END, finished_at = NULL
    WHERE shop_id = (
        SELECT c.shop_id FROM customer_comparisons c
        JOIN shops s ON s.id = c.shop_id JOIN installations i ON i.shop_id = c.shop_id
        WHERE c.next_try_at <= :now AND (c.in_hand_until IS NULL OR c.in_hand_until <= :now)
          AND s.uninstalled_at IS NULL AND i.access_token_sealed IS NOT NULL AND i.access_lost_at IS NULL
          AND NOT EXISTS (
              SELECT FROM customer_imports m
              WHERE m.shop_id = c.shop_id AND m.state IN ('asked', 'exporting', 'reading')
          )
        ORDER BY c.next_try_at LIMIT 1 FOR UPDATE OF c SKIP LOCKED
    )
    RETURNING shop_id, in_step_until, tries, turn, asked_up_to, asked, gone
    """
)
_NOTE_PAGE = text(
    """
    UPDATE customer_comparisons SET in_step_until = greatest(in_step_until, :latest), tries = 1,
        looked_at = looked_at + :looked_at, found = found + :found, in_hand_until = :until
    WHERE shop_id = :shop AND turn = :turn
    """
)
# Not who came by a file and was never read at Shopify: a file may name customers of long ago, or of another shop.
_CUSTOMERS = text(
    """
    SELECT shopify_customer_id FROM contacts
    WHERE shop_id = :shop AND shopify_customer_id > :after AND shopify_updated_at < :before
    ORDER BY shopify_customer_id LIMIT :most
    """
)
_NOTE_ASKED = text(
    """
    UPDATE customer_comparisons
    SET asked_up_to = :up_to, asked = :asked, gone = :gone, tries = 1, in_hand_until = :until
    WHERE shop_id = :shop AND turn = :turn
    """
)
_FINISH = text(
    """
    UPDATE customer_comparisons SET in_step_until = greatest(in_step_until, :latest), next_try_at = :next,
        in_hand_until = NULL, finished_at = :now, tries = 0, fault = NULL
    WHERE shop_id = :shop AND turn = :turn
    """
)
_PUT_OFF = text(
    """
    UPDATE customer_comparisons SET next_try_at = :next, in_hand_until = NULL, fault = :fault
    WHERE shop_id = :shop AND turn = :turn
    """
)

"""All of a shop's customers by one bulk operation: a state machine of rows, of which a worker does a step at a time.

    asked      → Shopify begins the export
    exporting  → polled until it has ended (the webhook `bulk_operations/finish` makes the next look come at once)
    reading    → the file, streamed; each chunk's people, consent, counts and resume point are one transaction
    completed

A worker takes an import for `rules.IN_HAND`; one that is killed is followed by the next, which goes on after the last
chunk that was committed. A file that is gone (they live for a week) is made anew, and read from its first line: what
stands in the contacts already costs a read each. The file's address is a key, so it is asked for, and never stored.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from sqlalchemy import delete, select, text, update

from blossom.contacts.rules import customers as customer_rules
from blossom.contacts.rules.customers import Customer
from blossom.customers import queries, rules
from blossom.customers.errors import TakenOver
from blossom.customers.models import CustomerGone, CustomerImport
from blossom.customers.rules import Chunk, ImportState, Progress
from blossom.customers.service import comparing
from blossom.customers.service.applying import save_together
from blossom.platform import clock, queue, stopping
from blossom.platform.db import lock_for_transaction, rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify import documents
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

if TYPE_CHECKING:
    from blossom.shopify.client import ShopifyClient

log = structlog.get_logger()

CHUNK_LINES = 1_000
LINES_PASSED_IN_HAND = 20_000
"""Some 12 MB, which come within `rules.IN_HAND` over any line."""

AT_A_TIME_SECONDS = 120.0
"""A job hands its worker back after this; the next one reads the file again up to where this one stopped, and as long
from there."""

_CLOCKS_DIFFER = timedelta(minutes=2)  # ours and Shopify's, at the most
_ANOTHER_FILE = {"export_gone", "answer_unreadable"}
_BUSY = {"LIMIT_REACHED", "OPERATION_IN_PROGRESS"}


def ask_import(shop_id: int) -> int:
    """Ask for an import of the shop's customers; its id, or the open one's. Flushed; who calls commits."""
    values = {"shop": shop_id, "now": clock.now()}
    found = session.scalar(_ASK, values)
    if found is None:
        found = session.scalars(
            select(CustomerImport.id).where(
                CustomerImport.shop_id == shop_id, CustomerImport.state.in_(rules.OPEN_STATES)
            )
        ).one()
    _nudge()
    return int(found)


def ask_for_owed() -> int:
    """Ask for the imports of shops that have just come, or come back; how many."""
    with transaction():
        owed = queries.owed_imports()
        for shop_id in owed:
            ask_import(shop_id)
    return len(owed)


def export_ended(shop_id: int, operation: str) -> bool:
    """Shopify says that this export has ended: look at once. Whether it is one that we wait for. Flushed."""
    ended = rows_changed(_LOOK_NOW, {"shop": shop_id, "operation": operation, "now": clock.now()}) > 0
    if ended:
        _nudge()
    return ended


def run_imports() -> int:
    """Do the steps that are due, until none is, or the time is up; how many. Manages its transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    steps = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            run = session.execute(_TAKE, {"now": clock.now(), "until": clock.now() + rules.IN_HAND}).one_or_none()
        if run is None:
            return steps
        steps += 1
        _step(run, ends_at)
    with transaction():
        _nudge()
    return steps


def import_now(shop_id: int) -> Progress:
    """Import, or go on with an import, here and not by a worker: until the shop's has ended or the process is to stop.
    For a command."""
    with transaction():
        ask_import(shop_id)
    while True:
        steps = run_imports()
        with transaction():
            progress = queries.latest_import(shop_id)
        assert progress is not None, "it was asked for above"
        if not progress.is_open or (steps == 0 and stopping.wait(1.0)):
            return progress


def _nudge() -> None:
    queue.enqueue("customers.run_imports", queue="sync", unless_waiting=True)


def _step(run: Any, ends_at: float) -> None:
    """One step, whose end is written down whatever it is, unless another worker has the import by then."""
    facts = {"import_id": run.id, "shop_id": run.shop_id, "state": run.state}
    try:
        _try_step(run, ends_at, facts)
    except TakenOver:
        log.warning("customers.import_taken_over", **facts)


def _try_step(run: Any, ends_at: float, facts: dict[str, Any]) -> None:
    try:
        with contextlib.closing(shop_service.client(run.shop_id)) as client:
            match ImportState(run.state):
                case ImportState.ASKED:
                    _begin(run, client)
                case ImportState.EXPORTING:
                    _poll(run, client)
                case _:
                    _read(run, client, ends_at)
    except TakenOver:
        raise
    except ShopifyError as error:
        if error.code in _ANOTHER_FILE:
            _begin_anew(run, error.code)
        elif error.kind is ShopifyErrorKind.PERMANENT and not _is_busy(error):
            _end(run, ImportState.FAILED, error.code)
            log.warning("customers.import_failed", **facts, code=error.code)
        else:
            _put_off(run, error.code, error.retry_after)
    except Exception as error:
        log.exception("customers.import_stumbled", **facts)
        _put_off(run, error.code if isinstance(error, BlossomError) else type(error).__name__)


def _is_busy(error: ShopifyError) -> bool:
    """So many exports at once as Shopify allows: another app's word, or our own of before."""
    return any(each.code in _BUSY for each in error.user_errors)


def _begin(run: Any, client: ShopifyClient) -> None:
    """Have Shopify begin the export. One that was begun, and whose answer got lost, is looked for first."""
    shop_service.describe(run.shop_id)  # zone and country, if they were never read: numbers are read by them
    wanted = documents.read("customers_bulk").text
    began_at, operation = clock.now(), None
    if run.beginning_at is not None:
        operation = _begun_before(client, wanted, run.beginning_at)
        began_at = run.beginning_at
    if operation is None:
        began_at = clock.now()
        with transaction():
            _set(run, beginning_at=began_at)
        operation = client.run("bulk_operation_run_query", query=wanted)["bulkOperationRunQuery"]["bulkOperation"]["id"]
    values = {"operation": operation, "export_began_at": began_at, "exports": run.exports + 1, "tries": 0}
    _release(run, clock.now() + rules.poll_after(timedelta(0)), state=ImportState.EXPORTING.value, **values)


def _begun_before(client: ShopifyClient, wanted: str, since: datetime) -> str | None:
    for each in client.run("bulk_operations_running")["bulkOperations"]["nodes"]:
        created_at = datetime.fromisoformat(each["createdAt"])
        if each["query"].split() == wanted.split() and created_at >= since - _CLOCKS_DIFFER:
            return str(each["id"])
    return None


def _poll(run: Any, client: ShopifyClient) -> None:
    export = client.run("bulk_operation", id=run.operation)["bulkOperation"]
    status = export["status"] if export else "EXPIRED"
    if status == "COMPLETED":
        total = int(export["objectCount"])
        _release(run, clock.now(), state=ImportState.READING.value, lines_total=total, tries=0)
    elif status in ("CREATED", "RUNNING", "CANCELING"):
        _release(run, clock.now() + rules.poll_after(clock.now() - run.export_began_at), tries=0)
    elif export and export["errorCode"] == "ACCESS_DENIED":
        raise ShopifyError("access_denied")
    else:
        _begin_anew(run, f"export_{status.lower()}")


def _read(run: Any, client: ShopifyClient, ends_at: float) -> None:
    export = client.run("bulk_operation", id=run.operation)["bulkOperation"]
    if not export or export["status"] != "COMPLETED":
        raise ShopifyError("export_gone")
    read_line = _reader_of(run.shop_id)
    done = run.lines_read
    if export["url"]:
        rest = _behind(done, client.download(export["url"]), run)
        if done:  # reading up to here took its time: as much again is for going on, or a slow line would never end
            ends_at = max(ends_at, time.monotonic() + AT_A_TIME_SECONDS)
        for several in _chunks(rest):
            chunk = rules.chunk_of(several, read_line)
            with transaction():
                _store(run, done, chunk)
            done += chunk.lines
            if time.monotonic() > ends_at or stopping.requested():
                break
    if done < run.lines_total and (time.monotonic() > ends_at or stopping.requested()):
        _release(run, clock.now(), tries=0)
    elif done != run.lines_total:
        raise ShopifyError("answer_unreadable")  # another file than Shopify has counted
    else:
        _end(run, ImportState.COMPLETED, None)
        log.info("customers.imported", shop_id=run.shop_id, import_id=run.id, lines=done)


def _behind(done: int, lines: Iterator[bytes], run: Any) -> Iterator[bytes]:
    """The lines after those that are done, which are read again and passed over; meanwhile the import stays in hand."""
    passed = 0
    while passed < done:
        several = min(done - passed, LINES_PASSED_IN_HAND)
        passed += several
        if sum(1 for _ in islice(lines, several)) < several:
            break
        with transaction():
            _set(run, in_hand_until=clock.now() + rules.IN_HAND)
    return lines


def _chunks(lines: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    while several := list(islice(lines, CHUNK_LINES)):
        yield several


def _reader_of(shop_id: int) -> Callable[[bytes], Customer | None]:
    with transaction():
        shop = shops.get_shop(shop_id)
        return partial(_customer_of, default_country=shop.default_country, shop_zone=shop.timezone)


def _customer_of(line: bytes, *, default_country: str, shop_zone: str) -> Customer | None:
    try:
        facts = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(facts, dict):
        return None
    return customer_rules.read_customer(facts, default_country=default_country, shop_zone=shop_zone)


def _store(run: Any, expected: int, chunk: Chunk) -> None:
    """One chunk and the note how far we are, in one transaction: both or neither."""
    lock_for_transaction("contacts.save", run.shop_id)  # who removes a customer has it too, and notes them first
    gone = set(session.scalars(select(CustomerGone.customer).where(CustomerGone.shop_id == run.shop_id)))
    customers = [each for each in chunk.customers if each.id not in gone]
    outcomes = {"created": 0, "updated": 0, "unchanged": 0, "older": 0}
    outcomes["older"] = sum(each.id in gone and each.person is not None for each in chunk.customers)
    for customer, saved in zip(customers, save_together(run.shop_id, customers), strict=True):
        if customer.person is not None:
            outcomes["older" if saved is None or saved.outcome is None else saved.outcome.value] += 1
    counted = {
        **outcomes,
        "lines": chunk.lines,
        "without_phone": chunk.without_phone,
        "refused": sum(chunk.refused.values()),
        "codes": orjson.dumps(chunk.refused).decode(),
    }
    now = clock.now()
    kept = {"id": run.id, "turn": run.turn, "expected": expected, "now": now, "until": now + rules.IN_HAND}
    if rows_changed(_NOTE_CHUNK, {**kept, **counted}) == 0:
        raise TakenOver


def _begin_anew(run: Any, fault: str) -> None:
    """The export came to nothing, or its file is gone: another one, read from its beginning. Nothing is undone."""
    if run.exports >= rules.MOST_EXPORTS:
        _end(run, ImportState.FAILED, fault)
        return
    counts = ("lines_read", "created", "updated", "unchanged", "older", "without_phone", "refused")
    values: dict[str, Any] = {"operation": None, "beginning_at": None, "lines_total": None, "refused_by_code": {}}
    values |= {"state": ImportState.ASKED.value, "fault": fault, **dict.fromkeys(counts, 0)}
    _release(run, clock.now() + rules.retry_after(run.exports), **values)


def _put_off(run: Any, fault: str, retry_after: float | None = None) -> None:
    """Try again later; after too many failures in a row, never. After a step or a chunk that went well they are
    counted from zero."""
    with transaction():
        query = select(CustomerImport.tries).where(CustomerImport.shop_id == run.shop_id, CustomerImport.id == run.id)
        tries = session.scalars(query).one()
    if tries >= rules.MOST_TRIES:
        _end(run, ImportState.FAILED, fault)
        return
    pause = max(rules.retry_after(tries + 1), timedelta(seconds=retry_after or 0))
    _release(run, clock.now() + pause, tries=tries + 1, fault=fault)


def _end(run: Any, state: ImportState, fault: str | None) -> None:
    with transaction():
        lock_for_transaction("contacts.save", run.shop_id)
        _set(run, state=state.value, fault=fault, finished_at=clock.now(), next_try_at=None, in_hand_until=None)
        session.execute(delete(CustomerGone).where(CustomerGone.shop_id == run.shop_id))
        if state is ImportState.COMPLETED:
            comparing.begin_comparing(run.shop_id, run.export_began_at)


def _release(run: Any, next_try_at: datetime, **values: Any) -> None:
    """Write a step's end and let go of the import until then."""
    with transaction():
        _set(run, next_try_at=next_try_at, in_hand_until=None, **values)


def _set(run: Any, **values: Any) -> None:
    """Raises `TakenOver`."""
    statement = (
        update(CustomerImport)
        .where(
            CustomerImport.shop_id == run.shop_id,
            CustomerImport.id == run.id,
            CustomerImport.turn == run.turn,
            CustomerImport.finished_at.is_(None),
        )
        .values(values)
        .execution_options(synchronize_session=False)
    )
    if rows_changed(statement) == 0:
        raise TakenOver


_ASK = text(
    """
    INSERT INTO customer_imports (shop_id, state, asked_at, next_try_at) VALUES (:shop, 'asked', :now, :now)
    ON CONFLICT (shop_id) WHERE state IN ('asked', 'exporting', 'reading') DO NOTHING RETURNING id
    """
)
_LOOK_NOW = text(
    """
    UPDATE customer_imports SET next_try_at = least(next_try_at, :now)
    WHERE shop_id = :shop AND operation = :operation AND state = 'exporting'
    """
)
_TAKE = text(
    """
    UPDATE customer_imports SET turn = turn + 1, in_hand_until = :until
    WHERE id = (
        SELECT id FROM customer_imports
        WHERE state IN ('asked', 'exporting', 'reading') AND next_try_at <= :now
          AND (in_hand_until IS NULL OR in_hand_until <= :now)
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, shop_id, state, operation, beginning_at, export_began_at, lines_total, lines_read, exports,
        turn
    """
)
_NOTE_CHUNK = text(
    """
    UPDATE customer_imports SET lines_read = lines_read + :lines, created = created + :created,
        updated = updated + :updated, unchanged = unchanged + :unchanged, older = older + :older,
        without_phone = without_phone + :without_phone, refused = refused + :refused,
        refused_by_code = (
            SELECT coalesce(jsonb_object_agg(code, times), '{}') FROM (
                SELECT key AS code, sum(value::integer) AS times FROM (
                    SELECT * FROM jsonb_each_text(refused_by_code)
                    UNION ALL SELECT * FROM jsonb_each_text(CAST(:codes AS jsonb))
                ) AS both_of_them GROUP BY key
            ) AS summed
        ),
        tries = 0, fault = NULL, next_try_at = :now, in_hand_until = :until
    WHERE id = :id AND turn = :turn AND lines_read = :expected AND state = 'reading'
    """
)

"""How the database finds its rows while a dispatch is fresh: thousands of rows, and no statistics about them yet.

That is when a planner guesses, and a guess that reads the whole of a table for each batch makes the send quadratic.
The statements are taken from a real run, with the values that they ran with, and explained right before they run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.mitto import payloads
from blossom.mitto.client import MittoClient
from blossom.mitto.payloads import BulkAnswer, OutgoingText
from blossom.platform import db
from tests.factories.consent import create_subscriber
from tests.messaging.conftest import Outbox

PEOPLE = 4_000
LARGE = {"messages", "provider_messages", "receipts", "contacts", "consents"}
"""Tables that grow with recipients; batches, attempts and dispatches are hundreds of times smaller."""


class Explained:
    """Statements on large tables, each with the tables that its plan reads from end to end."""

    def __init__(self) -> None:
        self.scans: dict[str, set[str]] = {}

    def look(self, connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        verb = statement.lstrip().partition(" ")[0].upper()
        if verb not in ("SELECT", "INSERT", "UPDATE", "WITH") or not any(name in statement for name in LARGE):
            return
        with connection.connection.driver_connection.cursor() as own:
            own.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            plan = own.fetchone()[0]
        plan = json.loads(plan) if isinstance(plan, str) else plan
        found = self.scans.setdefault(" ".join(statement.split()), set())
        found |= {
            node["Relation Name"]
            for node in nodes(plan[0]["Plan"])
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
        }

    def about(self, words: str) -> list[set[str]]:
        """What the plans of the statements with these words read from end to end."""
        return [tables for statement, tables in self.scans.items() if words in statement]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@contextmanager
def explained() -> Iterator[Explained]:
    seen = Explained()
    engine = db.session.connection().engine
    db.session.remove()
    event.listen(engine, "before_cursor_execute", seen.look)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", seen.look)


def multiply_people(outbox: Outbox) -> None:
    """One subscriber becomes thousands: the same sealed phone (nobody is texted here) under hashes of their own."""
    with db.transaction():
        create_subscriber(outbox.shop)
    for table in ("contacts", "consents"):
        with db.transaction() as session:
            columns = session.scalars(
                text("""
                    SELECT column_name FROM information_schema.columns
                    WHERE table_name = :table AND column_name NOT IN ('id', 'phone_hash')
                """),
                {"table": table},
            ).all()
            listed = ", ".join(columns)
            session.execute(
                text(f"""
                    INSERT INTO {table} ({listed}, phone_hash)
                    SELECT {listed}, substring(sha256(CAST(n AS text)::bytea) FOR 16)
                    FROM {table}, generate_series(1, :more) AS n WHERE shop_id = :shop_id
                """),
                {"more": PEOPLE - 1, "shop_id": outbox.shop.id},
            )


_calls = count(1)


def take_everything(_: MittoClient, texts: list[OutgoingText], account: str) -> BulkAnswer:
    """The provider's answer when it took every text."""
    call = next(_calls)
    return BulkAnswer(f"bulk{call}", [f"call{call}text{number}" for number in range(len(texts))])


def laps(number: int) -> None:
    """So many batches are sent to a provider that takes everything."""
    real, left = service.lane._lap, iter(range(number - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.MittoClient, "send_bulk", take_everything)
        patch.setattr(service.lane, "_lap", lambda *args: real(*args) and next(left, None) is not None)
        service.run_lane(seconds=60, worker="test")


_OLD_RECEIPTS = text("""
INSERT INTO receipts (fingerprint, provider_message_id, status, received_at, state)
SELECT sha256(CAST(n || p.provider_message_id AS bytea)), p.provider_message_id, 'Sent', now(), 'applied'
FROM provider_messages p, generate_series(1, 5) AS n
""")


def receipts(most: int) -> list[payloads.Receipt]:
    with db.transaction() as session:
        ids = session.scalars(text("SELECT provider_message_id FROM provider_messages LIMIT :n"), {"n": most}).all()
    return [payloads.Receipt(each, "Delivered") for each in ids]


@pytest.fixture
def fresh(outbox: Outbox) -> Dispatch:
    """A dispatch whose audience has just been fixed, beside an older one that is being sent and has had receipts."""
    with db.transaction():
        outbox.set(daily_cap=1_000, weekly_cap=1_000)
    multiply_people(outbox)
    outbox.start()
    laps(PEOPLE // 50)
    with db.transaction() as session:
        session.execute(_OLD_RECEIPTS)
    return outbox.start()


def test_a_fresh_dispatch_is_never_read_as_a_whole(outbox: Outbox, fresh: Dispatch) -> None:
    with db.transaction() as session:
        known = session.scalar(text("SELECT reltuples FROM pg_class WHERE relname = 'messages'"))
        rows = session.scalar(text("SELECT count(*) FROM messages"))
    assert known <= 0, "nobody has analysed the table since it was empty"
    assert rows == 2 * PEOPLE
    news = receipts(200)
    with explained() as seen:
        laps(2)
        with db.transaction():
            service.store_receipts(news)
        with db.transaction():
            service.apply_receipts()
        service.sweep()
    for words in (
        "FROM messages m LEFT JOIN contacts c",  # whom a batch is for
        ") mine CROSS JOIN LATERAL (",  # what they got in the last week
        "UPDATE messages m SET state = v.state, reason",  # what became of a call
        "FROM receipts r LEFT JOIN provider_messages p",  # which receipts are due
        "WHERE m.id = ANY(CAST(%(ids)s AS bigint[])) ORDER BY m.id FOR NO KEY UPDATE",  # their messages
        "coalesce(r.occurred_at, r.received_at)",  # all that was ever said of these texts
        "UPDATE messages m SET state = v.state, delivery_status",  # what the receipts came to
        "UPDATE receipts r SET state = v.state",
        "UPDATE receipts r SET state = 'new'",  # orphans
    ):
        assert seen.about(words), f"no such statement ran: {words}"
    offenders = {statement[:150]: tables for statement, tables in seen.scans.items() if tables}
    assert offenders == {}

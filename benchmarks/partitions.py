"""`messages` and `provider_messages` with many rows, as they are and in ranges of dispatches: what would be gained?

    .venv/bin/python -m benchmarks.partitions --rows 10000000
    .venv/bin/python -m benchmarks.partitions --rows 10000000 --parts 10

The tables are filled dispatch by dispatch, and then asked what the app asks, by the app's own statements. A message's
id tells its dispatch (docs/decisions/0016), so its parts are ranges of ids, and whoever names an id names its part.
Takes about 1 kB of disk a row. Prints one JSON object; docs/operations.md has the conclusions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
import psutil
import psycopg
from sqlalchemy import TextClause, text

from benchmarks.ground import Ground, create_shop_with, ground
from blossom.messaging.queries.recipients import _ROWS as RECIPIENTS
from blossom.messaging.rules.states import MARKETING_KINDS
from blossom.messaging.service import composing, receipts, recording
from blossom.platform import clock, db

PEOPLE = 100_000
"""Recipients of each dispatch."""

BATCH, BULK, ROUNDS = 500, 2_000, 20
TABLES = ("messages", "provider_messages")
PARTED_BY = {"messages": "id", "provider_messages": "message_id"}
IDS = 10_000_000
"""Of a dispatch: its messages' ids are from its own times this on."""

_DISPATCH = """
INSERT INTO dispatches (shop_id, kind, state, rank, priority, source, trigger, sender, total, created_at, finished_at)
VALUES (%(shop_id)s, 'campaign', 'completed', 2, 1, '', 'campaign', 'Bench', %(people)s, %(at)s, %(at)s) RETURNING id
"""
_BATCHES = """
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, sent, first_id, last_id)
SELECT %(dispatch)s, n, %(shop_id)s, 'done', %(at)s, %(at)s, %(batch)s, %(batch)s,
       %(first)s + n * %(batch)s + 1, %(first)s + (n + 1) * %(batch)s
FROM generate_series(0, %(people)s / %(batch)s - 1) AS n
"""
# As a dispatch ends: everybody has a name of the provider's. The newest is as its snapshot leaves it.
_MESSAGES = """
INSERT INTO messages (id, shop_id, dispatch_id, batch_number, phone_sealed, phone_hash, country, zone, state,
                      provider_message_id, segments, credits, created_at, sent_at)
SELECT %(first)s + n, shop_id, %(dispatch)s, (n - 1) / %(batch)s, phone_sealed, phone_hash, country, zone,
       CASE WHEN %(sent)s THEN 'sent' ELSE 'pending' END,
       CASE WHEN %(sent)s THEN md5(%(dispatch)s || '/' || n)::uuid::text END, 1, 7, %(at)s,
       CASE WHEN %(sent)s THEN %(at)s::timestamptz END
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM contacts WHERE shop_id = %(shop_id)s) c
"""
_NAMES = """
INSERT INTO provider_messages (provider_message_id, shop_id, message_id)
SELECT provider_message_id, shop_id, id FROM messages
WHERE id BETWEEN %(first)s AND %(first)s + %(people)s AND state = 'sent'
"""
_FIND = text("SELECT message_id FROM provider_messages WHERE provider_message_id = ANY(CAST(:names AS text[]))")


def divide(connection: psycopg.Connection, parts: int, per_part: int) -> None:
    """Make both tables anew, empty, in `parts` ranges of dispatches, with their triggers.

    A unique key of a divided table must hold what it is divided by. One that doesn't becomes an index of each part:
    (phone_hash, dispatch_id) is as good so, since no dispatch has rows in two parts; the provider's ids are not.
    """
    for table, key in PARTED_BY.items():
        triggers = connection.execute(
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", (table,)
        ).fetchall()
        unique = connection.execute(
            "SELECT contype, array_agg(attname::text) FROM pg_constraint JOIN pg_attribute"
            " ON attrelid = conrelid AND attnum = ANY(conkey) WHERE conrelid = %s::regclass AND contype IN ('p', 'u')"
            " GROUP BY pg_constraint.oid, contype",
            (table,),
        ).fetchall()
        [[storage]] = connection.execute(
            "SELECT coalesce('WITH (' || array_to_string(reloptions, ', ') || ')', '') FROM pg_class"
            " WHERE oid = %s::regclass",
            (table,),
        ).fetchall()
        connection.execute(f"ALTER TABLE {table} RENAME TO whole")
        connection.execute(
            f"CREATE TABLE {table} (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE ({key})"
        )
        connection.execute("DROP TABLE whole")
        for part in range(parts):
            low, high = ((part + each) * per_part * IDS + IDS for each in (0, 1))
            connection.execute(
                f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high}) {storage}"
            )
        for kind, columns in unique:
            listed = ", ".join(columns)
            if key in columns:
                connection.execute(f"ALTER TABLE {table} ADD {'PRIMARY KEY' if kind == 'p' else 'UNIQUE'} ({listed})")
            else:
                for part in range(parts):
                    connection.execute(f"CREATE UNIQUE INDEX ON {table}_{part} ({listed})")
        for (definition,) in triggers:
            connection.execute(definition)


def fill(connection: psycopg.Connection, shop_id: int, dispatches: int) -> dict[str, Any]:
    """Rows a second of the median dispatch, early and late, and of all with checkpoints; the session's CPU time."""
    now = clock.now()
    spent: dict[str, list[float]] = {table: [] for table in TABLES}
    server = psutil.Process(connection.info.backend_pid)
    cpu = _cpu(server)
    for number in range(dispatches):
        values = {"shop_id": shop_id, "people": PEOPLE, "batch": BATCH, "at": now - timedelta(days=dispatches - number)}
        values["sent"] = number < dispatches - 1
        with connection.transaction():
            [values["dispatch"]] = connection.execute(_DISPATCH, values).fetchone() or [0]
            assert values["dispatch"] == number + 1, "ranges of dispatches are counted from one"
            values["first"] = values["dispatch"] * IDS
            connection.execute(_BATCHES, values)
        for table, statement in ((TABLES[0], _MESSAGES), (TABLES[1], _NAMES)):
            started = time.monotonic()
            connection.execute(statement, values)
            spent[table].append(time.monotonic() - started)
    names_of = dispatches - 1  # the newest has none yet
    return {
        f"{table}_per_second": {
            "first_tenth": round(PEOPLE / statistics.median(spent[table][: max(1, dispatches // 10)])),
            "last_tenth": round(
                PEOPLE / statistics.median(spent[table][names_of - max(1, dispatches // 10) : names_of])
            ),
            "all": round(PEOPLE * names_of / sum(spent[table][:names_of])),
        }
        for table in TABLES
    } | {"cpu_microseconds_a_row": round(1e6 * (_cpu(server) - cpu) / (PEOPLE * dispatches), 1)}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def leaves(connection: psycopg.Connection, table: str) -> list[str]:
    """The tables that hold its rows: its parts, or itself."""
    parts = connection.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf", (table,))
    return [row[0] for row in parts] or [table]


def sizes(connection: psycopg.Connection, rows: int) -> dict[str, Any]:
    found = {}
    for table in TABLES:
        heap, indexes = connection.execute(
            "SELECT sum(pg_table_size(each::regclass))::bigint, sum(pg_indexes_size(each::regclass))::bigint"
            " FROM unnest(%s::text[]) AS each",
            (leaves(connection, table),),
        ).fetchone() or (0, 0)
        found[table] = {"heap_mb": round(heap / 1e6), "indexes_mb": round(indexes / 1e6)}
        found[table]["bytes_a_row"] = round((heap + indexes) / rows)
    return found


def ids_of(dispatch: int, first: int, number: int) -> list[int]:
    return list(range(dispatch * IDS + first + 1, dispatch * IDS + first + number + 1))


def record(shop_id: int, dispatch: int) -> int:
    """Every batch of the newest dispatch is recorded as sent, each committed; rows a second of the median."""
    # No index spans the parts, so none can be named; all that there are count.
    statement, rates = text(str(recording._RECORD).replace("ON CONFLICT (provider_message_id)", "ON CONFLICT")), []
    for first in range(0, PEOPLE, BATCH):
        ids = ids_of(dispatch, first, BATCH)
        values = {
            "ids": ids, "states": ["sent"] * BATCH, "reasons": [None] * BATCH, "errors": [None] * BATCH,
            "provider_ids": [f"3f2b8c1e-0000-4000-8000-{each:012d}" for each in ids], "segments": [1] * BATCH,
            "credits": [7] * BATCH, "attempt_id": 1, "called_at": clock.now(), "now": clock.now(), "shop_id": shop_id,
        }  # fmt: skip
        rates.append(BATCH / timed(statement, values))
    return round(statistics.median(rates))


def apply(dispatch: int) -> int:
    """Ten bulks of receipts for one dispatch, written to `messages`; rows a second of the median one."""
    rates = []
    for bulk in range(10):
        changes = [
            {"id": each, "state": "delivered", "raw": "Delivered", "error": None, "credits": 0, "at": clock.now(),
             "provider_message_id": f"{each:036d}"}
            for each in ids_of(dispatch, bulk * BULK, BULK)
        ]  # fmt: skip
        rates.append(BULK / timed(receipts._CHANGE, {"changes": orjson.dumps(changes).decode()}))
    return round(statistics.median(rates))


def timed(statement: TextClause, values: Mapping[str, Any]) -> float:
    """Seconds of one transaction with this statement."""
    started = time.monotonic()
    with db.transaction() as session:
        session.execute(statement, values)
    return time.monotonic() - started


def column(statement: str, **values: Any) -> list[Any]:
    with db.transaction() as session:
        return list(session.scalars(text(statement), values))


def median_ms(statement: TextClause, values: Callable[[int], Mapping[str, Any]]) -> float:
    """Of some rounds, each in a transaction of its own."""
    taken = []
    for turn in range(ROUNDS):
        given = values(turn)
        with db.transaction() as session:
            started = time.monotonic()
            session.execute(statement, given).all()
            taken.append(time.monotonic() - started)
    return round(1000 * statistics.median(taken), 2)


def reads(shop_id: int, dispatches: int) -> dict[str, float]:
    """Milliseconds of what the app asks of these tables."""
    now = clock.now()

    def page(turn: int) -> Mapping[str, Any]:
        at = 1 + turn * (dispatches - 1) // ROUNDS
        return {"shop_id": shop_id, "dispatch_id": at, "first_id": at * IDS, "last_id": (at + 1) * IDS - 1, "limit": 50,
                "states": None, "phone_hash": None}  # fmt: skip

    def caps(turn: int) -> Mapping[str, Any]:
        first = dispatches * IDS + turn * BATCH
        return {
            "shop_id": shop_id, "dispatch_id": dispatches, "batch_number": turn, "first_id": first + 1,
            "last_id": first + BATCH, "attempt_id": 1, "kinds": [kind.value for kind in MARKETING_KINDS], "daily": 2,
            "weekly": 100, "day_ago": now - timedelta(days=1), "week_ago": now - timedelta(days=7),
            "begun_after": now - timedelta(days=37),
        }  # fmt: skip

    def names(turn: int) -> Mapping[str, Any]:
        at = 1 + turn * (dispatches - 1) // ROUNDS
        listed = column(
            "SELECT provider_message_id FROM messages WHERE id BETWEEN :first AND :last",
            first=at * IDS + 1, last=at * IDS + BULK,
        )  # fmt: skip
        return {"names": listed}

    return {
        "recipients_page": median_ms(RECIPIENTS, page),
        "caps_of_a_batch": median_ms(composing._CAPPED, caps),
        "names_of_2000_receipts": median_ms(_FIND, names),
    }


def retire(connection: psycopg.Connection, per_part: int, parts: int) -> dict[str, float]:
    """Let the oldest dispatches go, and tidy up after them; seconds."""
    taken: dict[str, float] = {}

    def step(name: str, *statements: str) -> None:
        started = time.monotonic()
        for statement in statements:
            connection.execute(statement)
        taken[name] = round(time.monotonic() - started, 2)

    if parts > 1:
        for table in TABLES:
            step(f"{table}_drop", f"ALTER TABLE {table} DETACH PARTITION {table}_0", f"DROP TABLE {table}_0")
            step(f"{table}_vacuum_of_a_part", f"VACUUM {table}_1")
        return taken
    for table in reversed(TABLES):
        gone = f"SELECT provider_message_id FROM messages WHERE id < {(per_part + 1) * IDS}"
        which = f"provider_message_id IN ({gone})" if table == TABLES[1] else f"id < {(per_part + 1) * IDS}"
        step(f"{table}_delete", f"DELETE FROM {table} WHERE {which}")
    for table in TABLES:
        step(f"{table}_vacuum_after_it", f"VACUUM {table}")
    return taken


def measure(made: Ground, dispatches: int, parts: int) -> dict[str, Any]:
    """One layout, in the ground's database: filled, asked, and its oldest tenth removed."""
    shop = create_shop_with(made, PEOPLE)
    with made.connect() as connection:
        if parts > 1:
            divide(connection, parts, dispatches // parts)
        for leaf in (leaf for table in TABLES for leaf in leaves(connection, table)):
            connection.execute(f"ALTER TABLE {leaf} SET (autovacuum_enabled = off)")  # we say when
        found: dict[str, Any] = {"parts": parts, "insert": fill(connection, shop.id, dispatches)}
        started = time.monotonic()
        connection.execute("VACUUM ANALYZE messages, provider_messages")
        found["first_vacuum_seconds"] = round(time.monotonic() - started, 1)
        found["size"] = sizes(connection, dispatches * PEOPLE)
        found["read_ms"] = reads(shop.id, dispatches)
        found["record_per_second"] = record(shop.id, dispatches)
        found["receipts_per_second"] = apply(dispatches - 1)
        found["retire_seconds"] = retire(connection, max(1, dispatches // 10), parts)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partitions", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help=f"a multiple of {PEOPLE}")
    parser.add_argument("--parts", type=int, default=1, help="1: the tables as they are")
    options = parser.parse_args()
    with ground() as made:
        found = measure(made, options.rows // PEOPLE, options.parts)
    print(orjson.dumps({"rows": options.rows, **found}).decode())


if __name__ == "__main__":
    main()

"""`messages` and `provider_messages` with many rows, as they are and partitioned by dispatch: what would be gained?

    .venv/bin/python -m benchmarks.partitions --rows 10000000
    .venv/bin/python -m benchmarks.partitions --rows 10000000 --parts 10

The tables are filled dispatch by dispatch, and then asked what the app asks, by the app's own statements. `routed` are
the same statements with the dispatch named besides the id, which lets Postgres go to one part: that is what the app
would have to say. Takes about 0.9 kB of disk a row. Prints one JSON object; docs/operations.md has the conclusions.
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
KEYS = {"messages": ("id",), "provider_messages": ("provider_message_id",)}

_DISPATCH = """
INSERT INTO dispatches (shop_id, kind, state, rank, priority, source, trigger, sender, total, created_at, finished_at)
VALUES (%(shop_id)s, 'campaign', 'completed', 2, 1, '', 'campaign', 'Bench', %(people)s, %(at)s, %(at)s) RETURNING id
"""
_BATCHES = """
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, sent)
SELECT %(dispatch)s, n, %(shop_id)s, 'done', %(at)s, %(at)s, %(batch)s, %(batch)s
FROM generate_series(0, %(people)s / %(batch)s) AS n
"""
# As a dispatch ends: everybody has a name of the provider's. The newest is as its snapshot leaves it.
_MESSAGES = """
INSERT INTO messages (shop_id, dispatch_id, batch_number, contact_id, phone_sealed, phone_hash, country, zone, state,
                      provider_message_id, segments, credits, created_at, sent_at)
SELECT shop_id, %(dispatch)s, (row_number() OVER (ORDER BY id) - 1) / %(batch)s, id, phone_sealed, phone_hash, country,
       zone, CASE WHEN %(sent)s THEN 'sent' ELSE 'pending' END,
       CASE WHEN %(sent)s THEN md5(%(dispatch)s || '/' || id)::uuid::text END, 1, 7, %(at)s,
       CASE WHEN %(sent)s THEN %(at)s::timestamptz END
FROM contacts WHERE shop_id = %(shop_id)s
"""
_NAMES = """
INSERT INTO provider_messages (provider_message_id, shop_id, message_id{key})
SELECT provider_message_id, shop_id, id{value} FROM messages WHERE dispatch_id = %(dispatch)s AND state = 'sent'
"""
_FIND = text("SELECT message_id FROM provider_messages WHERE provider_message_id = ANY(CAST(:names AS text[]))")


def layout_of(connection: psycopg.Connection, parts: int, per_part: int) -> None:
    """Make both tables anew, empty, in `parts` ranges of dispatches; each index and constraint as it was.

    A unique key of a partitioned table must hold the partition key: so the primary keys are widened by it, while
    (dispatch, phone) holds it already.
    """
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO whole")
        if table == "provider_messages":
            connection.execute("ALTER TABLE whole ADD dispatch_id bigint NOT NULL DEFAULT 0")
        options = connection.execute("SELECT reloptions FROM pg_class WHERE relname = 'whole'").fetchone()
        storage = f"WITH ({', '.join(options[0])})" if options and options[0] else ""
        connection.execute(
            f"CREATE TABLE {table} (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY)"
            " PARTITION BY RANGE (dispatch_id)"
        )
        keys = connection.execute(
            "SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'whole'::regclass AND contype IN ('p', 'u', 'f')"
        ).fetchall()
        plain = connection.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'whole'::regclass"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
        ).fetchall()
        connection.execute("DROP TABLE whole")
        for kind, definition in keys:
            primary = f"PRIMARY KEY ({', '.join(KEYS[table])}, dispatch_id)"
            connection.execute(f"ALTER TABLE {table} ADD {primary if kind == 'p' else definition}")
        for (definition,) in plain:
            connection.execute(definition.replace(".whole ", f".{table} ").replace(" whole ", f" {table} "))
        for part in range(parts):
            connection.execute(
                f"CREATE TABLE {table}_{part} PARTITION OF {table}"
                f" FOR VALUES FROM ({part * per_part + 1}) TO ({(part + 1) * per_part + 1}) {storage}"
            )


def fill(connection: psycopg.Connection, shop_id: int, dispatches: int, parts: int) -> dict[str, Any]:
    """Rows a second of the median dispatch, early and late, and of all with checkpoints; the session's CPU time."""
    now, names = clock.now(), _NAMES.format(key=", dispatch_id", value=", dispatch_id")
    if parts == 1:
        names = _NAMES.format(key="", value="")
    spent: dict[str, list[float]] = {table: [] for table in TABLES}
    server = psutil.Process(connection.info.backend_pid)
    cpu = _cpu(server)
    for number in range(dispatches):
        values = {"shop_id": shop_id, "people": PEOPLE, "batch": BATCH, "at": now - timedelta(days=dispatches - number)}
        values["sent"] = number < dispatches - 1
        with connection.transaction():
            [values["dispatch"]] = connection.execute(_DISPATCH, values).fetchone() or [0]
            assert values["dispatch"] == number + 1, "ranges of dispatches are counted from one"
            connection.execute(_BATCHES, values)
        for table, statement in ((TABLES[0], _MESSAGES), (TABLES[1], names)):
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


def as_it_is(statement: str) -> str:
    return statement


def with_names(statement: str) -> str:
    """The names of a partitioned `provider_messages` have their dispatch beside them."""
    columns, values = "provider_message_id, shop_id, message_id", "v.provider_message_id, :shop_id, v.id"
    return (
        statement.replace(f"({columns})", f"({columns}, dispatch_id)")
        .replace(f"SELECT {values} FROM", f"SELECT {values}, :dispatch FROM")
        .replace("ON CONFLICT (provider_message_id) DO", "ON CONFLICT DO")
    )


def routed(statement: str) -> str:
    """Also the message's dispatch is named, so that one part is looked at."""
    return with_names(statement).replace("WHERE m.id = v.id", "WHERE m.id = v.id AND m.dispatch_id = :dispatch")


Way = Callable[[str], str]


def record(shop_id: int, dispatch: int, way: Way, turn: int) -> int:
    """Every other batch of the newest dispatch is recorded as sent, each committed; rows a second of the median."""
    statement, rates = text(way(str(recording._RECORD))), []
    for number in range(turn, PEOPLE // BATCH, 2):
        ids = column("SELECT id FROM messages WHERE dispatch_id = :d AND batch_number = :n", d=dispatch, n=number)
        values = {
            "ids": ids, "states": ["sent"] * len(ids), "reasons": [None] * len(ids), "errors": [None] * len(ids),
            "provider_ids": [f"3f2b8c1e-0000-4000-8000-{each:012d}" for each in ids], "segments": [1] * len(ids),
            "credits": [7] * len(ids), "attempt_id": 1, "called_at": clock.now(), "now": clock.now(),
            "shop_id": shop_id, "dispatch": dispatch,
        }  # fmt: skip
        rates.append(len(ids) / timed(statement, values))
    return round(statistics.median(rates))


def apply(dispatch: int, way: Way, turn: int) -> int:
    """Ten bulks of receipts for one dispatch, written to `messages`; rows a second of the median one."""
    statement, rates = text(way(str(receipts._CHANGE))), []
    for bulk in range(turn, turn + 20, 2):
        ids = column("SELECT id FROM messages WHERE dispatch_id = :d ORDER BY id OFFSET :o LIMIT :n",
                     d=dispatch, o=bulk * BULK, n=BULK)  # fmt: skip
        values = {
            "ids": ids, "states": ["delivered"] * BULK, "raws": ["Delivered"] * BULK, "errors": [None] * BULK,
            "credits": [0] * BULK, "provider_ids": [f"bulk{bulk}-{each}" for each in ids],
            "moments": [clock.now()] * BULK, "dispatch": dispatch,
        }  # fmt: skip
        rates.append(BULK / timed(statement, values))
    return round(statistics.median(rates))


def timed(statement: TextClause, values: Mapping[str, Any]) -> float:
    """Seconds of one transaction with this statement."""
    needed = {name: value for name, value in values.items() if name in statement._bindparams}
    started = time.monotonic()
    with db.transaction() as session:
        session.execute(statement, needed)
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
    people = column("SELECT id FROM contacts WHERE shop_id = :s ORDER BY id LIMIT :n", s=shop_id, n=ROUNDS * BATCH)
    since = clock.now() - timedelta(days=7)

    def page(turn: int) -> Mapping[str, Any]:
        at = 1 + turn * (dispatches - 1) // ROUNDS
        return {"shop_id": shop_id, "dispatch_id": at, "after_id": 0, "limit": 50, "states": None, "phone_hash": None}

    def caps(turn: int) -> Mapping[str, Any]:
        return {
            "contact_ids": people[turn * BATCH : (turn + 1) * BATCH], "since": since, "shop_id": shop_id,
            "created_after": since - timedelta(days=30), "now": clock.now(), "attempt_id": 1,
            "kinds": [kind.value for kind in MARKETING_KINDS],
        }  # fmt: skip

    def names(turn: int) -> Mapping[str, Any]:
        at = 1 + turn * (dispatches - 1) // ROUNDS
        listed = column("SELECT provider_message_id FROM messages WHERE dispatch_id = :d LIMIT :n", d=at, n=BULK)
        return {"names": listed}

    return {
        "recipients_page": median_ms(RECIPIENTS, page),
        "caps_of_a_batch": median_ms(composing._EARLIER, caps),
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
    gone = f"SELECT provider_message_id FROM messages WHERE dispatch_id <= {per_part}"
    step("provider_messages_delete", f"DELETE FROM provider_messages WHERE provider_message_id IN ({gone})")
    step("messages_delete", f"DELETE FROM messages WHERE dispatch_id <= {per_part}")
    for table in TABLES:
        step(f"{table}_vacuum_after_it", f"VACUUM {table}")
    return taken


def measure(made: Ground, dispatches: int, parts: int) -> dict[str, Any]:
    """One layout, in the ground's database: filled, asked, and its oldest tenth removed."""
    shop = create_shop_with(made, PEOPLE)
    with made.connect() as connection:
        if parts > 1:
            layout_of(connection, parts, dispatches // parts)
        for leaf in (leaf for table in TABLES for leaf in leaves(connection, table)):
            connection.execute(f"ALTER TABLE {leaf} SET (autovacuum_enabled = off)")  # we say when
        found: dict[str, Any] = {"parts": parts, "insert": fill(connection, shop.id, dispatches, parts)}
        started = time.monotonic()
        connection.execute("VACUUM ANALYZE messages, provider_messages")
        found["first_vacuum_seconds"] = round(time.monotonic() - started, 1)
        found["size"] = sizes(connection, dispatches * PEOPLE)
        found["read_ms"] = reads(shop.id, dispatches)
        ways = (with_names, routed) if parts > 1 else (as_it_is,)
        for turn, way in enumerate(ways):
            found.setdefault("record_per_second", {})[way.__name__] = record(shop.id, dispatches, way, turn)
            found.setdefault("receipts_per_second", {})[way.__name__] = apply(dispatches - 1, way, turn)
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

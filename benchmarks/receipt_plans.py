"""How Postgres finds its rows when receipts are applied at a size where a wrong plan would show.

`python -m benchmarks.receipt_plans --rows 1000000`: so many texts, each with an applied receipt; then 2,000 new ones
are applied, and each statement that this takes is shown with its plan, its rows and its time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, event

from benchmarks.ground import Ground, create_shop_with, ground
from blossom.messaging import service
from blossom.messaging.service import DispatchPlan
from blossom.mitto.payloads import Receipt
from blossom.platform import db
from blossom.segments.rules import Audience

# One text that was prepared as always, again and again; and what Mitto and its receipts would have left.
_FILL = (
    """
    INSERT INTO batches ({batches}, number, size, sent, first_id, last_id)
    SELECT {batches}, n, 500, 500, dispatch_id * 10000000 + 2 + (n - 1) * 500, dispatch_id * 10000000 + 1 + n * 500
    FROM batches, generate_series(1, %(rows)s / 500) AS n
    """,
    """
    INSERT INTO messages ({messages}, id, batch_number, phone_hash, state, provider_message_id)
    SELECT {messages}, id + n, 1 + (n - 1) / 500, substring(sha256(n::text::bytea) FOR 16), 'sent', '01K' || id + n
    FROM messages, generate_series(1, %(rows)s) AS n
    """,
    "INSERT INTO provider_messages SELECT provider_message_id, shop_id, id FROM messages WHERE state = 'sent'",
    """
    INSERT INTO receipts (fingerprint, provider_message_id, status, received_at, state, shop_id, message_id, applied_at)
    SELECT sha256(id::text::bytea), provider_message_id, 'Sent', created_at, 'applied', shop_id, id, created_at
    FROM messages WHERE state = 'sent'
    """,
    "ANALYZE",
)
_NAMES = "SELECT provider_message_id FROM provider_messages WHERE message_id %% %s = 0 LIMIT 2000"


def fill(made: Ground, rows: int) -> None:
    shop = create_shop_with(made, 1)
    with db.transaction():
        plan = DispatchPlan(shop_id=shop.id, audience=Audience(everybody=True), source="Hi", sender="Bench")
        dispatch = service.start_dispatch(plan)
    with db.transaction():
        service.prepare_dispatch(shop.id, dispatch.id)
    with made.connect() as connection:
        listed = {
            "batches": _columns(connection, "batches", "number", "size", "sent", "first_id", "last_id"),
            "messages": _columns(
                connection, "messages", "id", "batch_number", "phone_hash", "state", "provider_message_id"
            ),
        }
        for statement in _FILL:
            connection.execute(statement.format(**listed), {"rows": rows} if "%(" in statement else None)


def _columns(connection: psycopg.Connection, table: str, *but: str) -> str:
    """The other columns of a table, for a statement."""
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name <> ALL(%s)",
        (table, list(but)),
    )
    return ", ".join(row[0] for row in found)


@contextmanager
def explaining(found: list[tuple[str, list[str]]]) -> Iterator[None]:
    """Each statement is explained before it runs; one that changes rows changes them only then."""

    def explain(connection: Connection, _: Any, statement: str, values: Any, *__: Any) -> None:
        if statement.lstrip().partition(" ")[0] not in ("SELECT", "UPDATE", "INSERT"):
            return
        with connection.connection.driver_connection.cursor() as own:  # type: ignore[union-attr]  # psycopg's
            own.execute("SAVEPOINT explained")
            own.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}", values)
            plan = [row[0] for row in own.fetchall()]
            own.execute("ROLLBACK TO SAVEPOINT explained")
        found.append((" ".join(statement.split()), plan))

    engine = db.engine()
    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.receipt_plans")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    found: list[tuple[str, list[str]]] = []
    with ground() as made:
        fill(made, options.rows)
        with made.connect() as connection:
            names = [row[0] for row in connection.execute(_NAMES, (max(1, options.rows // 2_000),))]
        news = [Receipt(name, "Delivered") for name in names]
        with db.transaction():
            service.store_receipts(news)
        with explaining(found), db.transaction():
            assert service.apply_receipts() == len(news)
    for statement, plan in found:
        print(f"\n{statement[:300]}")
        print("\n".join(f"    {line}" for line in plan))


if __name__ == "__main__":
    main()

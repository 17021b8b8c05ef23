"""Alembic's entry, run through `blossom release` or, to write a migration, `flask --app blossom.schema db …`.

Each migration is short or gives up: a lock timeout, so that a waiting ALTER never stops the texting behind it,
and an advisory lock, so that two releases at once run them once.
"""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

from blossom import tables

LOCK = 7_205_759_403
target_metadata = tables.metadata


def run() -> None:
    engine = current_app.extensions["migrate"].db.engine
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("SET LOCAL statement_timeout = '15min'"))
        context.configure(connection=connection, target_metadata=target_metadata, compare_type=True)
        context.run_migrations()


run()

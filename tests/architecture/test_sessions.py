"""Nothing depends on which connection comes next: behind a pooler in transaction mode it is anybody's.

So no SQL leaves anything in a session (docs/operations.md). `bin/test --services --pooler` tries it for real.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from blossom.platform import db
from blossom.platform.config import Config
from tests.architecture import tree
from tests.architecture.tree import Source

_AT_THE_START = r"(?:^|;)\s*"
_KEPT_BY_THE_SESSION = re.compile(
    rf"""
      pg_(?:try_)?advisory_(?:un)?lock               # until the session ends; a transaction's are named …_xact_lock
    | set_config\s*\(.*,\s*false\s*\)
    | {_AT_THE_START}SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b|NULL\b)\w
    | {_AT_THE_START}(?:UN)?LISTEN\b
    | {_AT_THE_START}(?:PREPARE|DEALLOCATE|DISCARD|LOAD)\s
    | \bCREATE\s+(?:LOCAL\s+)?TEMP(?:ORARY)?\s(?![^;]*\bON\s+COMMIT\s+DROP\b)
    | \bWITH\s+HOLD\b
    | \bcurrval\s*\(|\blastval\s*\(
    """,
    re.VERBOSE,
)


def kept_by_the_session(source: Source) -> Iterator[int]:
    """Lines with SQL that leaves something in its session, or asks for what an earlier statement left there."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _KEPT_BY_THE_SESSION.search(node.value):
            yield node.lineno


def test_no_sql_leaves_anything_in_its_session() -> None:
    found = [
        f"{source.path}:{line}"
        for source in tree.sources("blossom", "migrations")
        if not source.is_in("blossom/sandbox/")
        for line in kept_by_the_session(source)
    ]
    assert found == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_advisory_lock(5)",
        "SELECT pg_try_advisory_lock(5)",
        "SELECT pg_advisory_unlock(5)",
        "SET lock_timeout = '5s'",
        "SELECT 1; SET search_path = shop",
        "SELECT set_config('app.shop', '5', false)",
        "LISTEN news",
        "PREPARE claim AS SELECT 1",
        "CREATE TEMP TABLE found (id bigint)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT currval('ids')",
    ],
)
def test_what_a_session_would_keep_is_found(sql: str) -> None:
    assert list(kept_by_the_session(Source("blossom/new.py", f"_STATEMENT = {sql!r}"))) == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_advisory_xact_lock(5), pg_try_advisory_xact_lock(6)",
        "SET LOCAL lock_timeout = '5s'",
        "UPDATE messages\nSET state = 'sent'",
        "SELECT set_config('app.shop', '5', true)",
        "CREATE TEMPORARY TABLE found (id bigint) ON COMMIT DROP; INSERT INTO found VALUES (1)",
        "SET NULL (contact_id)",  # of a foreign key
    ],
)
def test_what_ends_with_the_transaction_is_not(sql: str) -> None:
    assert list(kept_by_the_session(Source("blossom/new.py", f"_STATEMENT = {sql!r}"))) == []


def test_statements_are_never_prepared_for_the_session() -> None:
    connecting = db.engine_options(Config())["connect_args"]
    assert connecting["prepare_threshold"] is None
    assert "options" not in connecting, "a pooler refuses startup parameters that it does not know"

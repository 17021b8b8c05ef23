"""Up from nothing, down to nothing, up again; two at once; and what stands at the end is what the models say."""

from __future__ import annotations

import ast
import base64
import contextlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine, MetaData, event, inspect, text
from sqlalchemy.exc import OperationalError

from blossom import tables
from blossom.platform import db, health
from blossom.schema import downgrade, upgrade
from tests.architecture.tree import ROOT
from tests.conftest import MASTER_KEY
from tests.migrations import catalog

VERSIONS = ROOT / "migrations" / "versions"


def scripts() -> ScriptDirectory:
    config = AlembicConfig()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return ScriptDirectory.from_config(config)


def revisions() -> list[str]:
    """Oldest first."""
    return [script.revision for script in scripts().walk_revisions()][::-1]


def snapshot() -> catalog.Catalog:
    with db.engine().connect() as connection:
        return catalog.read(connection)


def version() -> list[str]:
    with db.engine().connect() as connection:
        return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


def lock_number() -> int:
    """The advisory lock that env.py takes (which can't be imported: it migrates)."""
    for node in ast.parse((ROOT / "migrations" / "env.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOCK":
            return int(ast.literal_eval(node.value))
    raise AssertionError("env.py has no LOCK")


# The chain


def test_the_chain_is_one_line_without_gaps() -> None:
    assert revisions() == [f"{number:04d}" for number in range(1, len(revisions()) + 1)]
    assert len(scripts().get_heads()) == 1


def test_readyz_knows_the_newest_by_its_files_name() -> None:
    assert health._newest() == tuple(scripts().get_heads())
    assert len(scripts().get_bases()) == 1
    for older, newer in zip(revisions(), revisions()[1:], strict=False):
        assert scripts().get_revision(newer).down_revision == older


def test_each_file_is_named_for_its_revision() -> None:
    files = sorted(path.name for path in VERSIONS.glob("*.py"))
    assert [name.partition("_")[0] for name in files] == revisions()


# Up and down


def test_each_step_down_undoes_exactly_its_step_up(empty_app: Flask) -> None:
    before = [snapshot()]
    for revision in revisions():
        upgrade(revision=revision)
        assert version() == [revision]
        before.append(snapshot())
        assert before[-1] != before[-2], f"{revision} changes nothing"
    after = before.pop()
    for revision in reversed(revisions()):
        downgrade(revision="-1")
        assert catalog.differences(before.pop(), snapshot()) == [], revision
    assert version() == []
    assert not any(snapshot().values())

    upgrade()
    assert catalog.differences(after, snapshot()) == []


def test_messages_of_before_keep_their_receipts_and_calls_when_they_are_numbered_anew(empty_app: Flask) -> None:
    upgrade(revision="0010")
    entry = struct.Struct(">qHI8s")
    with db.transaction() as session:
        session.execute(
            text("""
            INSERT INTO shops (id, domain, name, timezone, default_country, sender, contact_line, opt_out_text,
                               stop_keywords, quiet_hours_on, quiet_from, quiet_until, created_at)
            VALUES (1, 'ours.myshopify.com', 'Ours', 'Europe/Athens', 'GR', 'Ours', '', '', '{}', false, '20:00',
                    '09:00', now());
            INSERT INTO dispatches (id, shop_id, kind, state, rank, priority, source, trigger, sender, created_at)
            SELECT id, 1, 'campaign', 'paused', 2, 0, 'Hello', 'campaign', 'Ours', now()
            FROM unnest('{3,4}'::bigint[]) id;
            INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size)
            SELECT d, n, 1, 'pending', now(), now(), 2 FROM unnest('{3,4}'::bigint[]) d, generate_series(0, 1) n;
            INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size)
            VALUES (4, 2, 1, 'done', now(), now(), 0);
            INSERT INTO messages (id, shop_id, dispatch_id, batch_number, phone_sealed, phone_hash, country, zone,
                                  state, created_at)
            SELECT 10 + n, 1, 3 + n % 2, n / 4, '', decode(lpad(to_hex(n), 32, '0'), 'hex'), 'GR', 'Europe/Athens',
                   'sent', now()
            FROM generate_series(0, 7) n;
            INSERT INTO provider_messages SELECT 'text' || id, 1, id FROM messages;
            INSERT INTO receipts (fingerprint, provider_message_id, status, received_at, message_id, state)
            SELECT sha256('a'), 'text15', 'Delivered', now(), 15, 'applied';
            """)
        )
        session.execute(
            text("""
            INSERT INTO attempts (shop_id, dispatch_id, batch_number, state, worker, claimed_at, lease_until, manifest)
            VALUES (1, 4, 1, 'unknown', 'one', now(), now(), :manifest)
            """),
            {"manifest": b"".join(entry.pack(message_id, 1, 5, b"12345678") for message_id in (15, 17))},
        )
    for busy, calm in (
        ("UPDATE attempts SET state = 'calling'", "UPDATE attempts SET state = 'unknown'"),
        ("UPDATE dispatches SET state = 'sending'", "UPDATE dispatches SET state = 'paused'"),
    ):
        with db.transaction() as session:
            session.execute(text(busy))
        with pytest.raises(OperationalError, match="on their way"):
            upgrade()
        with db.transaction() as session:
            session.execute(text(calm))
    upgrade()
    with db.engine().connect() as connection:
        named = connection.execute(text("SELECT provider_message_id, message_id FROM provider_messages"))
        ids = {row.provider_message_id: row.message_id for row in named}
        stand = connection.execute(
            text("SELECT dispatch_id, number, first_id, last_id FROM batches ORDER BY 1, 2")
        ).all()
        strays = connection.scalar(
            text("""
            SELECT count(*) FROM messages m
            JOIN batches b ON (b.dispatch_id, b.number) = (m.dispatch_id, m.batch_number)
            WHERE m.id NOT BETWEEN b.first_id AND b.last_id
            """)
        )
        messages = set(connection.scalars(text("SELECT id FROM messages")))
        told = connection.scalar(text("SELECT message_id FROM receipts"))
        manifest = connection.scalar(text("SELECT manifest FROM attempts"))
    assert messages == set(ids.values())
    assert {name: ids[name] for name in ("text10", "text12", "text14", "text11", "text17")} == {
        "text10": 30_000_001, "text12": 30_000_002, "text14": 30_000_003, "text11": 40_000_001, "text17": 40_000_004,
    }  # fmt: skip
    assert [tuple(row) for row in stand] == [
        (3, 0, 30_000_001, 30_000_002), (3, 1, 30_000_003, 30_000_004),
        (4, 0, 40_000_001, 40_000_002), (4, 1, 40_000_003, 40_000_004), (4, 2, 40_000_001, 40_000_000),
    ]  # fmt: skip
    assert (strays, told) == (0, 40_000_003)
    assert list(entry.iter_unpack(manifest)) == [(40_000_003, 1, 5, b"12345678"), (40_000_004, 1, 5, b"12345678")]


def test_an_upgrade_of_what_is_new_changes_nothing(committed_app: Flask) -> None:
    before = snapshot()
    upgrade()
    assert catalog.differences(before, snapshot()) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_app: Flask) -> None:
    with db.engine().begin() as connection:
        connection.execute(text("CREATE TABLE campaigns (in_the_way int)"))
    before = snapshot()
    with pytest.raises(Exception, match="already exists"):
        upgrade()
    assert catalog.differences(before, snapshot()) == []


# Two at once


def release(app: Flask) -> subprocess.Popen[str]:
    """`blossom release` as a host runs it, on the app's database."""
    url = db.engine().url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-m", "blossom.cli", "release"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": str(app.config["BLOSSOM"].redis_url),
            "BLOSSOM_MASTER_KEYS": f"1:{base64.b64encode(MASTER_KEY).decode()}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(connection: psycopg.Connection[Any], processes: list[subprocess.Popen[str]]) -> None:
    """Until each process waits for the advisory lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    deadline = time.monotonic() + 60
    while connection.execute(waiting).fetchone() != (len(processes),):
        assert time.monotonic() < deadline, "they never came to the lock"
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        time.sleep(0.05)


@contextlib.contextmanager
def holding_the_lock(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, prepare_threshold=None) as connection:  # one transaction: there may be a pooler between
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(),))
        yield connection


def test_of_two_releases_at_once_one_migrates_and_the_other_finds_it_done(empty_app: Flask) -> None:
    with holding_the_lock(db.engine()) as connection:
        both = [release(empty_app), release(empty_app)]
        wait_for(connection, both)
        assert not any(snapshot().values())
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    assert version() == [revisions()[-1]]


def test_a_migration_gives_up_on_a_table_in_use_instead_of_stopping_the_texting(committed_app: Flask) -> None:
    settings: dict[str, str] = {}

    def ask(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "alembic_version" in statement and not settings:
            settings["asked"] = "once"
            for name in ("lock_timeout", "statement_timeout"):
                settings[name] = cursor.execute(f"SHOW {name}").fetchone()[0]

    event.listen(db.engine(), "before_cursor_execute", ask)
    downgrade(revision="-1")
    assert (settings["lock_timeout"], settings["statement_timeout"]) == ("5s", "15min")
    event.remove(db.engine(), "before_cursor_execute", ask)

    with db.engine().connect() as other, other.begin():
        there = set(inspect(other).get_table_names()) & set(tables.metadata.tables)  # the last step may bring some
        other.execute(text(f"LOCK TABLE {', '.join(sorted(there))}"))
        with pytest.raises(OperationalError, match="lock timeout"):
            upgrade()
    assert version() == [revisions()[-2]]


# What the models say


def test_alembic_would_generate_nothing(app: Flask) -> None:
    connection = db.session.connection()
    context = MigrationContext.configure(connection, opts={"target_metadata": tables.metadata, "compare_type": True})
    assert compare_metadata(context, tables.metadata) == []


def test_the_models_describe_the_database_to_the_last_constraint(empty_app: Flask, app: Flask) -> None:
    """More than Alembic compares: CHECKs, exclusions, what indexes cover, what deletes do, what is deferred."""
    migrated = catalog.read(db.session.connection())
    with empty_app.app_context():
        with db.engine().begin() as connection:
            tables.metadata.create_all(connection)
        modelled = snapshot()
    assert catalog.differences(migrated, modelled, catalog.SHAPE) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shops ADD COLUMN odd text",
        "ALTER TABLE shops ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE shops DROP CONSTRAINT ck_shops_daily_cap",
        "DROP INDEX uq_shop_keys_lookup",
        "ALTER TABLE price_lists DROP CONSTRAINT ex_price_lists_one_at_a_time",
    ],
)
def test_a_planted_difference_is_seen(app: Flask, change: str) -> None:
    connection = db.session.connection()
    before = catalog.read(connection)
    connection.execute(text(change))
    assert catalog.differences(before, catalog.read(connection), catalog.SHAPE)


def test_every_table_is_of_the_models(app: Flask) -> None:
    found = MetaData()
    found.reflect(db.session.connection())
    assert set(found.tables) - {"alembic_version"} == set(tables.metadata.tables)

"""Real Postgres and Redis for every test; the schema by the real migrations, once; a rollback per test.

Without DATABASE_URL and REDIS_URL the embedded servers are started for the run. `app` gives a database whose
changes are rolled back after each test (code under test may commit: it commits into a savepoint).
`committed_app` gives a fresh database of its own where commits are real, for threads and other processes.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.orm import Session

from blossom.app import create_app
from blossom.platform import crypto, db, queue
from blossom.platform.config import Config
from tests.personas import Personas, make_personas

MASTER_KEY = bytes(range(32))


@dataclass(frozen=True)
class Services:
    """Addresses of the servers of this test run. `database_url` names the maintenance database."""

    database_url: str
    redis_url: str

    def url_of(self, name: str) -> str:
        head, _, tail = self.database_url.rpartition("/")
        _, question, options = tail.partition("?")
        return f"{head}/{name}{question}{options}"

    def run(self, statement: str) -> None:
        plain = self.database_url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    given = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if all(given):
        database_url = Config.from_environment({"DATABASE_URL": str(given[0])}).database_url
        yield Services(str(database_url), str(given[1]))
        return
    from blossom.platform.embedded import EmbeddedServices

    with tempfile.TemporaryDirectory(prefix="blossom-tests-") as folder:
        embedded = EmbeddedServices.start(Path(folder), durable=False)
        try:
            yield Services(embedded.database_url, embedded.redis_url)
        finally:
            embedded.stop()


def config_for(services: Services, database: str) -> Config:
    """The settings of a test process that works on `database`."""
    return Config(
        environment="test",
        database_url=services.url_of(database),
        redis_url=services.redis_url,
        master_keys={1: MASTER_KEY},
        mitto_api_key="test-key",
        mitto_traffic_account_id="00000000-0000-0000-0000-000000000001",
        mitto_hmac_secrets=("test-hmac-secret",),
        mitto_webhook_tokens=("test-webhook-token",),
        mitto_texts_per_second=0,
        log_level="WARNING",
    )


@pytest.fixture(scope="session")
def template_database(services: Services) -> Iterator[str]:
    """A database with the schema of the newest migration, from which the others are copied."""
    name = f"blossom_template_{uuid.uuid4().hex[:8]}"
    services.run(f"CREATE DATABASE {name}")
    app = create_app(config_for(services, name))
    with app.app_context():
        upgrade()
        db.engine().dispose()
    yield name
    services.run(f"DROP DATABASE {name} WITH (FORCE)")


def _copy(services: Services, template: str) -> str:
    name = f"blossom_test_{uuid.uuid4().hex[:8]}"
    services.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    return name


@pytest.fixture(scope="session")
def shared_app(services: Services, template_database: str) -> Iterator[Flask]:
    name = _copy(services, template_database)
    app = create_app(config_for(services, name))
    yield app
    with app.app_context():
        db.engine().dispose()
    services.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def app(shared_app: Flask) -> Iterator[Flask]:
    """The app inside its context; every change, committed or not, is rolled back after the test."""
    crypto.init({1: MASTER_KEY})
    queue.init(str(shared_app.config["BLOSSOM"].redis_url))
    with shared_app.app_context():
        engine = db.engine()
        with engine.connect() as connection:
            outer = connection.begin()
            engines = db.db.engines
            engines[None] = connection  # type: ignore[assignment]  # what Flask-SQLAlchemy hands to each session
            db.session.remove()
            db.session.configure(join_transaction_mode="create_savepoint")
            try:
                yield shared_app
            finally:
                queue.drop()
                db.session.remove()
                engines[None] = engine
                outer.rollback()
        queue.connection().flushdb()


@pytest.fixture
def committed_app(services: Services, template_database: str) -> Iterator[Flask]:
    """The app on a fresh database of its own; commits are real and other connections see them."""
    name = _copy(services, template_database)
    app = create_app(config_for(services, name))
    queue.connection().flushdb()
    with app.app_context():
        yield app
        queue.drop()
        db.session.remove()
        db.engine().dispose()
    queue.connection().flushdb()
    services.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def session(app: Flask) -> Session:
    return db.session()


@pytest.fixture
def personas(app: Flask) -> Personas:
    """Two shops, `ours` and `theirs`."""
    return make_personas()

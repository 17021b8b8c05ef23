"""Real Postgres and Redis for every test; the schema by the real migrations, once; a rollback per test.

What DATABASE_URL and REDIS_URL don't name is started for the run, embedded (`bin/test --services`, tests/services:
Debian's servers). A Redis that is named is emptied again and again. `app` gives a database whose
changes are rolled back after each test (code under test may commit: it commits into a savepoint).
`committed_app` gives a fresh database of its own where commits are real, for threads and other processes.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from flask import Flask
from sqlalchemy.orm import Session

from blossom.app import create_app
from blossom.platform import config, crypto, db, languages, queue
from blossom.platform.config import Config
from blossom.schema import upgrade
from tests.personas import Personas, make_personas

MASTER_KEY = bytes(range(32))

# The same examples in every run. `HYPOTHESIS_PROFILE=wide bin/test …` draws others each time.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("wide", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with-servers", action="store_true", help="Only the tests that use Postgres or Redis.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--with-servers"):
        return
    kinds: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        kinds["services" in getattr(item, "fixturenames", ())].append(item)
    config.hook.pytest_deselected(items=kinds[False])
    items[:] = kinds[True]


@dataclass(frozen=True)
class Services:
    """Addresses of the servers of this test run. `database_url` names the maintenance database."""

    database_url: str
    redis_url: str

    def url_of(self, name: str) -> str:
        """The address of the database `name`. Options may hold slashes (`?host=/run/postgresql`)."""
        scheme, _, rest = self.database_url.partition("://")
        address, question, options = rest.partition("?")
        return f"{scheme}://{address.partition('/')[0]}/{name}{question}{options}"

    def run(self, statement: str) -> None:
        plain = self.database_url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as connection:
            connection.execute(statement)

    def cut_off(self, name: str) -> None:
        """End our own connections to the database `name`. Autovacuum's are nobody's to end: `DROP DATABASE … WITH
        (FORCE)` fails where one is there. CREATE and DROP DATABASE send it away themselves."""
        ours = f"datname = '{name}' AND usename = current_user"
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")

    def drop(self, name: str) -> None:
        """Remove the database `name`, whoever of us is still connected to it."""
        self.cut_off(name)
        self.run(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    named = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
    given = Config.from_environment(named)
    if given.database_url and given.redis_url:
        yield Services(given.database_url, given.redis_url)
        return
    from blossom.platform.embedded import EmbeddedServices

    with (
        tempfile.TemporaryDirectory(prefix="blossom-tests-") as folder,
        EmbeddedServices.start(
            Path(folder), postgres=given.database_url is None, redis=given.redis_url is None, durable=False
        ) as embedded,
    ):
        yield Services(given.database_url or str(embedded.database_url), given.redis_url or str(embedded.redis_url))


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
        lane_threads=1,  # a test's transaction is one connection's
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
    services.drop(name)


def _copy(services: Services, template: str) -> str:
    name = f"blossom_test_{uuid.uuid4().hex[:8]}"
    services.cut_off(template)  # a pooler keeps connections, and what somebody is connected to can't be copied
    services.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return name


@pytest.fixture(scope="session")
def shared_app(services: Services, template_database: str) -> Iterator[Flask]:
    name = _copy(services, template_database)
    app = create_app(config_for(services, name))
    yield app
    with app.app_context():
        db.engine().dispose()
    services.drop(name)


@pytest.fixture
def app(shared_app: Flask) -> Iterator[Flask]:
    """The app inside its context; every change, committed or not, is rolled back after the test."""
    before = config.current()
    own: Config = shared_app.config["BLOSSOM"]
    config.use(own)
    crypto.init(own.master_keys)
    queue.init(str(own.redis_url))
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
                languages.write_for(languages.SOURCE)  # who asked for a page in a test is nobody in the next
                config.use(before)
        queue.connection().flushdb()


@contextmanager
def fresh_app(services: Services, template: str) -> Iterator[Flask]:
    """The app, inside its context, on a database of its own; commits are real and other connections see them."""
    name = _copy(services, template)
    app = create_app(config_for(services, name))
    queue.connection().flushdb()
    with app.app_context():
        yield app
        queue.drop()
        db.session.remove()
        db.engine().dispose()
    queue.connection().flushdb()
    services.drop(name)


@pytest.fixture
def committed_app(services: Services, template_database: str) -> Iterator[Flask]:
    """A `fresh_app` of the one test's."""
    with fresh_app(services, template_database) as app:
        yield app


@pytest.fixture
def session(app: Flask) -> Session:
    return db.session()


@pytest.fixture
def personas(app: Flask) -> Personas:
    """Two shops, `ours` and `theirs`."""
    return make_personas()

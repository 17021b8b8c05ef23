"""Whether we are alive, and whether what we stand on is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.app import create_app
from blossom.platform import clock, db, health, queue
from blossom.platform.db import session
from tests.conftest import MASTER_KEY, Services, config_for


def test_a_process_that_answers_is_alive(app: Flask) -> None:
    response = app.test_client().get("/healthz")
    assert (response.status_code, response.get_json()) == (200, {"ok": True})


def test_everything_there_is_ready(app: Flask) -> None:
    response = app.test_client().get("/readyz")
    assert response.status_code == 200, response.get_json()
    checks = response.get_json()["checks"]
    assert set(checks) == {"database", "migrations", "redis", "queues"}
    assert checks["migrations"]["current"] == checks["migrations"]["newest"]
    assert response.headers["Cache-Control"] == "no-store"


def test_a_queue_where_nobody_works_is_not_ready(app: Flask) -> None:
    queue.enqueue("messaging.sweep", queue="default")
    queue.flush()
    assert app.test_client().get("/readyz").status_code == 200
    with clock.frozen_at(clock.now() + timedelta(seconds=health.STALE_SECONDS + 5)):
        response = app.test_client().get("/readyz")
    found = response.get_json()["checks"]["queues"]
    assert response.status_code == 503
    assert found["ok"] is False
    assert found["queues"]["default"]["jobs"] == 1
    assert found["queues"]["default"]["oldest_seconds"] > health.STALE_SECONDS


def test_an_old_schema_is_not_ready(app: Flask) -> None:
    session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    session.commit()
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert response.get_json()["checks"]["migrations"]["current"] == ["0001"]


def test_a_database_without_tables_is_not_ready(app: Flask) -> None:
    session.execute(text("ALTER TABLE alembic_version RENAME TO of_another_name"))
    session.commit()
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    checks = response.get_json()["checks"]
    assert (checks["migrations"]["ok"], checks["migrations"]["current"]) == (False, [])
    assert checks["database"]["ok"]


def test_asking_whether_it_is_ready_leaves_no_line_in_the_log(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A host asks every few seconds, of each process."""
    caplog.set_level("INFO")
    for _ in range(2):
        assert app.test_client().get("/readyz").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.name.startswith("alembic")] == []


@pytest.mark.parametrize(
    ("missing", "unwell"),
    [
        ({"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none"}, {"database", "migrations"}),
        ({"redis_url": "redis://127.0.0.1:1"}, {"redis", "queues"}),
    ],
)
def test_a_server_that_is_away_is_told_and_nothing_breaks(
    services: Services, template_database: str, missing: dict[str, str], unwell: set[str]
) -> None:
    settings = replace(config_for(services, template_database), **missing)
    made = create_app(settings)
    response = made.test_client().get("/readyz")
    with made.app_context():
        db.engine().dispose()  # a connection to the template would keep other tests from copying it
    assert response.status_code == 503
    assert {name for name, check in response.get_json()["checks"].items() if not check["ok"]} == unwell
    assert MASTER_KEY.hex() not in response.get_data(as_text=True)

"""While the database is away: 503, with when to try again, and not “something broke”."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from blossom.platform import db
from blossom.platform.config import Config


def _away(*_: object) -> None:
    raise OperationalError("SELECT 1", {}, ConnectionError("gone"))


def test_a_route_says_when_to_try_again(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blossom.app.shops.authenticate_api_key", _away)
    answer = app.test_client().get("/api/campaigns", headers={"Authorization": "Bearer blsm_x_y"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.get_json()["code"] == "unavailable"
    assert answer.get_json()["request_id"]


def test_so_does_one_that_finds_no_free_connection(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = db.engine().pool
    monkeypatch.setattr(pool, "_timeout", 0.05)
    taken = [db.engine().connect() for _ in range(2 * Config.database_pool_size)]
    answer = committed_app.test_client().get("/api/campaigns", headers={"Authorization": "Bearer blsm_x_y"})
    for each in taken:
        each.close()
    assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")

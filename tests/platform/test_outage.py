"""While the database is away: 503, with when to try again, and not “something broke”."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError


def _away(*_: object) -> None:
    raise OperationalError("SELECT 1", {}, ConnectionError("gone"))


def test_a_route_says_when_to_try_again(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blossom.app.shops.authenticate_api_key", _away)
    answer = app.test_client().get("/api/campaigns", headers={"Authorization": "Bearer blsm_x_y"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.get_json()["code"] == "unavailable"
    assert answer.get_json()["request_id"]

"""Whom a campaign is for is counted in the request while the shop is small, else by a job that the page waits for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import redis

from blossom.campaigns import service
from blossom.campaigns.service import counting
from blossom.platform import queue
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor
from tests.factories.campaigns import make_ready
from tests.factories.consent import create_subscriber

PAGE = {"page": "6c1c4e26-3f5a-4f2b-9c39-0d6f1c2b3a4d", "turn": "1", "name": "Sale", "who": "everybody",
        "body": "Sale. Reply STOP to opt out"}  # fmt: skip


@pytest.fixture(autouse=True)
def _is_large(monkeypatch: pytest.MonkeyPatch, ours: Shop) -> None:
    monkeypatch.setattr(counting, "AT_ONCE", 1)
    make_ready(ours, subscribers=2)


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def note(name: str, **given: Any) -> None:
        if name == "campaigns.count_audience":
            calls.append(given)

    monkeypatch.setattr(queue, "enqueue", note)
    return calls


def count(visitor: Visitor, **more: str) -> bool:
    """Whether the page is told to look again."""
    answer = visitor.fetch("/campaigns/count", method="POST", data={**PAGE, **more})
    assert answer.status_code == 200
    return answer.headers.get("HX-Trigger") == "counted"


def shown(visitor: Visitor) -> str:
    answer = visitor.fetch("/campaigns/preview", method="POST", data=PAGE)
    html: str = answer.get_data(as_text=True)
    return html


def work(wanted: list[dict[str, Any]]) -> None:
    while wanted:
        given = wanted.pop()
        service.count_audience(
            given["shop_id"], Audience.from_json(given["audience"]), datetime.fromisoformat(given["planned"])
        )


def test_many_looks_make_one_job_and_the_page_learns_of_its_end(visitor: Visitor, wanted: list[dict[str, Any]]) -> None:
    assert [count(visitor) for _ in range(3)] == [False] * 3
    assert len(wanted) == 1
    assert "Counting…" in shown(visitor)
    work(wanted)
    assert count(visitor)
    assert 'data-figure="recipients">2<' in shown(visitor)
    assert wanted == []


def test_counted_again_shows_that_it_counts_and_then_the_new_number(
    visitor: Visitor, ours: Shop, wanted: list[dict[str, Any]]
) -> None:
    count(visitor)
    work(wanted)
    create_subscriber(ours)
    assert count(visitor, again="1")
    assert "Counting…" in shown(visitor)
    work(wanted)
    assert 'data-figure="recipients">3<' in shown(visitor)


def test_without_redis_it_is_counted_in_the_request(visitor: Visitor, wanted: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as away:
        away.setattr(queue, "_connection", redis.Redis.from_url("redis://localhost:1", socket_connect_timeout=0.1))
        assert count(visitor)
    assert wanted == []


def test_a_small_shop_waits_for_no_job(
    visitor: Visitor, wanted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "AT_ONCE", 2)
    assert count(visitor)
    assert wanted == []

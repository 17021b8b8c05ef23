"""Everybody whom a segment's rules meet in a large shop is counted by a job, while the page waits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import redis
from werkzeug.test import TestResponse

from blossom.contacts import queries as contacts
from blossom.people import jobs, queries, service
from blossom.people.queries import segments as counts
from blossom.platform import clock, kept, queue
from blossom.segments.rules import Condition, Field, Match, Question
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact

RULE = {"match": "all", "field-0": "orders", "operator-0": "at_least", "value-0": "2"}
EXACTLY = {"exactly": "yes"}
OTHER_RULE = RULE | {"value-0": "1"}

Wanted = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _is_large(monkeypatch: pytest.MonkeyPatch, ours: Shop) -> None:
    monkeypatch.setattr(counts, "COUNTED", 1)
    create_subscriber(ours, orders_count=2)
    create_contact(ours, orders_count=3)
    create_contact(ours, orders_count=1)


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> Wanted:
    calls: Wanted = []

    def note(name: str, **given: Any) -> None:
        assert name == "people.count_segment"
        calls.append(given)

    monkeypatch.setattr(queue, "enqueue", note)
    return calls


def ask(visitor: Visitor, given: Mapping[str, str]) -> TestResponse:
    return visitor.fetch("/segments/count", method="POST", data=given, headers={"HX-Request-Type": "partial"})


def press(visitor: Visitor, rule: dict[str, str] = RULE, **more: str) -> dict[str, str]:
    """Press the button: what the page sends each second from then on; nothing if it needn't wait."""
    found = re.search(r'"since": "(\d+)"', ask(visitor, {**rule, **EXACTLY, **more}).text)
    return EXACTLY | {"since": found[1]} if found else {}


def shown(answer: TestResponse) -> str:
    found = re.search(r'data-count="people">([^<]*)<', answer.text)
    assert found is not None
    return found[1]


def work(wanted: Wanted) -> None:
    while wanted:
        given = wanted.pop(0)
        service.count_segment(given["shop_id"], Question.from_json(given["question"]))


def test_the_page_waits_for_one_job_and_shows_the_number_with_its_hour(visitor: Visitor, wanted: Wanted) -> None:
    with pytest.MonkeyPatch.context() as during_requests:
        during_requests.setattr(queries, "count_exactly", lambda *_: pytest.fail("in a request"))
        first = ask(visitor, RULE | EXACTLY)
        assert "Counting them exactly…" in first.text
        assert shown(first) == "about 2"
        waiting = press(visitor)
        assert [ask(visitor, RULE | waiting).status_code for _ in range(3)] == [204] * 3
    assert len(wanted) == 1
    work(wanted)
    answer = ask(visitor, RULE | waiting)
    assert shown(answer) == "2"
    assert "1 of them is opted in" in answer.text
    assert "counted at" in answer.text
    assert "since" not in answer.text, "it asks no more"
    assert len(re.findall(r'href="/contacts/\d+"', answer.text)) == 2, "with who they are"


def test_about_is_told_by_a_sample_of_the_shops_own(visitor: Visitor, theirs: Shop) -> None:
    for _ in range(30):
        create_subscriber(theirs, orders_count=0)
    answer = ask(visitor, RULE)
    assert shown(answer) == "about 2"
    assert "About 1 of them are opted in" in answer.text


def test_a_count_is_kept_until_somebody_wants_another(visitor: Visitor, ours: Shop, wanted: Wanted) -> None:
    press(visitor)
    work(wanted)
    create_contact(ours, orders_count=5)
    assert shown(ask(visitor, RULE | EXACTLY)) == "2"
    waiting = press(visitor, again="yes")
    assert waiting
    work(wanted)
    assert shown(ask(visitor, RULE | waiting)) == "3"


def test_other_rules_have_another_count(visitor: Visitor, wanted: Wanted) -> None:
    press(visitor)
    work(wanted)
    waiting = press(visitor, OTHER_RULE)
    assert ask(visitor, OTHER_RULE | waiting).status_code == 204
    work(wanted)
    assert shown(ask(visitor, OTHER_RULE | waiting)) == "3"


def test_a_shop_has_one_job_at_a_time_whatever_it_asks(visitor: Visitor, wanted: Wanted) -> None:
    press(visitor)
    waiting = press(visitor, OTHER_RULE)
    assert len(wanted) == 1
    work(wanted)
    assert ask(visitor, OTHER_RULE | waiting).status_code == 204
    work(wanted)
    assert shown(ask(visitor, OTHER_RULE | waiting)) == "3"


def test_a_lost_job_is_asked_for_again(visitor: Visitor, ours: Shop, wanted: Wanted) -> None:
    waiting = press(visitor)
    wanted.clear()
    ask(visitor, RULE | waiting)
    assert wanted == []
    key = f"segment-count:{ours.id}:wanted"
    assert 0 < queue.connection().ttl(key) <= kept.WANTED_SECONDS
    queue.connection().delete(key)
    ask(visitor, RULE | waiting)
    assert len(wanted) == 1


def test_what_does_not_come_is_said_and_may_be_tried_again(
    visitor: Visitor, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = press(visitor)
    late = clock.now() + timedelta(seconds=62)
    monkeypatch.setattr(clock, "now", lambda: late)
    answer = ask(visitor, RULE | waiting)
    assert "They could not be counted exactly just now." in answer.text
    assert "since" not in answer.text, "it asks no more"
    assert "Count them exactly" in answer.text
    assert shown(answer) == "about 2"


def test_another_shop_has_a_count_of_its_own(visitor: Visitor, stranger: Visitor, theirs: Shop, wanted: Wanted) -> None:
    create_contact(theirs, orders_count=2)
    create_contact(theirs, orders_count=1)
    press(visitor)
    work(wanted)
    assert press(stranger), "ours is not theirs"
    assert [each["shop_id"] for each in wanted] == [theirs.id]
    work(wanted)
    assert shown(ask(stranger, RULE | EXACTLY)) == "1"


def test_without_redis_it_is_counted_in_the_request(visitor: Visitor, wanted: Wanted) -> None:
    with pytest.MonkeyPatch.context() as away:
        away.setattr(queue, "_connection", redis.Redis.from_url("redis://localhost:1", socket_connect_timeout=0.1))
        assert shown(ask(visitor, RULE | EXACTLY)) == "2"
    assert wanted == []


def test_a_small_shop_waits_for_no_job(visitor: Visitor, wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "COUNTED", 5_000)
    assert shown(ask(visitor, RULE | EXACTLY)) == "2"
    assert wanted == []


def test_a_shop_that_was_large_when_the_statistics_were_made_waits_for_no_job(
    visitor: Visitor, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told to wait, though nobody counted, until it was told that nobody could."""
    monkeypatch.setattr(counts, "COUNTED", 5_000)
    monkeypatch.setattr(contacts, "roughly", lambda _: (30_000, False))
    assert shown(ask(visitor, RULE)).startswith("about")
    assert press(visitor) == {}
    assert shown(ask(visitor, RULE | EXACTLY)) == "2"
    assert wanted == []


def test_without_javascript_a_page_of_its_own_looks_again_with_the_same_rules(visitor: Visitor, wanted: Wanted) -> None:
    def send(given: dict[str, str]) -> str:
        return visitor.fetch("/segments/count", method="POST", data=given, headers={"HX-Request": ""}).text

    assert 'formaction="/segments/count"' in visitor.document("/segments/new").text
    page = send(RULE | {"exactly": "yes"})
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page))
    assert fields.items() >= RULE.items()
    assert "Look again" in page
    assert "Counting them exactly…" in send(fields | {"exactly": "yes"})
    work(wanted)
    page = send(fields | {"exactly": "yes"})
    assert 'data-count="people">2<' in page
    assert "Look again" not in page


@pytest.mark.parametrize("since", ["", "x", "٣", "-1", "9" * 11, "1.5", "9" * 10, "0"])
def test_whatever_hour_is_named_the_page_answers(visitor: Visitor, wanted: Wanted, since: str) -> None:
    assert ask(visitor, RULE | EXACTLY | {"since": since}).status_code in (200, 204)


def test_the_job_counts_and_keeps(visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Question(Match.ALL, (Condition(Field.ORDERS, "at_least", 2),))
    seen: list[tuple[int, Question]] = []
    monkeypatch.setattr(service, "count_segment", lambda *given: seen.append(given))
    jobs.count_segment(ours.id, asked.to_json())
    assert seen == [(ours.id, asked)]

"""Who runs the installation sees what waits in it, and has given-up webhooks handled again; nobody else sees any."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import redis
from flask import Flask
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from blossom import worker
from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.rules import replays
from blossom.platform import clock, config, queue
from blossom.platform.config import Config, ConfigError
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import SCOPES, Visitor, member, ours, shopify, stranger, theirs, token, visitor
from tests.factories.messaging import create_batch, create_dispatch
from tests.faults.processes import until

__all__ = ["ours", "shopify", "stranger", "theirs", "visitor"]


@pytest.fixture
def operator(visitor: Visitor, shopify: Config, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """A member of the staff of the shop that the settings name."""
    monkeypatch.setattr(config, "_current", replace(shopify, operator_shops=("ours.myshopify.com",)))
    return visitor


def given_up(shop: Shop, number: int) -> ShopifyWebhook:
    webhook = ShopifyWebhook(
        webhook_id=f"w-{number}",
        topic="customers/update",
        shop_domain=shop.domain,
        shop_id=shop.id,
        payload_sealed=b"sealed",
        received_at=clock.now() - timedelta(days=2),
        ended_at=clock.now(),
        state="dead",
        fault="ValueError",
        tries=12,
    )
    session.add(webhook)
    session.flush()
    return webhook


def figures(html: str) -> dict[str, str]:
    return {
        name: re.sub(r"<[^>]*>", "", value) for name, value in re.findall(r'data-figure="([\w-]+)">(.*?)</dd>', html)
    }


def whole(visitor: Visitor) -> str:
    """The home page with its menu, as a link brings it."""
    return visitor.fetch("/", headers={"HX-Boosted": "true"}).get_data(as_text=True)


def test_texts_jobs_and_webhooks_are_counted(operator: Visitor, ours: Shop, theirs: Shop) -> None:
    create_batch(create_dispatch(theirs.id), due_at=clock.now() - timedelta(minutes=3))
    given_up(theirs, 1)
    html = operator.fetch("/queue").get_data(as_text=True)
    shown = figures(html)
    assert (shown["waiting"], shown["given-up"], shown["webhooks"]) == ("1", "1", "0")
    assert shown["oldest"].startswith("3 min")
    assert re.findall(r'<th scope="row"><code>(\w+)</code>', html) == list(queue.QUEUES)
    assert '<a href="/queue">' in whole(operator)


def test_what_waits_in_redis_is_told_with_its_age(operator: Visitor, app: Flask) -> None:
    queue.rq_queue("slow").enqueue("print", kwargs={})
    try:
        found = {each.name: each for each in queue.depths()}
    finally:
        queue.rq_queue("slow").empty()
    assert (found["slow"].waiting, found["send"].waiting) == (1, 0)
    assert found["slow"].oldest_at is not None
    assert found["send"].oldest_at is None


def active(name: str = "slow") -> int:
    return {each.name: each.active for each in queue.depths()}[name]


def heard_of(name: str) -> float:
    return queue.connection().zscore("blossom:busy:slow", name) or 0.0


def test_a_worker_is_active_while_its_job_runs(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(SimpleWorker, "execute_job", lambda *_: seen.append(active()))
    over = queue.connection()
    at_work = worker.Worker([queue.rq_queue("slow", over)], connection=over, serializer=JSONSerializer)
    at_work.execute_job(Job(connection=over, serializer=JSONSerializer), queue.rq_queue("slow", over))
    assert (seen, active()) == ([1], 0)


def test_one_that_was_killed_in_its_job_is_not(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.01)
    with queue.busy("slow", "one", queue.connection()):
        first = heard_of("one")
        until(lambda: heard_of("one") > first, "it was heard of again", 20)
        monkeypatch.setattr(queue, "_say_busy", lambda *_: None)  # its heart stands still
        with clock.frozen_at(clock.now() + timedelta(seconds=30)):
            assert active() == 0


def test_without_redis_a_worker_works_all_the_same() -> None:
    with queue.busy("slow", "one", redis.Redis.from_url("redis://localhost:1", socket_connect_timeout=0.2)):
        pass


def test_without_redis_the_page_says_so(operator: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        away.setattr(queue, "_connection", redis.Redis.from_url("redis://localhost:1", socket_connect_timeout=0.2))
        answer = operator.fetch("/queue")
    assert answer.status_code == 200
    assert "Redis can't be reached" in answer.get_data(as_text=True).replace("&#39;", "'")


def test_those_that_are_ticked_are_handled_again(operator: Visitor, theirs: Shop) -> None:
    wanted, other = given_up(theirs, 1), given_up(theirs, 2)
    page = operator.fetch("/queue/given-up").get_data(as_text=True)
    assert re.findall(r'value="(\d+)"', page) == [str(wanted.id), str(other.id)]
    answer = operator.fetch("/queue/given-up", method="POST", data={"id": [str(wanted.id), "x", "9" * 40]})
    assert "1 is handled again" in answer.headers["HX-Trigger"]
    assert re.findall(r'value="(\d+)"', answer.get_data(as_text=True)) == [str(other.id)]
    assert (session.get_one(ShopifyWebhook, wanted.id).state, other.state) == ("new", "dead")


def test_a_second_click_handles_none(operator: Visitor, theirs: Shop) -> None:
    wanted = given_up(theirs, 1)
    for said in ("1 is handled again", "None of them waits any more"):
        answer = operator.fetch("/queue/given-up", method="POST", data={"id": str(wanted.id)})
        assert said in answer.headers["HX-Trigger"]


def test_many_come_page_by_page(operator: Visitor, theirs: Shop) -> None:
    made = [given_up(theirs, number).id for number in range(51)]
    first = operator.fetch("/queue/given-up").get_data(as_text=True)
    assert f"/queue/given-up?after={made[49]}" in first
    last = operator.fetch(f"/queue/given-up?after={made[49]}").get_data(as_text=True)
    assert re.findall(r'value="(\d+)"', last) == [str(made[50])]


@pytest.mark.parametrize("after", ["-1", "x", "9" * 19, "²"])
def test_an_odd_page_is_not_there(operator: Visitor, after: str) -> None:
    assert operator.fetch(f"/queue/given-up?after={after}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/queue"), ("GET", "/queue/given-up"), ("POST", "/queue/given-up")]
)
def test_nobody_else_sees_or_replays_any(
    operator: Visitor, stranger: Visitor, ours: Shop, theirs: Shop, method: str, path: str
) -> None:
    webhook = given_up(ours, 1)
    member(ours, scopes=SCOPES[:1], user_id=43)  # of the operator's shop, but may only look
    data = {"id": str(webhook.id)} if method == "POST" else None
    assert stranger.fetch(path, method=method, data=data).status_code == 403
    assert operator.fetch(path, token(sub="43"), method=method, data=data).status_code == 403
    assert webhook.state == "dead"
    assert '<a href="/queue">' not in whole(stranger)


def test_ids_are_read_each_once_and_the_odd_are_passed_over() -> None:
    assert replays.read_ids(["3", "1", "3", "", "-2", "²", "1e3", "x" * 99]) == [1, 3]


@pytest.mark.parametrize("value", ["ours", "https://ours.myshopify.com", "ours.myshopify.com/x", "a b.myshopify.com"])
def test_what_is_no_shop_is_no_operator(value: str) -> None:
    with pytest.raises(ConfigError, match="BLOSSOM_OPERATOR_SHOPS"):
        Config.from_environment({"BLOSSOM_OPERATOR_SHOPS": value})

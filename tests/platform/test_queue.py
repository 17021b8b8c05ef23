"""The queue: what is handed to RQ, what is collapsed, and that a lost Redis costs nothing but time."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import structlog
from flask import Flask
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from structlog.testing import capture_logs

from blossom import worker
from blossom.platform import logs, queue
from tests.conftest import Services


@pytest.fixture(autouse=True)
def _an_empty_redis(services: Services) -> Iterator[None]:
    queue.init(services.redis_url)
    queue.connection().flushdb()
    yield
    queue.drop()
    queue.init(services.redis_url)
    queue.connection().flushdb()


@pytest.fixture
def ran(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    """What a job of the name `test.job` was called with."""
    monkeypatch.setattr(worker, "_app", lambda: app)
    calls: list[dict[str, object]] = []
    before = dict(queue.registered())

    @queue.job("test.job")
    def job(**kwargs: object) -> None:
        calls.append(
            kwargs | {"request_id": logs.request_id(), "marked": queue.connection().exists("waiting:test.job")}
        )

    yield calls
    queue.registered().clear()
    queue.registered().update(before)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def waiting(name: str = "default") -> list[tuple[str, dict[str, object]]]:
    return [(job.args[0], job.args[1]) for job in queue.rq_queue(name).jobs]


def work(name: str = "default") -> None:
    """Do everything that waits in the queue, as a worker does, but without its process."""
    for job in queue.rq_queue(name).jobs:
        worker.perform(*job.args)
        queue.rq_queue(name).remove(job)


# What is handed over


def test_a_job_waits_in_its_queue_by_name_with_plain_arguments() -> None:
    queue.enqueue("test.job", queue="receipts", timeout_seconds=30, number=1, name="Ελένη")
    queue.flush()
    (job,) = queue.rq_queue("receipts").jobs
    assert job.func_name == "blossom.worker.perform"
    assert job.args[:2] == ["test.job", {"number": 1, "name": "Ελένη"}]
    assert job.timeout == 30
    assert all(waiting(name) == [] for name in queue.QUEUES if name != "receipts")


def test_a_queue_that_nobody_works_on_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no such queue"):
        queue.enqueue("test.job", queue="sned")


def test_arguments_that_are_not_json_are_refused_before_the_commit() -> None:
    with pytest.raises(TypeError):
        queue.enqueue("test.job", when=object())
    queue.flush()
    assert waiting() == []


def test_jobs_keep_their_order() -> None:
    for number in range(5):
        queue.enqueue("test.job", number=number)
    queue.flush()
    assert [arguments["number"] for _, arguments in waiting()] == [0, 1, 2, 3, 4]


def test_nothing_leaves_twice_and_nothing_that_was_dropped() -> None:
    queue.enqueue("test.job")
    queue.flush()
    queue.flush()
    queue.enqueue("test.dropped")
    queue.drop()
    queue.flush()
    assert waiting() == [("test.job", {})]


def test_the_same_nudge_twice_in_one_transaction_is_one() -> None:
    queue.enqueue("test.job", a=1, b=2)
    queue.enqueue("test.job", b=2, a=1)
    queue.enqueue("test.job", a=1, b=3)
    queue.enqueue("test.other", a=1, b=2)
    queue.flush()
    assert waiting() == [
        ("test.job", {"a": 1, "b": 2}),
        ("test.job", {"a": 1, "b": 3}),
        ("test.other", {"a": 1, "b": 2}),
    ]


# Not too many


def test_at_most_so_many_wait() -> None:
    for _ in range(5):
        queue.enqueue("test.lane", queue="send", at_most=2)
        queue.flush()
    assert len(waiting("send")) == 2


def test_at_most_counts_what_waits_not_what_was_asked_for(ran: list[dict[str, object]]) -> None:
    for _ in range(3):
        queue.enqueue("test.job", queue="send", at_most=1)
        queue.flush()
        work("send")
    assert len(ran) == 3


def test_unless_waiting_lets_one_wait_and_the_next_once_that_was_taken_up(ran: list[dict[str, object]]) -> None:
    for _ in range(3):
        queue.enqueue("test.job", unless_waiting=True)
        queue.flush()
    assert len(waiting()) == 1
    work()
    assert [call["marked"] for call in ran] == [0], "while one runs, the next may wait"
    queue.enqueue("test.job", unless_waiting=True)
    queue.flush()
    assert len(waiting()) == 1


def test_unless_waiting_tells_calls_apart_by_what_they_are_given(ran: list[dict[str, object]]) -> None:
    def ask(*shops: int) -> list[object]:
        for shop_id in shops:
            queue.enqueue("test.job", unless_waiting=True, shop_id=shop_id)
            queue.flush()
        return [given["shop_id"] for _, given in waiting()]

    assert ask(1, 2, 1) == [1, 2]
    work()
    assert ask(3, 1, 2) == [3, 1, 2], "what was taken up may wait again, behind another"


def test_one_job_waiting_keeps_no_other_from_it() -> None:
    queue.enqueue("test.job", unless_waiting=True)
    queue.enqueue("test.other", unless_waiting=True)
    queue.flush()
    assert len(waiting()) == 2


def test_a_marker_whose_job_was_lost_is_forgotten_by_itself() -> None:
    queue.enqueue("test.job", unless_waiting=True)
    queue.flush()
    assert 0 < queue.connection().ttl("waiting:test.job") <= 60


def test_a_marker_in_an_empty_queue_keeps_nothing_from_it() -> None:
    """The sweep was taken up while Redis could not be told so: for a minute nobody would have swept."""
    queue.connection().set("waiting:test.job", 1)
    for _ in range(2):
        queue.enqueue("test.job", unless_waiting=True)
        queue.flush()
    assert waiting() == [("test.job", {})]


# Without Redis


def test_a_redis_that_is_away_is_forgiven_and_logged(services: Services) -> None:
    queue.init(f"redis://127.0.0.1:{unused_port()}/0")
    queue.enqueue("test.job")
    queue.enqueue("test.other")
    with capture_logs() as entries:
        queue.flush()
    assert [(entry["event"], entry["log_level"], entry["job"]) for entry in entries] == [
        ("queue.unreachable", "warning", "test.job")
    ]
    queue.taken_up("test.job")
    queue.init(services.redis_url)
    queue.flush()
    assert waiting() == [], "what was lost is found by its row, not remembered here"


def test_a_redis_that_comes_back_is_used_again(services: Services) -> None:
    queue.init(f"redis://127.0.0.1:{unused_port()}/0")
    queue.enqueue("test.job")
    queue.flush()
    queue.init(services.redis_url)
    queue.enqueue("test.job")
    queue.flush()
    assert waiting() == [("test.job", {})]


def test_without_init_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_connection", None)
    with pytest.raises(RuntimeError, match=r"queue\.init"):
        queue.connection()


# Doing them


def test_a_worker_does_what_was_enqueued(ran: list[dict[str, object]]) -> None:
    """By RQ's own hand: the function's name, the serializer and the arguments are as RQ wants them."""
    queue.enqueue("test.job", number=1)
    queue.flush()
    rq_worker = SimpleWorker(
        [queue.rq_queue("default")], connection=queue.connection(), serializer=JSONSerializer, prepare_for_work=False
    )
    job = rq_worker.dequeue_job_and_maintain_ttl(timeout=None)
    assert job is not None
    assert json.loads(json.dumps(job[0].args))[:2] == ["test.job", {"number": 1}]
    assert job[0].perform() is None
    assert [call["number"] for call in ran] == [1]


def test_the_request_id_goes_along_into_the_job(ran: list[dict[str, object]]) -> None:
    logs.begin("the-request")
    queue.enqueue("test.job")
    queue.flush()
    structlog.contextvars.clear_contextvars()
    work()
    assert [call["request_id"] for call in ran] == ["the-request"]


def test_what_a_job_enqueues_outside_a_transaction_does_not_leak_into_the_next(ran: list[dict[str, object]]) -> None:
    @queue.job("test.forgets")
    def forgets() -> None:
        queue.enqueue("test.leaked")

    worker.perform("test.forgets", {})
    queue.flush()
    assert waiting() == []


def test_a_job_that_fails_fails_at_rq_and_leaves_nothing_to_the_next(ran: list[dict[str, object]]) -> None:
    @queue.job("test.fails")
    def fails() -> None:
        queue.enqueue("test.leaked")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker.perform("test.fails", {})
    queue.flush()
    assert waiting() == []


def test_two_jobs_of_one_name_are_refused(ran: list[dict[str, object]]) -> None:
    def another() -> None: ...

    another.__module__ = "somewhere.else"
    with pytest.raises(RuntimeError, match=r"two jobs are called test\.job"):
        queue.job("test.job")(another)

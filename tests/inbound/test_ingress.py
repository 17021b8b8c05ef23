"""The short way for receipts says and stores what the route does, and loses nothing of what it acknowledges."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client, EnvironBuilder, TestResponse

from blossom.inbound.api import ReceiptsIngress
from blossom.messaging import service as messaging
from blossom.messaging.errors import NotStored
from blossom.messaging.service import receiving
from blossom.mitto import signature
from blossom.mitto.payloads import Receipt
from blossom.platform import db, logs, queue
from blossom.platform.nudging import Nudge
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.shops import create_shop
from tests.faults.processes import until
from tests.inbound.conftest import FORM, SECRET, TOKEN, Mitto, a_receipt, receipts
from tests.services import POOLED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DLR = "/webhooks/mitto/dlr"


def count(query: str) -> int:
    with db.transaction():
        return int(db.session.execute(text(f"SELECT count(*) FROM {query}")).scalar_one())


def ingress(app: Flask) -> ReceiptsIngress:
    assert isinstance(app.wsgi_app, ReceiptsIngress)
    return app.wsgi_app


def both(app: Flask, raw: bytes, content_type: str = "application/json", **headers: str) -> list[TestResponse]:
    """The same post by the short way and by the route."""
    proof = {"X-Mitto-Signature": signature.sign(raw, SECRET), "X-Request-Id": "the-request"}
    ways: list[Callable[..., Any]] = [app.wsgi_app, ingress(app)._next]
    return [Client(way).post(DLR, data=raw, headers={**proof, **headers}, content_type=content_type) for way in ways]


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (orjson.dumps(a_receipt()), "application/json"),
        (orjson.dumps([a_receipt("01K1"), a_receipt("01K2")]), "application/json"),
        (b"[]", "application/json"),
        (b"msgid=01K1&status=DELIVERED", FORM),
    ],
)
def test_it_answers_byte_for_byte_what_the_route_answers(mitto: Mitto, raw: bytes, content_type: str) -> None:
    mitto.post("dlr", raw, content_type=content_type)  # so that it is a repeat for both
    short, long = both(mitto.app, raw, content_type)
    assert (short.status, short.data) == (long.status, long.data)
    assert short.status_code == 200
    assert sorted(short.headers) == sorted(long.headers)
    assert short.headers["X-Request-Id"] == "the-request"


def test_what_can_be_stored_does_not_reach_the_route(mitto: Mitto, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the route was asked")

    monkeypatch.setattr(ingress(mitto.app), "_next", never)
    assert mitto.post("dlr", a_receipt()).get_json()["accepted"] == 1
    raw = orjson.dumps(a_receipt("01K2"))
    assert mitto.send("dlr", raw, {signature.TOKEN_HEADER: TOKEN}, content_type="application/json").status_code == 200
    with pytest.raises(AssertionError):
        mitto.send("dlr", raw, {})


def request_for(raw: bytes, secret: str = SECRET, path: str = DLR) -> WSGIEnvironment:
    headers = {"X-Mitto-Signature": signature.sign(raw, secret), "X-Request-Id": "the-request"}
    return EnvironBuilder(path, method="POST", data=raw, headers=headers, content_type="application/json").get_environ()


def test_together_each_gets_the_answer_that_it_would_have_got_alone(mitto: Mitto) -> None:
    raws = [
        orjson.dumps(body)
        for body in (a_receipt("01K1"), a_receipt("01K1"), [a_receipt("01K2"), a_receipt("01K3")], [])
    ]
    mitto.post("dlr", a_receipt("01K9"))
    answers = ingress(mitto.app).together([request_for(raw) for raw in [*raws, orjson.dumps(a_receipt("01K9"))]])
    told = [orjson.loads(answer[1]) for answer in answers if answer is not None]
    assert [(each["accepted"], each["repeated"]) for each in told] == [(1, 0), (0, 1), (2, 0), (0, 0), (0, 1)]
    repeated = ingress(mitto.app).together([request_for(raw) for raw in raws])
    for raw, answer in zip(raws, repeated, strict=True):
        _, long = both(mitto.app, raw)
        assert answer is not None
        assert answer[1] == long.data
        assert sorted(answer[0]) == sorted(long.headers)


def test_together_what_is_refused_alone_is_left_to_be_called_for(mitto: Mitto) -> None:
    good, bad = orjson.dumps(a_receipt()), b"nonsense"
    asked = [
        request_for(good, secret="another"),
        request_for(bad),
        request_for(good),
        request_for(good, path=f"{DLR}/ours"),
        request_for(good, path=f"{DLR}?shop=ours"),
    ]
    answers = ingress(mitto.app).together(asked)
    assert [answer is not None for answer in answers] == [False, False, True, False, False]
    assert len(receipts()) == 1


def test_together_a_fault_stores_nothing_and_each_is_to_be_called_for(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, only the one fails whose fault it is (below)."""
    real = receiving.accept_together
    bad = [Receipt("never\0stored", "Sent")]
    monkeypatch.setattr(messaging, "accept_together", lambda brought: real([*brought, bad]))
    asked = [request_for(orjson.dumps(a_receipt(name))) for name in ("01K1", "01K2")]
    assert ingress(committed_app).together(asked) == [None, None]
    assert count("receipts") == 0
    monkeypatch.undo()
    assert None not in ingress(committed_app).together(asked)


def test_a_body_that_was_cut_off_is_refused_where_only_a_token_proves_it(mitto: Mitto) -> None:
    raw = b"msgid=01K1&status=Deliver"  # it ends in the middle of a word, and could be read
    answer = Client(mitto.app.wsgi_app).post(
        DLR,
        data=raw,
        content_type=FORM,
        headers={signature.TOKEN_HEADER: TOKEN},
        environ_overrides={"CONTENT_LENGTH": str(len(raw) + 2)},
    )
    assert (answer.status_code, answer.get_json()["code"]) == (400, "incomplete_body")
    assert receipts() == []


@pytest.mark.parametrize("size", ["", "-1", "+5", "１", "five", "1000001"])
def test_a_body_of_unknown_or_forbidden_size_is_left_to_the_route_unread(app: Flask, size: str) -> None:
    class Unread:
        def read(self, *_: int) -> bytes:
            raise AssertionError("it was read")

    asked = []
    way = ReceiptsIngress(app)
    way._next = lambda environ, _: asked.append(environ) or [b""]  # type: ignore[func-returns-value]
    environ = {"PATH_INFO": DLR, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": size, "wsgi.input": Unread()}
    way(environ, lambda *_: None)  # type: ignore[arg-type]  # nothing is written
    assert asked == [environ]


def test_a_request_is_logged_as_the_route_logs_it(mitto: Mitto) -> None:
    written = StringIO()
    logs.configure("INFO", written)
    try:
        both(mitto.app, orjson.dumps(a_receipt()))
    finally:
        logs.configure("WARNING")
    lines = [orjson.loads(line) for line in written.getvalue().splitlines()]
    for line in lines:
        assert line.pop("milliseconds") >= 0
        del line["timestamp"]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert lines[0]["event"] == "request"


def test_a_fault_of_ours_is_told_as_everywhere(mitto: Mitto, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(messaging, "accept_receipts", broken)
    answer = mitto.post("dlr", a_receipt())
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")


def test_what_could_not_be_stored_is_not_tried_again_by_the_route(
    mitto: Mitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mitto is asked to repeat; a database that is away costs one wait, not two."""
    tried = []

    def slow(*brought: object) -> int:
        tried.append(brought)
        raise NotStored("WaitedTooLong")

    monkeypatch.setattr(messaging, "accept_receipts", slow)
    answer = mitto.post("dlr", a_receipt())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert len(tried) == 1


# --- on real connections --------------------------------------------------------------------------------------------


def held(app: Flask, *deeds: Callable[[], Any]) -> list[Any]:
    """The deeds in threads of their own, begun while nobody can write receipts; what each gave or raised."""

    def do(deed: Callable[[], Any]) -> Any:
        with app.app_context():
            try:
                return deed()
            except Exception as fault:
                return type(fault)

    with ThreadPoolExecutor(len(deeds)) as pool:
        with db.engine().begin() as connection:
            connection.execute(text("LOCK TABLE receipts IN SHARE MODE"))
            calls = [pool.submit(do, deed) for deed in deeds]
            until(lambda: len(receiving._small._waiting) == len(deeds) - 1, "all but the first wait")
        return [call.result(30) for call in calls]


def test_what_several_bring_at_once_is_counted_for_each_and_stored_once(committed_app: Flask) -> None:
    mitto = Mitto(committed_app)
    bodies = [[a_receipt(f"01K{number + more}") for more in range(3)] for number in range(8)]
    answers = held(committed_app, *[lambda body=body: mitto.post("dlr", body) for body in bodies])
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sum(answer.get_json()["accepted"] for answer in answers) == 10
    assert count("receipts") == 10


def test_a_receipt_that_cannot_be_stored_fails_nobody_elses(committed_app: Flask) -> None:
    words = ("01K1", "01K2", "never\0stored", "01K4")
    told = held(
        committed_app, *[lambda word=word: messaging.accept_receipts([Receipt(word, "Sent")]) for word in words]
    )
    assert told == [1, 1, psycopg.errors.UntranslatableCharacter, 1]
    assert count("receipts") == 3


@pytest.mark.skipif(POOLED, reason="a pooler's connections are everybody's, and cutting one cuts the test's own")
def test_a_connection_that_was_cut_meanwhile_costs_nobody_an_answer(committed_app: Flask) -> None:
    mitto = Mitto(committed_app)
    assert mitto.post("dlr", a_receipt("01K1")).status_code == 200
    with db.engine().begin() as connection:
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%INSERT INTO receipts%'"
        assert connection.execute(text(f"{cut} AND pid <> pg_backend_pid()")).scalar_one() == 1
    assert mitto.post("dlr", a_receipt("01K2")).status_code == 200
    assert count("receipts") == 2


def test_its_connection_is_kept_depends_on_no_session_and_is_closed_with_the_pool(committed_app: Flask) -> None:
    with db.autocommit() as first:
        assert (first.autocommit, first.prepare_threshold) == (True, None)
        with db.autocommit() as second:
            assert second is not first
    with db.autocommit() as again:
        assert again in (first, second)
    db.engine().dispose()
    assert first.closed
    assert second.closed


def test_killed_right_after_the_commit_the_sweep_finds_what_was_stored(committed_app: Flask) -> None:
    """No answer was given and no worker woken; the receipt counts nevertheless, once, whether it is repeated or not."""
    with db.transaction():
        shop = create_shop()
        message = create_message(create_batch(create_dispatch(shop.id), state="done"), "01K1")
        message_id = message.id
    db.engine().dispose()
    child = os.fork()
    if child == 0:
        receiving._nudge.give = lambda: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        Mitto(committed_app).post("dlr", a_receipt("01K1"))
        os._exit(1)  # it lived on
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert count("receipts WHERE state = 'new'") == 1
    assert queue.rq_queue("receipts").count == 0
    messaging.sweep()
    assert queue.rq_queue("receipts").count == 1
    Mitto(committed_app).post("dlr", a_receipt("01K1"))
    with db.transaction():
        messaging.apply_receipts()
    assert count(f"messages WHERE id = {message_id} AND state = 'delivered'") == 1
    assert count("receipts") == 1


# --- the nudge ------------------------------------------------------------------------------------------------------


def test_many_webhooks_are_few_nudges_and_the_last_one_is_followed_by_one() -> None:
    given: list[int] = []
    brought = itertools.count(1)
    newest = 0
    pause = threading.Event()

    def nudged() -> None:
        given.append(newest)
        if len(given) == 1:
            raise ZeroDivisionError  # it goes on after whatever happens

    nudge = Nudge(nudged, name="test-nudge", seconds=receiving.NUDGE_SECONDS)
    while newest < 300:
        newest = next(brought)
        nudge.give()
        pause.wait(0.001)
    until(lambda: given and given[-1] == 300, "a nudge after the last")
    assert len(given) <= 30


def test_without_redis_a_webhook_is_answered_all_the_same(mitto: Mitto) -> None:
    queue.init("redis://127.0.0.1:1")
    try:
        assert mitto.post("dlr", a_receipt()).status_code == 200
    finally:
        queue.init(str(mitto.app.config["BLOSSOM"].redis_url))
    assert len(receipts()) == 1

"""A web process that is told to stop answers what it has begun and ends soon, whatever is open; and one that is killed
leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
import requests
from flask import Flask
from sqlalchemy import text

from blossom.mitto import signature
from blossom.platform import config, db, passes
from tests.factories.campaigns import create_sending, make_ready
from tests.factories.shops import create_shop
from tests.faults.processes import Forks, until
from tests.faults.web import SOON, Web, heard, serving

SECRET = "stop-secret"

HALVES = (
    b"",
    b"GET /healthz HTTP/1.1\r\nHo",
    b"POST /webhooks/mitto/dlr HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
)


@pytest.fixture
def web(committed_app: Flask, forks: Forks) -> Iterator[Web]:
    with serving(forks, MITTO_HMAC_SECRET=SECRET) as made:
        yield made


def a_stream() -> bytes:
    """The request for the events of a campaign that is going out, and whose page stays open."""
    with db.transaction():
        shop = create_shop()
        make_ready(shop)
        campaign = create_sending(shop)
        link = urlsplit(passes.link(config.current(), shop.id, f"campaigns/{campaign.id}"))
    return f"GET {link.path}/events?{link.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def receipt(name: str) -> bytes:
    body = orjson.dumps({"messageId": name, "deliveryStatus": "Delivered"})
    head = f"POST /webhooks/mitto/dlr HTTP/1.1\r\nHost: x\r\nX-Mitto-Signature: {signature.sign(body, SECRET)}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer_of(connection: socket.socket, end: bytes) -> bytes:
    """One answer, which ends like this; or what there was of it when the other side hung up."""
    answer = b""
    while not answer.endswith(end) and (part := connection.recv(65_536)):
        answer += part
    return answer


def stored() -> set[str]:
    with db.transaction() as session:
        return set(session.scalars(text("SELECT provider_message_id FROM receipts")))


def test_told_to_stop_it_answers_what_it_has_begun_and_waits_for_nobody_else(web: Web) -> None:
    asks_for_events = a_stream()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(web.connect(asks_for_events)) for _ in range(3)]
        for each in streams:
            assert b"text/event-stream" in each.recv(65_536)
        kept = [stack.enter_context(web.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) for _ in range(3)]
        for each in kept:
            assert answer_of(each, b'{"ok":true}\n').startswith(b"HTTP/1.1 200 ")
        halves = [stack.enter_context(web.connect(sent)) for sent in HALVES]
        with ThreadPoolExecutor(1) as pool:
            with db.engine().begin() as connection:
                connection.execute(text("LOCK TABLE receipts IN SHARE MODE"))
                begun = [stack.enter_context(web.connect(receipt(f"01K{number}"))) for number in range(3)]
                waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'receipts'::regclass"
                until(lambda: connection.execute(text(waits)).scalar_one(), "a receipt waits to be stored")
                took = pool.submit(web.process.terminate)
                for each in streams:
                    assert heard(each).endswith(b"0\r\n\r\n"), "a stream was cut"
            answers = [heard(each) for each in begun]
            assert took.result() < SOON
        assert [answer[:16] for answer in answers] == [b"HTTP/1.1 200 OK\r"] * 3
        assert stored() == {"01K0", "01K1", "01K2"}
        assert [heard(each) for each in kept] == [b""] * 3
        assert all(answer == b"" or b" 400 " in answer[:16] for answer in map(heard, halves))
    assert "Traceback" not in web.process.output()


def test_told_to_stop_it_waits_no_longer_for_who_begins_a_request_only_now(web: Web) -> None:
    asks, asks_for_events = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", a_stream()
    with (
        web.connect(asks) as first,
        web.connect(asks) as second,
        web.connect(asks_for_events) as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        for each in (first, second):
            assert answer_of(each, b'{"ok":true}\n').startswith(b"HTTP/1.1 200 ")
        assert b"text/event-stream" in stream.recv(65_536)
        took = pool.submit(web.process.terminate)
        assert answer_of(stream, b"0\r\n\r\n").endswith(b"0\r\n\r\n")
        first.sendall(asks)
        assert b"Connection: close" in heard(first), "so it is stopping"
        second.sendall(asks[:9])
        assert heard(second) == b""
        assert took.result() < SOON


def test_told_to_stop_while_receipts_pour_in_it_has_stored_each_that_it_acknowledged(web: Web) -> None:
    numbers, acknowledged, garbled = itertools.count(), list[str](), list[bytes]()
    flows = threading.Event()

    def knock() -> None:
        with contextlib.suppress(ConnectionError), web.connect() as connection:
            while True:
                name = f"01K{next(numbers)}"
                connection.sendall(receipt(name))
                answer = answer_of(connection, b'"refused":[]}')
                if not answer:
                    return
                if not answer.startswith(b"HTTP/1.1 200 ") or answer.count(b"HTTP/1.1") != 1:
                    garbled.append(answer)
                acknowledged.append(name)
                if len(acknowledged) > 1000:
                    flows.set()

    with ThreadPoolExecutor(16) as pool:
        knocking = [pool.submit(knock) for _ in range(16)]
        assert flows.wait(60)
        assert web.process.terminate() < SOON
        for each in knocking:
            each.result(10)
    assert garbled == []
    assert set(acknowledged) <= stored()


def test_one_that_is_killed_is_replaced_and_nothing_outlives_the_command(web: Web) -> None:
    _, worker = web.gunicorn()
    worker.kill()
    until(lambda: web.gunicorn()[1].pid != worker.pid and web.answers(), "another has taken its place")

    family = web.gunicorn()
    psutil.Process(web.process.pid).send_signal(signal.SIGKILL)
    began = time.monotonic()
    _, left = psutil.wait_procs(family, timeout=SOON)
    assert left == [], f"after {time.monotonic() - began:.0f} s it still holds its port"


def test_one_whose_master_is_killed_while_clients_keep_asking_frees_the_port_for_the_next(web: Web) -> None:
    """Else the next one can't listen, and the supervisor gives up on it."""
    ended = threading.Event()

    def keep_asking() -> None:
        while not ended.is_set():
            with contextlib.suppress(requests.RequestException), requests.Session() as client:
                while not ended.is_set():
                    client.get(f"http://127.0.0.1:{web.port}/healthz", timeout=10)

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(keep_asking) for _ in range(8)]
        until(web.answers, "they are answered")
        master, worker = web.gunicorn()
        master.kill()
        _, left = psutil.wait_procs([worker], timeout=SOON)
        assert left == []
        until(lambda: web.gunicorn()[0].pid != master.pid and web.answers(), "another has taken its place")
        ended.set()
        for each in asking:
            each.result(20)

"""Pages that stand open, at a real `blossom web`: two hundred of them leave room for all else, each hears what happens,
none outlives its use, and where there is no room for one it is asked for."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
import requests
from flask import Flask
from sqlalchemy import text, update

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.messaging.models import Batch, Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform import config, db, passes
from tests.factories.campaigns import add_messages, create_sending, end_dispatch, make_ready
from tests.factories.shops import create_shop
from tests.faults.processes import Forks, until
from tests.faults.web import SOON, Web, heard, serving

MANY = 200
STOPS_WITHIN = 5.0
IMPATIENT = {"GUNICORN_CMD_ARGS": "--worker-class tests.bad_input.impatient.Worker"}
LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Watched:
    """A campaign that goes out; `path` with a pass to its page."""

    campaign: Campaign
    path: str
    query: str

    def deliver(self, number: int) -> None:
        """So many of its texts have been delivered."""
        with db.transaction() as session:
            mine = Batch.dispatch_id == self.campaign.dispatch_id
            session.execute(update(Batch).where(mine).values(delivered=number, sent=Batch.size - number))

    def end(self) -> None:
        """All are delivered, and nothing more is to come."""
        with db.transaction():
            end_dispatch(self.campaign, DispatchState.COMPLETED)
            service.settle(self.campaign.shop_id, self.campaign.dispatch_id or 0)
        self.deliver(9)

    def asks(self, end: str = "/events", query: str | None = None) -> bytes:
        head = f"GET {self.path}{end}?{query or self.query} HTTP/1.1\r\nHost: x\r\nHX-Request: true\r\n\r\n"
        return head.encode()


@pytest.fixture
def watched(committed_app: Flask) -> Watched:
    with db.transaction() as session:
        shop = create_shop()
        make_ready(shop)
        campaign = create_sending(shop)
        add_messages(campaign, sent=9)
        going = {"state": DispatchState.SENDING.value}
        session.execute(update(Dispatch).where(Dispatch.id == campaign.dispatch_id).values(going))
        link = urlsplit(passes.link(config.current(), shop.id, f"campaigns/{campaign.id}"))
    return Watched(campaign, link.path, link.query)


@pytest.fixture
def at(request: pytest.FixtureRequest, committed_app: Flask, forks: Forks) -> Iterator[Web]:
    """The web process, with the settings that the test names."""
    with serving(forks, **getattr(request, "param", {})) as web:
        yield web


class Page:
    """One that stands open, and what it has been told."""

    def __init__(self, web: Web, asked: bytes, buffer: int | None = None) -> None:
        self.connection = socket.socket()
        if buffer is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.connection.settimeout(30)
        self.connection.connect(("127.0.0.1", web.port))
        self.connection.sendall(asked)
        self.told = b""

    def status(self) -> int:
        while b"\r\n\r\n" not in self.told:
            self._hear()
        return int(self.told[9:12])

    def is_told_something(self) -> bool:
        """Waits for the first words. Of some that ask at once, one too many is let in and told nothing."""
        while b"data: <div" not in self.told and not self.told.endswith(LAST_CHUNK):
            self._hear()
        return b"data: <div" in self.told

    def hears(self, delivered: int) -> None:
        """Waits until it is told that so many have been delivered."""
        while f'data-count="delivered">{delivered}<'.encode() not in self.told:
            self._hear()

    def rest(self) -> bytes:
        """What comes until the other side ends it; then we do."""
        with self.connection:
            return self.told + heard(self.connection)

    def _hear(self) -> None:
        part = self.connection.recv(65_536)
        assert part, f"it ended after {self.told[-300:]!r}"
        self.told += part


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    """Closes what the test has opened."""
    with contextlib.ExitStack() as stack:
        yield stack


def page(opened: contextlib.ExitStack, web: Web, asked: bytes, buffer: int | None = None) -> Page:
    made = Page(web, asked, buffer)
    opened.enter_context(made.connection)
    return made


def connections_to_the_database() -> int:
    with db.engine().connect() as connection:
        ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return int(connection.execute(text(ours)).scalar_one())


@pytest.mark.parametrize("at", [{"LOG_LEVEL": "INFO"}], indirect=True)
def test_two_hundred_hold_no_thread_and_no_connection_and_end_with_the_process(
    at: Web, watched: Watched, opened: contextlib.ExitStack
) -> None:
    before = connections_to_the_database()
    pages = [page(opened, at, watched.asks()) for _ in range(MANY)]
    assert {each.status() for each in pages} == {200}
    for each in pages:
        each.hears(0)
    began = time.monotonic()
    answer = requests.get(f"http://127.0.0.1:{at.port}{watched.path}?{watched.query}", timeout=30)
    assert (answer.status_code, time.monotonic() - began < 2) == (200, True)
    assert connections_to_the_database() - before < 25, "those of the requests, which the pool keeps"
    _, worker = at.gunicorn()
    sleeping = {each.id: each.system_time + each.user_time for each in worker.threads()}

    watched.deliver(4)
    with ThreadPoolExecutor(20) as hearing:
        list(hearing.map(lambda each: each.hears(4), pages))
    busy = [each.id for each in worker.threads() if each.system_time + each.user_time > sleeping.get(each.id, 0)]
    assert len(busy) <= 4, "to tell them all, one thread looks and the loop listens"

    began = time.monotonic()
    with ThreadPoolExecutor(MANY + 1) as hearing:
        rest = [hearing.submit(each.rest) for each in pages]
        stopping = hearing.submit(at.process.terminate)
        assert all(each.result().endswith(LAST_CHUNK) for each in rest), "a stream was cut"
        assert time.monotonic() - began < STOPS_WITHIN
        assert stopping.result() < SOON
    assert "Traceback" not in at.process.output()
    lines = [orjson.loads(line) for line in at.process.output().splitlines() if line.startswith("{")]
    asked = [line for line in lines if line.get("route") == "/campaigns/<int:campaign_id>/events"]
    assert len({line["request_id"] for line in asked}) == len(asked) == MANY


def test_one_ends_with_what_it_shows_and_one_that_was_cut_comes_back_to_all_of_it(
    at: Web, watched: Watched, opened: contextlib.ExitStack
) -> None:
    first = page(opened, at, watched.asks())
    first.hears(0)
    _, worker = at.gunicorn()
    worker.kill()
    assert not first.rest().endswith(LAST_CHUNK), "it was cut"
    watched.deliver(5)
    until(lambda: at.gunicorn()[1].pid != worker.pid and at.answers(), "another has taken its place")
    second = page(opened, at, watched.asks())
    second.hears(5)

    watched.end()
    rest = second.rest()
    assert rest.index(b'data-count="delivered">9<') < rest.index(b"event: settled\ndata: \n\n")
    assert rest.endswith(LAST_CHUNK)


@pytest.mark.parametrize("at", [IMPATIENT], indirect=True)
def test_who_takes_nothing_is_hung_up_on_and_holds_up_nobody(
    at: Web, watched: Watched, opened: contextlib.ExitStack
) -> None:
    other = page(opened, at, watched.asks())
    other.hears(0)
    slow = page(opened, at, watched.asks(), buffer=1024)
    _, worker = at.gunicorn()

    def is_connected() -> bool:
        mine = slow.connection.getsockname()
        return any(each.raddr == mine and each.status == psutil.CONN_ESTABLISHED for each in worker.net_connections())

    until(is_connected, "it is let in")
    numbers = iter(range(1, 100))

    def gone() -> bool:
        number = next(numbers)
        watched.deliver(number % 10)
        other.told = b""
        other.hears(number % 10)
        return not is_connected()

    until(gone, "it is hung up on", 30)
    assert not slow.rest().endswith(LAST_CHUNK), "in the middle of what it did not take"


@pytest.mark.parametrize("at", [IMPATIENT], indirect=True)
def test_who_finds_no_room_asks_and_gets_it_when_others_have_gone(
    at: Web, watched: Watched, opened: contextlib.ExitStack
) -> None:
    """A shop may have twenty here."""
    pages = [page(opened, at, watched.asks()) for _ in range(20)]
    for each in pages:
        each.hears(0)
    assert page(opened, at, watched.asks()).status() == 204
    watched.deliver(3)
    page(opened, at, watched.asks("")).hears(3)

    for each in pages:
        each.connection.close()
    until(lambda: page(opened, at, watched.asks()).status() == 200, "there is room again", 20)
    with db.transaction():
        another = passes.link(config.current(), create_shop(domain="theirs.myshopify.com").id, watched.path.strip("/"))
    assert page(opened, at, watched.asks(query=urlsplit(another).query)).status() == 404


@pytest.mark.parametrize("at", [{"GUNICORN_CMD_ARGS": "--worker-class gthread"}], indirect=True)
def test_gunicorns_own_worker_serves_a_few_and_the_others_ask(
    at: Web, watched: Watched, opened: contextlib.ExitStack
) -> None:
    """It is the way back, should ours not fit a new version of it: slower, and as right."""
    pages = [page(opened, at, watched.asks()) for _ in range(MANY)]
    live = [each for each in pages if each.status() == 200 and each.is_told_something()]
    assert 1 <= len(live) <= 16
    refused = [each for each in pages if re.match(rb"HTTP/1.1 204", each.told)]
    assert len(refused) > MANY / 2
    watched.deliver(2)
    page(opened, at, watched.asks("")).hears(2)
    for each in live:
        each.hears(2)
    with ThreadPoolExecutor(1) as pool:
        took = pool.submit(at.process.terminate)
        assert all(each.rest().endswith(LAST_CHUNK) for each in live)
        assert took.result() < SOON

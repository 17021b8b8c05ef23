"""Clients that stall, dawdle or never hang up, at a real `blossom web`: they hold up nobody but themselves."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import psutil
import pytest
import requests
from sqlalchemy import text

from blossom.mitto import signature
from blossom.platform import db
from tests.bad_input.site import Site, start
from tests.conftest import Services
from tests.faults.processes import until

SECRET = "slow-secret"
MANY = 80
"""More than a web process has threads."""

AT_ONCE = 2.0
"""Seconds within which a well-behaved client is to be answered; the slow ones are given up after 3."""

HALVES = {
    "half a body": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "half a large body": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    + b" " * 70_000,
    "half a receipt": b"POST /webhooks/mitto/dlr HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "half its chunks": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "what looks like the last chunk": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nff\r\n0\r\n\r\n",
    "half a body with zeros before its length": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 00000000000000000100\r\n\r\n{",
    "half of what was asked for": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    b"Expect: 100-continue\r\n\r\n",
    "half a long head": b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 8000) for n in range(9)),
    "half a head": b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nContent-",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def site(services: Services, template_database: str) -> Iterator[Site]:
    settings = {"GUNICORN_CMD_ARGS": "--worker-class tests.bad_input.impatient.Worker", "MITTO_HMAC_SECRET": SECRET}
    with start(services, template_database, **settings) as started:
        yield started


def connect(site: Site, sent: bytes = b"") -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    opened.sendall(sent)
    return opened


def heard(connection: socket.socket) -> bytes:
    """All that is said until the other side ends it."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65_536), b""))
    return b""


def answered_in(site: Site) -> float:
    began = time.monotonic()
    assert requests.get(f"http://127.0.0.1:{site.port}/healthz", timeout=30).ok
    return time.monotonic() - began


def open_at(site: Site) -> int:
    """Connections to it that it has not ended."""
    every = psutil.net_connections("tcp")
    return sum(each.laddr[1:] == (site.port,) and each.status == psutil.CONN_ESTABLISHED for each in every)


def receipt(number: int, *, secret: str = SECRET, body: bytes | None = None, head: str = "") -> bytes:
    body = body if body is not None else orjson.dumps({"messageId": f"01K{number}", "deliveryStatus": "Delivered"})
    lines = [
        "POST /webhooks/mitto/dlr HTTP/1.1",
        "Host: x",
        f"X-Mitto-Signature: {signature.sign(body, secret)}",
        f"Content-Length: {len(body)}",
        *([head] if head else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(connection: socket.socket, number: int) -> list[tuple[int, dict[str, object]]]:
    """So many answers of one connection: status, and what its JSON says."""
    found, file = [], connection.makefile("rb")
    for _ in range(number):
        status = int(file.readline().split()[1])
        headers = dict(line.strip().lower().split(b": ", 1) for line in iter(file.readline, b"\r\n"))
        found.append((status, orjson.loads(file.read(int(headers[b"content-length"])))))
    return found


@pytest.mark.parametrize("what", HALVES)
def test_many_that_stall_hold_up_nobody_and_are_told_so_in_the_end(site: Site, what: str) -> None:
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connect(site, HALVES[what])) for _ in range(MANY)]
        assert answered_in(site) < AT_ONCE
        began = time.monotonic()
        said = [heard(each) for each in stalled]
    assert time.monotonic() - began < 10
    if what in ("half a long head", "half a head", "nothing"):
        assert set(said) == {b""}
    else:
        told = [each.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") for each in said]
        assert all(b" 400 " in each[:16] and b"incomplete_body" in each for each in told), said[0]


@pytest.mark.parametrize("first", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", receipt(31)], ids=["any", "a receipt"])
def test_many_that_stall_in_their_second_request_hold_up_nobody(site: Site, first: bytes) -> None:
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connect(site, first + b"GET /heal")) for _ in range(MANY)]
        for each in stalled:
            assert answers(each, 1)[0][0] == 200
        assert answered_in(site) < AT_ONCE
        assert {heard(each) for each in stalled} == {b""}


def test_many_that_announce_too_much_are_refused_and_hold_up_nobody(site: Site) -> None:
    announces = b"POST /webhooks/mitto/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connect(site, announces)) for _ in range(MANY)]
        for each in stalled:
            answer = heard(each)
            assert b" 413 " in answer[:16]
            assert b"Connection: close\r\n" in answer
        assert answered_in(site) < AT_ONCE


def test_many_that_take_nothing_of_their_answer_are_given_up(site: Site) -> None:
    """Their windows are full; gunicorn would wait for them for ever."""
    asks = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60
    with contextlib.ExitStack() as stack:
        for _ in range(MANY):
            opened = stack.enter_context(socket.socket())
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            opened.connect(("127.0.0.1", site.port))
            opened.sendall(asks)
        until(lambda: open_at(site) == 0, "each was hung up on", 30)
        assert answered_in(site) < AT_ONCE


def test_many_that_never_hang_up_after_their_answer_hold_up_nobody(site: Site) -> None:
    farewell = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for each in [stack.enter_context(connect(site, farewell)) for _ in range(MANY)]:
            assert b" 200 " in heard(each)[:16]
        assert answered_in(site) < AT_ONCE


def test_one_that_asks_before_it_sends_and_then_stalls_is_given_up_too(site: Site) -> None:
    asks = b"POST /webhooks/mitto/dlr HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    with connect(site, asks) as connection:
        assert heard(connection).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


def test_one_that_asks_before_it_sends_is_told_once_to_go_on(site: Site) -> None:
    whole = receipt(41, head="Expect: 100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    with connect(site, head + b"\r\n\r\n") as connection:
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answers(connection, 1)[0][0] == 200
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answers(connection, 1)[0][0] == 200


def test_a_large_body_may_come_over_a_slow_line(site: Site) -> None:
    """For longer than it is waited for one that stalls."""
    body = b" " * 239_998 + b"{}"
    with connect(site, receipt(0, body=body)[: -len(body)]) as connection:
        for place in range(0, len(body), 20_000):
            connection.sendall(body[place : place + 20_000])
            time.sleep(0.4)
        [(status, told)] = answers(connection, 1)
    assert (status, told["code"]) == (400, "unreadable")


def test_what_comes_in_pieces_is_answered_as_what_comes_whole(site: Site) -> None:
    whole = receipt(1)
    with connect(site) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(whole)):
            connection.sendall(whole[place : place + 1])
        assert answers(connection, 1) == [(200, {"ok": True, "accepted": 1, "repeated": 0, "refused": []})]


def test_requests_sent_in_a_row_are_answered_in_their_order(site: Site) -> None:
    row = receipt(11) + receipt(12) + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + receipt(11) + receipt(13)
    with connect(site, row) as connection:
        found = answers(connection, 5)
        connection.sendall(receipt(14))
        found += answers(connection, 1)
    assert [status for status, _ in found] == [200] * 6
    assert [told.get("accepted") for _, told in found] == [1, 1, None, 0, 1, 1]


def test_each_receipt_of_a_lot_gets_its_own_answer(site: Site) -> None:
    """Good ones, repeats, forged ones, nonsense and what the database refuses, all at once over many connections."""
    kinds = [
        (lambda n: receipt(1000 + n), 200, "accepted", 1),
        (lambda n: receipt(1), 200, "repeated", 1),
        (lambda n: receipt(2000 + n, secret="another"), 401, "code", "unproven"),
        (lambda n: receipt(n, body=b"nonsense"), 400, "code", "unreadable"),
        (lambda n: receipt(3000 + n, head="X-Request-Id: mine"), 200, "accepted", 1),
        (lambda n: receipt(4000 + n, head="X Bad: a"), 400, None, None),
    ]

    def ask(number: int) -> tuple[int, bytes]:
        make, *_ = kinds[number % len(kinds)]
        with connect(site, receipt(1)) as connection:
            answers(connection, 1)
            connection.sendall(make(number).replace(b"Host: x", b"Host: x\r\nConnection: close", 1))
            said = heard(connection)
        return int(said.split()[1]), said

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(120)))
    for number, (status, said) in enumerate(found):
        _, wanted, name, value = kinds[number % len(kinds)]
        assert status == wanted, said
        if name:
            assert orjson.loads(said.partition(b"\r\n\r\n")[2])[name] == value


def test_a_receipt_that_no_lot_has_room_for_goes_its_own_way(site: Site) -> None:
    """The database hangs: without a thread of its own nobody would ever be told so."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'receipts'::regclass")
    with contextlib.ExitStack() as stack:
        with site.app.app_context(), db.engine().begin() as held:
            held.execute(text("LOCK TABLE receipts IN SHARE MODE"))
            first = stack.enter_context(connect(site, receipt(21)))
            until(lambda: held.execute(waiting).scalar_one() == 1, "the first is being stored, and can't")
            second = stack.enter_context(connect(site, receipt(22)))
            until(lambda: held.execute(waiting).scalar_one() == 2, "the second is tried by a thread", 10)
            assert answered_in(site) < AT_ONCE
        assert [answers(each, 1)[0][0] for each in (first, second)] == [200, 200]


def test_a_receipt_s_answer_is_that_of_the_ordinary_way(site: Site) -> None:
    """HTTP/1.0 gets a thread."""
    with connect(site, receipt(7, head="X-Request-Id: the-request\r\nConnection: close")) as connection:
        short = heard(connection)
    ordinary = receipt(8, head="X-Request-Id: the-request\r\nConnection: close").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with connect(site, ordinary) as connection:
        long = heard(connection)
    assert b"x-request-id: the-request" in short.lower()
    undated = [[line for line in each.split(b"\r\n") if not line.startswith(b"Date: ")] for each in (short, long)]
    assert undated[0][1:] == undated[1][1:]


def test_where_no_more_files_can_be_opened_the_process_lives_on(site: Site) -> None:
    servers = [
        each for each in psutil.process_iter(["cmdline"]) if f"127.0.0.1:{site.port}" in (each.info["cmdline"] or [])
    ]
    [worker] = [each for each in servers if each.parent() in servers]
    before = worker.rlimit(psutil.RLIMIT_NOFILE)
    try:
        worker.rlimit(psutil.RLIMIT_NOFILE, (worker.num_fds() + 10, before[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(MANY):
                stack.enter_context(connect(site))
            until(lambda: "No more files can be opened" in site.output.read_text(), "it has met the limit", 10)
        assert answered_in(site) < 2 * AT_ONCE
        assert worker.is_running()
    finally:
        worker.rlimit(psutil.RLIMIT_NOFILE, before)


def test_after_all_that_nothing_broke_on_our_side(site: Site) -> None:
    assert answered_in(site) < AT_ONCE
    assert "Traceback" not in site.output.read_text()
    assert [line for line in site.log() if line.get("event") == "request.failed"] == []

"""Bytes that no client library sends, at a real `blossom web`: a clear refusal each, and it answers as before."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest
import requests

from blossom.mitto import signature
from blossom.platform import db
from blossom.shops import service as shops
from tests.api.client import ALL_OF_A_SHOP
from tests.bad_input.site import Site, start
from tests.conftest import Services
from tests.factories.shops import create_shop

SECRET = "wire-secret"
GOOD = b'{"name": "Sale"}'
RECEIPT = b'{"messageId": "01K1", "status": "Sent"}'


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def code(self) -> str | None:
        try:
            return str(orjson.loads(self.body)["code"])
        except (orjson.JSONDecodeError, KeyError):
            return None


@pytest.fixture(scope="module")
def site(services: Services, template_database: str) -> Iterator[Site]:
    with start(services, template_database, MITTO_HMAC_SECRET=SECRET) as started:
        yield started


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    with site.app.app_context(), db.transaction():
        shop = create_shop(domain="wire.myshopify.com")
        return shops.create_api_key(shop.id, "test", ALL_OF_A_SHOP)[1]


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def send(site: Site, head: str, body: bytes = b"", *, hang_up: bool = False) -> Answer:
    """Send these very bytes; what came back."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")
        try:
            connection.sendall(body)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except OSError:  # it had heard enough, and hung up
            return Answer(0, b"")
    status, _, rest = answer.partition(b"\r\n")
    return Answer(int(status.split()[1]), rest.partition(b"\r\n\r\n")[2])


def post(key: str, *headers: str) -> str:
    lines = ["POST /api/campaigns HTTP/1.1", "Host: x", "Connection: close", f"Authorization: Bearer {key}"]
    return "\n".join([*lines, "Content-Type: application/json", *headers])


def knock(proven: bytes, *headers: str, path: str = "dlr") -> str:
    lines = [f"POST /webhooks/mitto/{path} HTTP/1.1", "Host: x", "Connection: close"]
    return "\n".join([*lines, f"X-Mitto-Signature: {signature.sign(proven, SECRET)}", *headers])


HUNG_UP = 0, None
"""Whoever sends on and on meets a closed connection, and may not get to read why."""

CHUNKS = "Transfer-Encoding: chunked"
BAD_BODIES = {
    "a chunk that is none": (CHUNKS, b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n", 400, "incomplete_body"),
    "no last chunk": (CHUNKS, chunked(GOOD, end=b""), 400, "incomplete_body"),
    "a chunk too short": (CHUNKS, b"ff\r\n" + GOOD, 400, "incomplete_body"),
    "a trailer that is none": (CHUNKS, chunked(GOOD, end=b"0\r\nno trailer\r\n\r\n"), 400, "incomplete_body"),
    "3 MB in chunks": (CHUNKS, chunked(*[b" " * 60_000] * 50), 413, "request_entity_too_large"),
    "cut off": ("Content-Length: 500", GOOD, 400, "incomplete_body"),
    "too long by its word": ("Content-Length: 99999999999999999999", b"", 413, "request_entity_too_large"),
    "10 MB": ("Content-Length: 10000000", b"x" * 10_000_000, 413, "request_entity_too_large"),
    "compressed": ("Content-Encoding: gzip\nContent-Length: 3", b"\x1f\x8b\x08", 415, "unsupported_media_type"),
    "a length below none": ("Content-Length: -5", GOOD, 400, None),
    "a length that is none": ("Content-Length: five", GOOD, 400, None),
    "two lengths": ("Content-Length: 5\nContent-Length: 16", GOOD, 400, None),
    "a length and chunks": (f"Content-Length: 5\n{CHUNKS}", chunked(GOOD), 400, None),
    "an unknown way to send": ("Transfer-Encoding: carrier-pigeon", GOOD, 501, None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_sent_oddly(site: Site, key: str, name: str) -> None:
    headers, body, status, code = BAD_BODIES[name]

    answer = send(site, post(key, *headers.split("\n")), body, hang_up=True)

    assert answer.status == status or (answer.status, answer.code) == HUNG_UP, answer
    if code is not None and answer.status:
        assert answer.code == code
        assert orjson.loads(answer.body)["actionable"]


@pytest.mark.parametrize("path", ["dlr", "inbound"])
@pytest.mark.parametrize("name", ["a chunk that is none", "a trailer that is none", "3 MB in chunks", "cut off"])
def test_a_webhook_that_is_sent_oddly(site: Site, name: str, path: str) -> None:
    headers, body, status, code = BAD_BODIES[name]

    answer = send(site, knock(RECEIPT, headers, path=path), body, hang_up=True)

    assert (answer.status, answer.code) in ((status, code), HUNG_UP)


def test_what_comes_in_good_chunks_is_read(site: Site, key: str) -> None:
    assert send(site, post(key, CHUNKS), chunked(GOOD[:5], GOOD[5:])).status == 201
    assert send(site, knock(RECEIPT, CHUNKS), chunked(RECEIPT[:5], RECEIPT[5:])).status == 200


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: PUT"]
)
def test_no_header_makes_another_method_of_it(site: Site, key: str, header: str) -> None:
    assert send(site, post(key, header, f"Content-Length: {len(GOOD)}"), GOOD).status == 201


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        ("GET /api/campaigns/%00 HTTP/1.1", [404]),
        ("GET /api/campaigns/1%00 HTTP/1.1", [404]),
        ("GET /api/campaigns/%FF HTTP/1.1", [404]),
        ("GET /api/campaigns/%2e%2e/1 HTTP/1.1", [404]),
        ("GET /api/campaigns%2F4711 HTTP/1.1", [404]),
        ("GET /static/%2e%2e/wsgi.py HTTP/1.1", [404]),
        ("GET /static/..%2f..%2fetc/passwd HTTP/1.1", [404]),
        ("GET /campaigns/1?pass=%00 HTTP/1.1", [403]),
        ("GET //other.example/api HTTP/1.1", [404]),
        ("GET /" + "a" * 9_000 + " HTTP/1.1", [414]),
        ("GET /api/campaigns?page=%00 HTTP/1.1", [422]),
        ("GET /api/campaigns?%00=1 HTTP/1.1", [422]),
        ("GET /api/campaigns HTTP/9.9", [400, 505]),
        ("BREW /api/campaigns HTTP/1.1", [405]),
        ("TRACE /api/campaigns HTTP/1.1", [405]),
        ("GET", [400]),
        ("\x16\x03\x01\x02\x00", [400]),
    ],
    ids=range(17),
)
def test_a_request_line_that_leads_nowhere(site: Site, key: str, line: str, statuses: list[int]) -> None:
    answer = send(site, f"{line}\nHost: x\nConnection: close\nAuthorization: Bearer {key}", hang_up=True)
    assert answer.status in statuses, answer


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("X-Long: " + "a" * 100_000, 431),
        ("\n".join(f"X-{number}: a" for number in range(200)), 431),
        ("X-Nul: a\0b", 400),
        ("X-Request-Id: {}<script>", 200),
        ("X-Request-Id: " + "a" * 5_000, 200),
        ("Cookie: " + "a=b; " * 1_000, 200),
        ("Accept: \xff\xfe", 200),
    ],
    ids=range(7),
)
def test_a_header_that_is_odd(site: Site, key: str, header: str, status: int) -> None:
    request = f"GET /api/campaigns HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer {key}\n{header}"
    assert send(site, request).status in (status, 0)  # 0: as above


@pytest.mark.parametrize("credential", ["\xff\xfe", "x" * 7_000, "blsm_", "blsm_1_2", "\u00a0", "null"])
def test_a_credential_that_is_odd(site: Site, credential: str) -> None:
    request = f"GET /api/campaigns HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer {credential}"
    assert send(site, request).status == 401


def test_after_all_that_it_answers_as_before_and_nothing_broke_on_our_side(site: Site, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    assert requests.get(f"http://127.0.0.1:{site.port}/api/campaigns", headers=headers, timeout=20).ok
    assert [line for line in site.log() if line.get("event") == "request.failed"] == []

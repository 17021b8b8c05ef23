"""Files of bulk operations: each line once, whatever happens to the connection, and little of it in memory."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from blossom.shopify import downloads
from blossom.shopify.client import ShopifyClient
from blossom.shopify.errors import ShopifyError
from tests.providers.recorded import RecordedProvider, Turn, raw, reset
from tests.shopify.conftest import Waits

LINES = [f'{{"id":"gid://shopify/Customer/{number}","name":"Ελένη"}}'.encode() for number in range(40_000)]
FILE = b"\n".join(LINES) + b"\n"


def part(
    body: bytes, status: int = 200, length: int | None = None, headers: bytes = b"", *, then_close: bool = False
) -> Turn:
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, length or len(body), headers)
    return raw(head + body, then_close=then_close)


def asked_from(provider: RecordedProvider) -> list[int]:
    found = [re.search(rb"range: bytes=(\d+)-", request, re.IGNORECASE) for request in provider.requests]
    return [int(match[1]) if match else 0 for match in found]


@pytest.fixture
def lines(client: ShopifyClient, recorded: RecordedProvider) -> Iterator[bytes]:
    return client.download(f"{recorded.url}/bulk/1.jsonl")


def test_each_line_comes_once(lines: Iterator[bytes], recorded: RecordedProvider) -> None:
    recorded.script(part(FILE))
    assert list(lines) == LINES
    assert len(recorded.requests) == 1


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_the_last_line_may_or_may_not_end(lines: Iterator[bytes], recorded: RecordedProvider, end: bytes) -> None:
    recorded.script(part(b"a\n\nb" + end))
    assert list(lines) == [b"a", b"b"]


def test_an_empty_file_has_no_lines(lines: Iterator[bytes], recorded: RecordedProvider) -> None:
    recorded.script(part(b""))
    assert list(lines) == []


def test_a_broken_connection_is_taken_up_where_it_broke(
    lines: Iterator[bytes], recorded: RecordedProvider, waits: Waits
) -> None:
    def up_to(end: int) -> Turn:
        """What was asked for, breaking off at `end`."""

        def play(sock: socket.socket) -> bool:
            begin = asked_from(recorded)[-1]
            headers = b"Content-Range: bytes %d-%d/%d\r\n" % (begin, len(FILE) - 1, len(FILE))
            turn = part(FILE[begin:end], 206, len(FILE) - begin, headers, then_close=end < len(FILE))
            return turn(sock)

        return play

    broken = part(FILE[: len(FILE) // 3], length=len(FILE), then_close=True)
    recorded.script(broken, part(b"", 503), up_to(len(FILE) // 2), up_to(len(FILE)))
    assert list(lines) == LINES
    assert waits.taken == [0.2, 1.0, 0.2]
    first, *froms = asked_from(recorded)
    assert first == 0 < froms[0] == froms[1] < froms[2]


def test_another_part_than_asked_for_is_not_taken_for_the_file(
    lines: Iterator[bytes], recorded: RecordedProvider
) -> None:
    broken = part(FILE[: len(FILE) // 2], length=len(FILE), then_close=True)
    recorded.script(broken, part(FILE, 206, headers=b"Content-Range: bytes 0-9/10\r\n"))
    with pytest.raises(ShopifyError) as caught:
        list(lines)
    assert caught.value.code == "answer_unreadable"


def test_a_server_that_knows_no_parts_is_listened_to_from_the_beginning(
    lines: Iterator[bytes], recorded: RecordedProvider
) -> None:
    recorded.script(part(FILE[: len(FILE) // 2], length=len(FILE), then_close=True), part(FILE))
    assert list(lines) == LINES


def test_a_file_that_stays_away_is_given_up(lines: Iterator[bytes], recorded: RecordedProvider, waits: Waits) -> None:
    recorded.script(reset())
    with pytest.raises(ShopifyError, match="didn't answer"):
        list(lines)
    assert waits.taken == [0.2, 1.0, 3.0, 10.0]


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_file_that_is_gone_is_told_so(lines: Iterator[bytes], recorded: RecordedProvider, status: int) -> None:
    recorded.script(part(b"<Error/>", status))
    with pytest.raises(ShopifyError) as caught:
        list(lines)
    assert caught.value.code == "export_gone"
    assert len(recorded.requests) == 1


def test_what_has_no_lines_is_no_such_file(
    lines: Iterator[bytes], recorded: RecordedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_LONGEST_LINE", 1000)
    recorded.script(part(b"x" * 2000))
    with pytest.raises(ShopifyError) as caught:
        list(lines)
    assert caught.value.code == "answer_unreadable"


def test_what_came_packed_is_not_taken_for_the_file(lines: Iterator[bytes], recorded: RecordedProvider) -> None:
    recorded.script(part(b"\x1f\x8b", headers=b"Content-Encoding: gzip\r\n"))
    with pytest.raises(ShopifyError) as caught:
        list(lines)
    assert caught.value.code == "answer_unreadable"


def test_the_key_in_the_address_shows_nowhere(client: ShopifyClient, recorded: RecordedProvider) -> None:
    recorded.script(reset())
    with pytest.raises(ShopifyError) as caught:
        list(client.download(f"{recorded.url}/bulk/1.jsonl?key=hush"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "hush" not in f"{caught.value!r}{caught.value.as_json(None)}"

"""The least of HTTP/1.1 that a fast stand-in needs, on asyncio: requests with a length, keep-alive, and bad manners.

A handler gets a `Connection` and a `Request`, and ends with exactly one of the connection's methods, at once or later.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

import orjson

_HEAD_LIMIT = 65_536
_BODY_LIMIT = 20_000_000
_REASONS = {int(status): status.phrase for status in HTTPStatus}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Request:
    """`headers` by lower-case name. `path` is as it came, without the query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of `name` in the query."""
        return next((value for key, value in parse_qsl(self.query) if key == name), default)


Handler = Callable[["Connection", Request], None]


class Connection(asyncio.Protocol):
    """One client's connection; its requests are answered one after the other."""

    def __init__(self, handle: Handler, opened: set[Connection]) -> None:
        self._handle = handle
        self._opened = opened
        self._received = bytearray()
        self._head: tuple[str, str, str, dict[str, str], int, int] | None = None
        self._answering = False
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    # --- answering -------------------------------------------------------------------------------------------

    def json(self, document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a JSON document."""
        self.body(orjson.dumps(document), status, headers=headers)

    def body(
        self,
        body: bytes,
        status: int = 200,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with bytes."""
        self._write(answer_bytes(body, status, content_type=content_type, headers=headers))
        self._done()

    def later(self, seconds: float, answer: Callable[[], None]) -> None:
        """Answer by calling `answer` after some time."""
        asyncio.get_running_loop().call_later(seconds, answer)

    def when(self, work: Coroutine[object, object, None]) -> None:
        """Answer from a coroutine. One that fails is a 500, with its traceback on our stderr."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                traceback.print_exc(file=sys.stderr)
                self.json({"error": "the stand-in failed; see its stderr"}, 500)

        self._task = asyncio.get_running_loop().create_task(guarded())

    def never(self) -> None:
        """Don't answer; the connection stays open until the client leaves."""

    def cut(self, body: bytes) -> None:
        """Announce `body`, send half of it, and close."""
        whole = answer_bytes(body, 200)
        self._write(whole[: len(whole) - max(1, len(body) // 2)])
        self.close()

    def drip(self, body: bytes, seconds_per_byte: float) -> None:
        """Answer byte by byte, headers too."""

        async def dripping() -> None:
            for each in answer_bytes(body, 200):
                if self._transport is None or self._transport.is_closing():
                    return
                self._write(bytes((each,)))
                await asyncio.sleep(seconds_per_byte)
            self._done()

        self.when(dripping())

    def reset(self) -> None:
        """Close so that the peer sees a reset rather than an end."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def close(self) -> None:
        """Close once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _done(self) -> None:
        self._answering = False
        if self._received:
            asyncio.get_running_loop().call_soon(self._proceed)

    # --- receiving -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._proceed()

    def _proceed(self) -> None:
        if self._answering:
            return
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        method, path, query, headers, start, end = self._head
        if len(self._received) < end:
            return
        body = bytes(memoryview(self._received)[start:end])
        del self._received[:end]
        self._head = None
        self._answering = True
        try:
            self._handle(self, Request(method, path, query, headers, body))
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self.json({"error": "the stand-in failed; see its stderr"}, 500)

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _HEAD_LIMIT:
                self._refuse(431)
            return False
        lines = self._received[:end].decode("latin-1").split("\r\n")
        try:
            method, target, _ = lines[0].split(" ")
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self._refuse(400)
            return False
        if "transfer-encoding" in headers:
            self._refuse(411)
            return False
        if not 0 <= length <= _BODY_LIMIT:
            self._refuse(413)
            return False
        if headers.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        path, _, query = target.partition("?")
        self._head = (method, path, query, headers, end + 4, end + 4 + length)
        return True

    def _refuse(self, status: int) -> None:
        self._answering = True
        self._write(answer_bytes(b"{}", status, headers={"Connection": "close"}))
        self.close()


def answer_bytes(
    body: bytes,
    status: int,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole answer as it goes over the wire."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode("latin-1") + body


class Listener:
    """The listening socket. It can be taken down, so that connecting is refused, and comes back at its port."""

    def __init__(self, handle: Handler, host: str, port: int) -> None:
        self._handle = handle
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._opened: set[Connection] = set()

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://{self._host}:{self.port}"

    async def open(self) -> None:
        """Listen; with port 0 a free one is chosen, and kept from then on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._handle, self._opened), self._host, self.port, reuse_address=True, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening and reset all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset_all()

    async def down(self, seconds: float) -> None:
        """Be unreachable for so many seconds."""
        # A connection ends in the loop's next turn, a listener at once: who is refused has lost their old ones too.
        self._reset_all()
        await asyncio.sleep(0)
        self.close()
        await asyncio.sleep(seconds)
        await self.open()

    def _reset_all(self) -> None:
        for connection in list(self._opened):
            connection.reset()

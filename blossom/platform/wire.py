"""One HTTP call to an outside service: at most once, in a total time, and knowing whether a byte of it may have left.

Contract, where `requests` alone isn't enough:
- **At most once.** Neither requests nor urllib3 repeats anything (`max_retries=0`), redirects aren't followed.
- **What had left.** `CallFailed.begun` is False only if no byte of the request had been handed to a socket: no
  connection, no TLS session. That is the one case in which nothing can have been taken. It is read off the
  connection itself and not guessed from exceptions, which call a broken handshake and a broken answer the same.
- **Total time.** A socket's timeout starts anew with each byte, so a peer that drips would hold us for ever.
  Here each send and each receive, of headers too, gets what is left of the call's time. Only the name lookup
  isn't bounded by us (the resolver bounds it), and nothing has left by then.
- **Idle connections** are dropped before use rather than after `MAX_IDLE`: one that the peer closed a moment ago
  takes our bytes without an error, and a whole batch would become unconfirmed.

A `Wire` belongs to one thread.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from blossom.platform import clock

MAX_IDLE = 4.0  # seconds; the shortest keep-alive in wide use is 5 (Node, gunicorn uses 2 and says so on the wire)
MAX_ANSWER_BYTES = 5_000_000  # an answer for 1,000 texts has about 110 KB
_CHUNK = 65_536
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
_LONGEST_RETRY_AFTER = 86_400.0  # seconds; a nonsense date must not become a wait of years


class CallFailed(Exception):
    """There is no answer. `begun`: whether any of the request may have left. `timed_out`: the time was up."""

    def __init__(self, *, begun: bool, timed_out: bool) -> None:
        super().__init__(f"no answer (request begun: {begun}, timed out: {timed_out})")
        self.begun = begun
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Answer:
    """A status line with its headers. `body` is None when it was too large (`oversized`), when the time ran out
    in the middle of it (`timed_out`), or when it broke off."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    oversized: bool = False
    timed_out: bool = False


def retry_after(answer: Answer) -> float | None:
    """The seconds that `Retry-After` asks for, given as seconds (Shopify: `2.0`) or as a date; None when absent or
    unreadable."""
    value = answer.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), _LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - clock.now()).total_seconds()), _LONGEST_RETRY_AFTER)


class Wire:
    """A pooled `requests.Session` of one thread, over which calls keep the contract above."""

    def __init__(self, session: requests.Session | None = None, *, max_idle: float = MAX_IDLE) -> None:
        self._session = session or requests.Session()
        self._session.trust_env = False  # no proxy, .netrc or CA bundle that our configuration doesn't know of
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._progress = _Progress()
        self._max_idle = max_idle
        self._last_use = time.monotonic()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _OneCallAdapter(self._progress))

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        connect_timeout: float,
        timeout: float,
    ) -> Answer:
        """Make the call, once. Both times in seconds; `timeout` bounds all of it, connecting included."""
        if time.monotonic() - self._last_use > self._max_idle:
            self._session.close()  # drops the pool's connections; the session itself goes on
        self._progress.start(timeout)
        try:
            response = self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=(min(connect_timeout, timeout), timeout),
                allow_redirects=False,
                stream=True,
            )
        except _NETWORK_ERRORS:
            # The exceptions quote the URL, and their traceback holds the request: neither goes any further.
            raise CallFailed(begun=self._progress.begun, timed_out=self._progress.time_is_up()) from None
        finally:
            self._last_use = time.monotonic()
        return self._read(response)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _read(self, response: requests.Response) -> Answer:
        """The whole body, or None and why. urllib3 raises when it is shorter than announced."""
        received = bytearray()
        complete = False
        try:
            for chunk in response.iter_content(_CHUNK):
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    break
            else:
                complete = True
        except _NETWORK_ERRORS:
            pass
        finally:
            self._last_use = time.monotonic()
            if not complete:
                response.close()  # what is left of this answer must not be read as the next one
        oversized = len(received) > MAX_ANSWER_BYTES
        return Answer(
            response.status_code,
            response.headers,
            bytes(received) if complete else None,
            oversized=oversized,
            timed_out=not complete and not oversized and self._progress.time_is_up(),
        )


_NETWORK_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


class _Progress:
    """Where the call in hand stands; the connection writes it, the `Wire` reads it."""

    def __init__(self) -> None:
        self.begun = False
        self._deadline = 0.0

    def start(self, timeout: float) -> None:
        self.begun = False
        self._deadline = time.monotonic() + timeout

    def time_is_up(self) -> bool:
        return time.monotonic() >= self._deadline

    def give_time(self, sock: socket.socket) -> None:
        """Let the next operation on `sock` last no longer than the call may; TimeoutError if its time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is up")
        sock.settimeout(left)


class _OneCallAdapter(HTTPAdapter):
    """One pooled connection, no retries, and connections that report to `progress`."""

    def __init__(self, progress: _Progress) -> None:
        self._progress = progress
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        # urllib3 finds the connection's class on the pool's class, and offers no other way to hand it a value.
        answer = type("_Answer", (_TimedAnswer,), {"progress": self._progress})
        watched = {"progress": self._progress, "response_class": answer}
        plain = type("_HTTPConnection", (_WatchedConnection, HTTPConnection), watched)
        secure = type("_HTTPSConnection", (_WatchedConnection, HTTPSConnection), watched)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_HTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_HTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }


class _WatchedConnection(http.client.HTTPConnection):
    """Mixed in before urllib3's connections: notes the first byte sent, and bounds each send by the call's time."""

    progress: _Progress

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.progress.give_time(self.sock)
        self.progress.begun = True
        super().send(data)


class _TimedAnswer(http.client.HTTPResponse):
    """Reads its socket through `_TimedReader`."""

    progress: _Progress

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp, self.progress))


class _TimedReader(io.RawIOBase):
    """The bytes of `sock`, each wait bounded by the call's time. Closing it closes the file it stands in for,
    by which the socket counts its users."""

    def __init__(self, sock: socket.socket, replaced: io.BufferedIOBase, progress: _Progress) -> None:
        super().__init__()
        self._sock = sock
        self._replaced = replaced
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._progress.give_time(self._sock)
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._replaced.close()
        super().close()

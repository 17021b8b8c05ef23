"""Knocks at a webhook as fast as it answers: signed bodies over kept connections, from a process of its own.

What it costs itself is little (20 to 30 µs of CPU a request), for on a small machine it takes that from the server.
"""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
_HEAD = (
    b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nUser-Agent: mitto\r\n"
    b"X-Mitto-Signature: sha256=%s\r\nContent-Length: %d\r\n\r\n%s"
)


@dataclass(frozen=True)
class Knocked:
    """`answered`: requests answered with 200, all of them; `seconds`: from the first request to the last answer, the
    first at `began_at` (`time.monotonic()`, which all processes of a machine share)."""

    began_at: float
    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


def signed(path: str, secret: str, body: bytes) -> bytes:
    """The request as it goes over the wire."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    return _HEAD % (path.encode(), signature, len(body), body)


def knock(
    port: int,
    make: Callable[..., list[bytes]],
    arguments: tuple[Any, ...],
    connections: int,
    per_second: float | None = None,
) -> Knocked:
    """Send what `make(*arguments)` returns, each once, over so many connections, in a process of its own.

    As fast as they are answered; with `per_second`, each at its own time, from which its delay is counted, also if no
    connection was free then. The requests are made there before the first is sent. Raises `RuntimeError` if one is not
    answered with 200.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_knock, args=(theirs, port, make, arguments, connections, per_second))
    process.start()
    theirs.close()
    try:
        said = ours.recv()
    finally:
        process.join()
    if isinstance(said, str):
        raise RuntimeError(said)
    return Knocked(*said)


def _knock(
    pipe: Any,
    port: int,
    make: Callable[..., list[bytes]],
    arguments: tuple[Any, ...],
    connections: int,
    per_second: float | None,
) -> None:
    try:
        pipe.send(_send_all(port, make(*arguments), connections, per_second))
    except (OSError, RuntimeError) as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _send_all(
    port: int, requests: list[bytes], connections: int, per_second: float | None
) -> tuple[float, int, float, float, float]:
    left: Iterator[bytes] = iter(requests)
    delays: list[float] = []
    selector = selectors.DefaultSelector()
    free = []
    for _ in range(min(connections, len(requests))):
        opened = socket.create_connection((HOST, port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        free.append((opened, [b"", 0.0]))
    started, clock_started = time.monotonic(), time.perf_counter()
    sent = 0
    while len(delays) < len(requests):
        now = time.perf_counter()
        while free and sent < len(requests):
            due = now if per_second is None else clock_started + sent / per_second
            if due > now:
                break
            own, state = free.pop()
            state[0], state[1] = b"", due
            own.sendall(next(left))
            selector.register(own, selectors.EVENT_READ, state)
            sent += 1
        wait = None
        if per_second is not None and free and sent < len(requests):
            wait = max(0.0, clock_started + sent / per_second - time.perf_counter())
        for key, _ in selector.select(wait):
            own, state = key.fileobj, key.data
            state[0] += own.recv(65536)
            if _whole(state[0]):
                delays.append(time.perf_counter() - state[1])
                selector.unregister(own)
                free.append((own, state))
    seconds = time.monotonic() - started
    for own, _ in free:
        own.close()
    delays.sort()
    return started, len(delays), seconds, 1000 * delays[len(delays) // 2], 1000 * delays[int(len(delays) * 0.99)]


def _whole(answer: bytes) -> bool:
    """Whether all of an answer is here. Raises for anything but a 200."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        if not answer:
            raise RuntimeError("the server closed the connection")
        return False
    if b" 200 " not in head[:16]:
        raise RuntimeError(f"answered {answer[:300]!r}")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)

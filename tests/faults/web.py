"""A real `blossom web` over a test's own database."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import requests

from tests.faults.processes import Forks, Process, until

SOON = 20.0
"""Seconds; a host gives 30, and a busy machine wants some. What stalls is waited for 2 s, and a client that doesn't
hang up for 2 more."""


@dataclass
class Web:
    process: Process
    port: int

    def connect(self, sent: bytes = b"") -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        opened.sendall(sent)
        return opened

    def answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=10).ok
        return False

    def gunicorn(self) -> tuple[psutil.Process, psutil.Process]:
        """The master, and its one process."""
        [master] = self.process.children()
        [worker] = until(master.children, "there is one: for a moment, nobody has taken a dead one's place")
        return master, worker


@contextlib.contextmanager
def serving(forks: Forks, **settings: str) -> Iterator[Web]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = Process("web", "--port", str(port), forks=forks, **settings)
    made = Web(process, port)
    try:
        until(made.answers, "the web process answers")
        yield made
    finally:
        process.end()


def heard(connection: socket.socket) -> bytes:
    """All that is said until the other side ends it."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)

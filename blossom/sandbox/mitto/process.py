"""The stand-in as a process of ours: start it, steer it, read what it took.

with StandIn.start(receipts={"url": "http://127.0.0.1:8000/webhooks/mitto/dlr"}) as mitto:
    ... MittoClient(mitto.url, mitto.api_key) ...
    assert mitto.summary()["doubled"] == 0
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson

_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_PAGE = 10_000


class StandInError(RuntimeError):
    """It didn't start, or refused what was asked of it."""


class StandIn:
    """A running stand-in. `url` is the API's base URL, `api_key` one that it accepts."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], api_key: str) -> None:
        self.url = url
        self.api_key = api_key
        self._process = process

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        log: Path | str | None = None,
        with_parent: bool = True,
        command: Sequence[str] = (sys.executable, "-m", "blossom.sandbox.mitto"),
        **behaviour: Any,
    ) -> StandIn:
        """Start one with the given sections of `behaviour.Behaviour`, and wait until it listens.

        `with_parent`: it ends when this process does, however that ends.
        """
        keys = behaviour.get("api_keys") or ["sandbox-key"]
        with tempfile.TemporaryDirectory(prefix="mitto-") as folder:
            ready = Path(folder, "ready.json")
            config = Path(folder, "behaviour.json")
            config.write_bytes(orjson.dumps(behaviour))
            arguments = ["--port", str(port), "--ready-file", str(ready), "--config", str(config)]
            if log is not None:
                arguments += ["--log", str(log)]
            if with_parent:
                arguments += ["--parent", str(os.getpid())]
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module, no shell
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            url = _wait_for(ready, process)
        return cls(url, process, keys[0])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def configure(self, **sections: Any) -> dict[str, Any]:
        """Change sections of its behaviour; the behaviour that is in force now."""
        return self._object("POST", "behaviour", sections)

    def log(self) -> list[dict[str, Any]]:
        """Every text that it took, in order."""
        return list(self.each_text())

    def each_text(self) -> Iterator[dict[str, Any]]:
        """Every text that it took, in order, read page by page."""
        offset = 0
        while page := self._ask("GET", f"log?offset={offset}&limit={_PAGE}"):
            yield from page
            offset += len(page)

    def summary(self, *, segments: bool = False) -> dict[str, Any]:
        """`calls, texts, distinct_destinations, doubled, doubled_destinations`, and `segments` if asked for."""
        return self._object("GET", f"summary?segments={int(segments)}")

    def counters(self) -> dict[str, Any]:
        """Calls, faults, receipts and posts so far, and the CPU seconds that it took."""
        return self._object("GET", "counters")

    def receipts(self) -> list[dict[str, Any]]:
        """The receipts that it posted (the last 100,000), in the order in which they were answered."""
        found: list[dict[str, Any]] = []
        while page := self._ask("GET", f"receipts?offset={len(found)}&limit={_PAGE}"):
            found += page
        return found

    def flush_receipts(self, wait: float = 10.0) -> dict[str, Any]:
        """Post what is held or not yet due; waits until every post has ended, `wait` seconds at most."""
        return self._object("POST", "receipts/flush", {"wait": wait}, timeout=wait + 10)

    def post_unknown_receipts(self, count: int = 1) -> None:
        """Post well-signed receipts about texts that don't exist."""
        self._ask("POST", "receipts/unknown", {"count": count})

    def inbound(self, sender: str, text: str, to: str = "Blossom", **more: Any) -> dict[str, Any]:
        """Post a text of a person to the app; the app's `status` and `body`. `form=True`, `forged=True` work."""
        return self._object("POST", "inbound", {"from": sender, "to": to, "text": text, **more})

    def down(self, seconds: float) -> None:
        """Refuse connections for so many seconds, beginning at once; returns when it is down."""
        self._ask("POST", "down", {"seconds": seconds})
        parts, deadline = urlsplit(self.url), time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                socket.create_connection((parts.hostname or "", parts.port or 0), timeout=0.2).close()
            except ConnectionRefusedError:  # by nothing less: one connection may have ended, and another be about to
                return
            except OSError:
                continue
        raise StandInError("it didn't go down")

    def reset(self) -> None:
        """Forget every text and receipt; the behaviour stays."""
        self._ask("POST", "reset")

    def stop(self) -> None:
        """End it; it is gone when this returns."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _object(self, method: str, what: str, document: object = None, timeout: float = 60.0) -> dict[str, Any]:
        answer = self._ask(method, what, document, timeout)
        assert isinstance(answer, dict)
        return answer

    def _ask(self, method: str, what: str, document: object = None, timeout: float = 60.0) -> Any:
        with _connection(self.url, timeout) as connection:
            connection.request(method, f"/_sandbox/{what}", None if document is None else orjson.dumps(document))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        if response.status != 200:
            raise StandInError(f"{method} {what}: {answer.get('error')}")
        return answer


@contextmanager
def _connection(url: str, timeout: float) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        yield connection
    finally:
        connection.close()


def _wait_for(ready: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if ready.exists():
            return str(orjson.loads(ready.read_bytes())["url"])
        if process.poll() is not None:
            raise StandInError(f"the stand-in ended with code {process.returncode}; see its stderr")
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise StandInError(f"the stand-in didn't listen within {_START_SECONDS:.0f} s")

"""Where webhooks arrive in these tests: keeps what came, and answers as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from blossom.mitto import payloads, signature

SECRET = "the webhook's secret"


@dataclass(frozen=True)
class Arrived:
    """One request as it came."""

    method: str
    path: str
    headers: Any  # case-insensitive, as the app's are
    body: bytes

    @property
    def genuine(self) -> bool:
        """Whether it proves itself by SECRET, as HMAC or as token."""
        return signature.is_authentic(self.body, self.headers, None, hmac_secrets=(SECRET,), tokens=(SECRET,))

    @property
    def receipts(self) -> list[payloads.Receipt]:
        """What it says, read by the app's own parser."""
        if self.method == "GET":
            parsed = payloads.parse_receipt_query(self.path.partition("?")[2])
        else:
            parsed = payloads.parse_receipts(self.body, self.headers.get("Content-Type"))
        assert parsed.refused == []
        return parsed.receipts


class Receiver:
    """A loopback server. `statuses` are used up one a request; after that it is 200."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for the peer's delayed acknowledgement

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.arrived.append(Arrived(self.command, self.path, self.headers, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = _any  # noqa: N815  the names that http.server looks for

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/mitto/dlr"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def said(self) -> list[tuple[str, str]]:
        """Message id and status of each genuine receipt, in order of arrival."""
        return [
            (each.provider_message_id, each.status_raw)
            for request in self.arrived
            if request.genuine
            for each in request.receipts
        ]

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Come back as soon as `holds()`; fail the test if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)

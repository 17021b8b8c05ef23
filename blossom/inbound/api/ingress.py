"""The short way for receipts: a WSGI application before Flask's, for the one request that comes in thousands.

It answers what is proven, whole and stored, with the bytes that the route would answer. All else (other paths, a token
or a shop in the query, a refusal, a database that is away) goes to the app with its body, and is judged there from the
beginning: there is one place that refuses.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import orjson
import structlog
from flask import Flask

from blossom.inbound.api import routes
from blossom.messaging import service as messaging
from blossom.mitto import payloads, signature
from blossom.mitto.payloads import PayloadError, Receipt
from blossom.platform import config, logs, pages

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

PATH = "/webhooks/mitto/dlr"


class Headers:
    """A request's headers by their names, as `signature` asks for them."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        value: str | None = self._environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value


Answer = tuple[list[tuple[str, str]], bytes]
"""Of a 200: headers and body."""


class ReceiptsIngress:
    """To be put before `app.wsgi_app`; needs the database and the settings of `app`."""

    path = PATH

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._next: WSGIApplication = app.wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not _may_be_answered(environ):
            return self._next(environ, start_response)
        began_at = time.perf_counter()
        receipts = _receipts(environ)
        if receipts is None:
            return self._next(environ, start_response)
        try:
            with self._app.app_context():
                accepted = messaging.accept_receipts(receipts)
        except Exception as fault:
            environ[routes.FAULT] = fault
            return self._next(environ, start_response)
        headers, body = _acknowledged(environ, len(receipts), accepted, began_at)
        start_response("200 OK", headers)
        return [body]

    def together(self, environs: Sequence[WSGIEnvironment]) -> list[Answer | None]:
        """The same for several requests at once, in one statement and one commit: an answer of 200 for each, or None
        for one that is to be called for. So a server that has several at hand saves a thread for each
        (ops/gunicorn_worker.py)."""
        began_at = time.perf_counter()
        brought = [_receipts(environ) if _may_be_answered(environ) else None for environ in environs]
        taken = [receipts for receipts in brought if receipts is not None]
        try:
            with self._app.app_context():
                accepted = iter(messaging.accept_together(taken))
        except Exception:  # whoever's fault it is: each is called for, and meets its own
            return [None] * len(environs)
        return [
            None if receipts is None else _acknowledged(environ, len(receipts), next(accepted), began_at)
            for environ, receipts in zip(environs, brought, strict=True)
        ]


def _may_be_answered(environ: WSGIEnvironment) -> bool:
    return environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "POST" and not environ.get("QUERY_STRING")


def _acknowledged(environ: WSGIEnvironment, brought: int, accepted: int, began_at: float) -> Answer:
    """What is said of stored receipts."""
    body = orjson.dumps({"ok": True, "accepted": accepted, "repeated": brought - accepted, "refused": []})
    return answer(environ, PATH, body, began_at)


def answer(environ: WSGIEnvironment, path: str, body: bytes, began_at: float) -> Answer:
    """A 200 as the app would give it, and the app's line in the log."""
    request_id = logs.begin(environ.get("HTTP_X_REQUEST_ID"))
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        *pages.EVERY_ANSWER.items(),
        ("X-Request-Id", request_id),
    ]
    milliseconds = round((time.perf_counter() - began_at) * 1000, 1)
    log.info("request", method="POST", route=path, status=200, milliseconds=milliseconds)
    return headers, body


def whole_body(environ: WSGIEnvironment, max_bytes: int) -> bytes | None:
    """The body, left in its place for whoever comes next; None if it has no size or a forbidden one (then nothing
    was read), or was cut off: the route refuses it."""
    size = environ.get("CONTENT_LENGTH") or ""
    if not (size.isascii() and size.isdigit()) or int(size) > max_bytes:
        return None
    body: bytes = environ["wsgi.input"].read(int(size))
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == int(size) else None


def _receipts(environ: WSGIEnvironment) -> list[Receipt] | None:
    """The receipts of a whole and proven body that can be read to the last one; else None."""
    body = whole_body(environ, routes.MAX_BODY_BYTES)
    if body is None:
        return None
    settings = config.current()
    if not signature.is_authentic(
        body,
        Headers(environ),
        None,
        hmac_secrets=settings.mitto_hmac_secrets,
        tokens=settings.mitto_webhook_tokens,
    ):
        return None
    try:
        parsed = payloads.parse_receipts(body, environ.get("CONTENT_TYPE"))
    except PayloadError:
        return None
    return None if parsed.refused else parsed.receipts

"""The short way for receipts: a WSGI application before Flask's, for the one request that comes in thousands.

It answers what is proven, whole and stored, with the bytes that the route would answer. All else (other paths, a token
or a shop in the query, a refusal, a database that is away) goes to the app with its body, and is judged there from the
beginning: there is one place that refuses.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
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


class _Headers:
    """A request's headers by their names, as `signature` asks for them."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        value: str | None = self._environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value


class ReceiptsIngress:
    """To be put before `app.wsgi_app`; needs the database and the settings of `app`."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._next: WSGIApplication = app.wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST" or environ.get("QUERY_STRING"):
            return self._next(environ, start_response)
        began_at = time.perf_counter()
        body = _whole_body(environ)
        receipts = _receipts(body, environ) if body is not None else None
        if receipts is None:
            return self._next(environ, start_response)
        request_id = logs.begin(environ.get("HTTP_X_REQUEST_ID"))
        try:
            with self._app.app_context():
                accepted = messaging.accept_receipts(receipts)
        except Exception as fault:
            environ[routes.FAULT] = fault
            return self._next(environ, start_response)
        answer = orjson.dumps({"ok": True, "accepted": accepted, "repeated": len(receipts) - accepted, "refused": []})
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer))),
            *pages.EVERY_ANSWER.items(),
            ("X-Request-Id", request_id),
        ]
        start_response("200 OK", headers)
        log.info(
            "request",
            method="POST",
            route=PATH,
            status=200,
            milliseconds=round((time.perf_counter() - began_at) * 1000, 1),
        )
        return [answer]


def _whole_body(environ: WSGIEnvironment) -> bytes | None:
    """The body, left in its place for whoever comes next; None if it has no size or a forbidden one (then nothing
    was read), or was cut off: the route refuses it."""
    size = environ.get("CONTENT_LENGTH") or ""
    if not (size.isascii() and size.isdigit()) or int(size) > routes.MAX_BODY_BYTES:
        return None
    body: bytes = environ["wsgi.input"].read(int(size))
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == int(size) else None


def _receipts(body: bytes, environ: WSGIEnvironment) -> list[Receipt] | None:
    """The receipts of a proven body that can be read to the last one; else None."""
    settings = config.current()
    if not signature.is_authentic(
        body,
        _Headers(environ),
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

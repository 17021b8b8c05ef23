"""JSON logs, a line each, with the request's id and without personal data.

The id comes in as `X-Request-Id` (or is made), goes out in the answer and into jobs. Redaction is the last step
of the chain: keys that name personal data or secrets are dropped, and anything that looks like a phone number
or an e-mail address is masked, wherever it stands. Tracebacks tell files and lines, never values.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Mapping, MutableMapping
from datetime import date
from typing import Any
from uuid import UUID

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

_PRIVATE_KEYS = re.compile(
    r"phone|msisdn|destination|e?mail|first_name|last_name|full_name|address|\btext\b|body|secret|token|password|(api|master)[_-]?key|"
    r"authorization|cookie",
    re.IGNORECASE,
)
_PHONE = re.compile(r"\+\d[\d ().-]{6,}\d|\b\d{9,15}\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_ROW = re.compile(r"\bDETAIL:.*", re.DOTALL)
"""Postgres quotes the values of the row that it refuses, to the end of its message."""

_REQUEST_ID = re.compile(r"(?!\d{9,15}\Z)[A-Za-z0-9_.:-]{1,64}\Z")  # a number could be a phone's
_KNOWN_CLEAN = ("request_id", "timestamp", "level")

# Never the values of local variables: names, texts and keys stand in them.
_tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(level: str, stream: Any = None) -> None:
    """Send structlog and the standard library's logging to `stream` (default stderr) as JSON lines."""
    shared = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tracebacks,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],  # type: ignore[list-item]
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,  # type: ignore[arg-type]
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)


def _to_json(entry: Any, **_: Any) -> str:
    return orjson.dumps(entry, default=repr).decode()


def redact(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what must never be logged. Ids and counts pass; numbers of nine digits and more in strings don't."""
    for key, value in entry.items():
        if key not in _KNOWN_CLEAN and not key.startswith("_"):  # structlog's own notes begin so
            entry[key] = "[redacted]" if _is_private(key) else _masked(value)
    return entry


def _is_private(key: str) -> bool:
    return key not in ("event", "error_text") and bool(_PRIVATE_KEYS.search(key))


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _EMAIL.sub("[e-mail]", _PHONE.sub("[number]", _ROW.sub("DETAIL: [redacted]", value)))
    if isinstance(value, Mapping):
        return {_masked(str(k)): "[redacted]" if _is_private(str(k)) else _masked(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    return _masked(str(value) if isinstance(value, (BaseException, date, UUID)) else repr(value))


def request_id() -> str | None:
    """The id of the request (or job) at hand, if any."""
    value = structlog.contextvars.get_contextvars().get("request_id")
    return str(value) if value else None


def begin(incoming: str | None = None, **facts: Any) -> str:
    """Start a request's or job's log context. An odd incoming id is replaced, not trusted."""
    chosen = incoming if incoming and _REQUEST_ID.match(incoming) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=chosen, **facts)
    return chosen

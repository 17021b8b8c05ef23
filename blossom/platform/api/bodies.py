"""The body of a request, whole and bounded, or a clear error; however it was sent."""

from __future__ import annotations

from flask import Request

from blossom.platform.errors import BlossomError


def read_whole(request: Request, max_bytes: int) -> bytes:
    """The raw body. Raises 413 `request_entity_too_large` and 400 `incomplete_body`.

    A body that comes in chunks names no length: how long it is shows when it is read.
    """
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    request.max_content_length = max_bytes + 1  # werkzeug cuts off what comes in chunks, and says nothing
    try:
        raw = request.get_data()
    except Exception as error:  # each server has errors of its own for a body that breaks off or has odd chunks
        raise _incomplete() from error
    if len(raw) > max_bytes:
        raise _too_large(max_bytes)
    if request.content_length is not None and len(raw) < request.content_length:
        raise _incomplete()  # what has come may well be sound JSON, and yet not all that was meant
    return raw


def _incomplete() -> BlossomError:
    return BlossomError(
        "The body broke off, or its chunks can't be told apart.",
        code="incomplete_body",
        status=400,
        actionable="Send the whole body, with its length in Content-Length.",
    )


def _too_large(max_bytes: int) -> BlossomError:
    return BlossomError(
        f"The body is too large: this call takes {max_bytes:,} bytes at most.",
        code="request_entity_too_large",
        status=413,
        details={"max_bytes": max_bytes},
        actionable="Send less at once.",
    )

"""Reading single fields out of what a stranger sent: bounded, typed, and clear about what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

ID_LIMIT = 200  # a ULID has 26; a UUID 36
WORD_LIMIT = 100  # a status, an error code
FORM_FIELDS_LIMIT = 100
_FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_STARTS = (b"{", b"[")


class PayloadError(ValueError):
    """What came can't be used. The message says what is wrong with it and quotes none of it."""


class UnmatchedAnswer(PayloadError):
    """The answer can be read, but not matched to what was sent."""


def json_document(body: bytes) -> Any:
    """The parsed body. orjson itself refuses what isn't UTF-8 and what is nested deeper than 1,024."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # The cause would carry the whole document, and with it phones and texts, into a log.
        raise PayloadError("the body is not JSON") from None


def elements(body: bytes, content_type: str | None, limit: int) -> list[Any]:
    """What a webhook's body holds: the elements of a JSON array, or its one JSON object, or its one form.

    What starts like JSON is JSON, whatever its content type says (a form's is many a library's default).
    `PayloadError` when it can't be read, or holds more than `limit` elements.
    """
    is_form = (content_type or "").partition(";")[0].strip().lower() == _FORM_TYPE
    if is_form and not body.lstrip().startswith(_JSON_STARTS):
        return [form_fields(body)]
    document = json_document(body)
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise PayloadError("the body is neither a JSON object nor an array of them")
    if len(document) > limit:
        raise PayloadError(f"the body has more than {limit} elements")
    return document


def form_fields(body: bytes | str) -> dict[str, str]:
    """A `application/x-www-form-urlencoded` body or a query string; the first of a repeated name counts."""
    raw = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="replace", max_num_fields=FORM_FIELDS_LIMIT)
    except ValueError:
        raise PayloadError(f"the form has more than {FORM_FIELDS_LIMIT} fields") from None
    return dict(reversed(pairs))


def by_plain_name(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their name without case and underscores: `messageId`, `message_id`, `MessageID` are one."""
    return {name.replace("_", "").lower(): value for name, value in document.items()}


def first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of `names` that is there and says something (not null, not empty)."""
    for name in names:
        value = fields.get(name)
        if value is not None and value != "":
            return value
    return None


def word(value: Any, what: str, limit: int) -> str:
    """`value` as a non-empty string of at most `limit` characters that Postgres can hold; numbers are read out."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        raise PayloadError(f"{what} is missing")
    if not isinstance(value, str):
        raise PayloadError(f"{what} is neither text nor a whole number")
    value = value.strip()
    if not value:
        raise PayloadError(f"{what} is empty")
    return bounded(value, what, limit)


def bounded(value: str, what: str, limit: int) -> str:
    """`value` itself, unless it is too long or holds a NUL character, which Postgres can't store."""
    if len(value) > limit:
        raise PayloadError(f"{what} is longer than {limit} characters")
    if "\0" in value:
        raise PayloadError(f"{what} contains a NUL character")
    return value


def optional_words(value: Any, limit: int) -> str | None:
    """Free text that only informs: cut at `limit`, NUL characters dropped; None when there is nothing to read."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).replace("\0", "").strip()[:limit] or None


def moment(value: Any) -> datetime | None:
    """An ISO 8601 time (any number of fractional digits; UTC when no zone is named), aware, in UTC; else None.

    A time that can't be read is no reason to lose a receipt.
    """
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

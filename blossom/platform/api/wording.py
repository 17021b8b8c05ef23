"""What is wrong with a field, as pydantic finds it, in words that say what it takes; never with what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from blossom.platform.api.shapes import INT64_MAX

MOST_FAULTS = 20
"""Told of one call; whoever sends 50,000 unknown fields is not answered with as many lines."""

_LONGEST_PATH = 100  # characters; names that we don't know are the caller's own
_WHOLE_NUMBER = "must be a whole number"
_MOMENT = "must be a date and a time in ISO 8601, such as 2026-12-01T09:00:00Z"
_TRUTH = "must be true or false"

_WORDS: dict[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is nothing that this call takes",
    "string_type": "must be text, in quotation marks",
    "string_unicode": "must be text in UTF-8",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be written as its pattern in /api/openapi.json says",
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "int_parsing_size": "is a number too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must have {min_length} entries or more",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "timezone_aware": "must name its offset from UTC, such as 2026-12-01T09:00:00+02:00",
}
"""Type of a fault → what is said of the field; the names in braces are limits, from the fault's context."""

_NOT_OF_ITS_KIND = "is not of the kind that this field takes; see /api/openapi.json"
_NO_OBJECT = 'the body must be a JSON object: {"name of a field": its value, …}'


def faults_in_words(error: ValidationError) -> dict[str, str]:
    """Path of each field → what is wrong with it; the first `MOST_FAULTS`. The path of the body as a whole is ""."""
    found = error.errors(include_url=False, include_input=False)[:MOST_FAULTS]
    return {path_of(fault["loc"]): _say(fault) for fault in found}


def path_of(steps: tuple[int | str, ...]) -> str:
    """`audience.segments.2`; cut where it grows beyond what a person reads."""
    path = ".".join(map(str, steps))
    return path if len(path) <= _LONGEST_PATH else path[: _LONGEST_PATH - 1] + "…"


def _say(fault: Mapping[str, Any]) -> str:
    kind, limits = fault["type"], fault.get("ctx", {})
    if not fault["loc"] and kind in ("model_type", "model_attributes_type", "dict_type"):
        return _NO_OBJECT
    if kind in ("value_error", "assertion_error"):  # a validator of ours, which says it in our words
        return str(limits["error"])
    if limits.get("le") == INT64_MAX:
        return _WORDS["int_parsing_size"]
    if kind == "string_too_short":
        return (
            "must not be empty" if limits["min_length"] == 1 else f"must have {limits['min_length']} characters or more"
        )
    if kind == "too_short" and limits["min_length"] == 1:
        return "must not be empty"
    return _WORDS.get(kind, _NOT_OF_ITS_KIND).format_map(limits)

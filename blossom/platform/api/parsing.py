"""From bytes to a model, or to a clear error: size, type, JSON, depth, characters, numbers, then the fields."""

from __future__ import annotations

import codecs
from typing import Any, TypeVar

import orjson
from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict

from blossom.platform.api import bodies, wording
from blossom.platform.api.shapes import INT64_MAX
from blossom.platform.errors import BlossomError, InvalidInput

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 32
"""Nesting of lists and objects. The deepest contract (a segment's groups of rules) needs less than half."""

M = TypeVar("M", bound=BaseModel)


def read_body(request: Request, model: type[M], max_bytes: int = MAX_BODY_BYTES) -> M:
    """The request's JSON body as `model`. An empty body counts as `{}`.

    Raises 413 (too large), 415 (compressed, or not JSON by its content type), 400 `incomplete_body` or
    `malformed_json`, 422 `invalid_input`.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unsupported("This call takes no compressed bodies.", "Send the body as it is, without Content-Encoding.")
    raw = bodies.read_whole(request, max_bytes)
    if not raw.strip():
        raw = b"{}"
    elif not request.is_json:
        raise _unsupported(
            "This call takes JSON only.", "Send the body as JSON, with `Content-Type: application/json`."
        )
    _check_values(_loads(raw))
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidInput(wording.faults_in_words(error)) from None


def read_query(arguments: MultiDict[str, str], model: type[M]) -> M:
    """The query string as `model`. Raises 422 `invalid_input`; a name given twice is refused."""
    doubled = [name for name, values in arguments.lists() if len(values) > 1]
    if doubled:
        paths = [wording.path_of((name,)) for name in doubled[: wording.MOST_FAULTS]]
        raise InvalidInput(dict.fromkeys(paths, "is given more than once"))
    values = arguments.to_dict()
    _check_values(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(wording.faults_in_words(error)) from None


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "surrogate in string" in error.msg:  # well-formed by JSON's grammar, but no text that can be kept
            raise InvalidInput({"": "the body holds half of a character (a lone surrogate)"}) from None
        message, actionable = _why_malformed(raw, error)
        raise BlossomError(
            message,
            code="malformed_json",
            status=400,
            details={"line": error.lineno, "column": error.colno, "problem": error.msg},
            actionable=actionable,
        ) from None


def _why_malformed(raw: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    """What is wrong with a body that is no JSON, and what to do; orjson tells its reasons by their text only."""
    if raw.startswith(codecs.BOM_UTF8):
        return "The body begins with a byte order mark.", "Send JSON in UTF-8 without a byte order mark."
    if "UTF-8" in error.msg:
        return "The body is not UTF-8.", "Send JSON in UTF-8, whatever charset Content-Type names."
    if "depth" in error.msg:
        return "The body is nested too deeply to be read.", f"Nest no deeper than {MAX_DEPTH} levels."
    if "infinity" in error.msg:
        return "The body holds a number beyond measure.", "Send whole numbers of up to 64 bits."
    return "The body is not JSON.", "Check it with a JSON parser; NaN, Infinity and comments are no JSON."


def _check_values(document: Any) -> None:
    """Refuse what no model may hold, wherever it stands: too deep, NUL, or a whole number beyond 64 bits.

    Walks without recursion, so that no nesting can exhaust the stack.
    """
    todo: list[tuple[tuple[int | str, ...], Any]] = [((), document)]
    while todo:
        steps, value = todo.pop()
        if isinstance(value, str):
            if "\0" in value:
                raise _unusable(steps, "holds a NUL character")
        elif isinstance(value, (int, float)):
            # orjson reads a whole number beyond 64 bits as a float
            if abs(value) > INT64_MAX:
                raise _unusable(steps, "is a number too large")
        elif isinstance(value, (dict, list)):
            if len(steps) == MAX_DEPTH:
                raise _unusable(steps, f"is nested deeper than {MAX_DEPTH} levels")
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in pairs:
                if isinstance(key, str) and "\0" in key:
                    raise _unusable(steps, "holds a NUL character in a name")
                todo.append(((*steps, key), inner))


def _unusable(steps: tuple[int | str, ...], fault: str) -> InvalidInput:
    return InvalidInput({wording.path_of(steps): fault if steps else f"the body {fault}"})


def _unsupported(message: str, actionable: str) -> BlossomError:
    return BlossomError(message, code="unsupported_media_type", status=415, actionable=actionable)

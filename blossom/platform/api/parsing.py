"""From bytes to a model, or to a clear error: size, type, JSON, depth, characters, numbers, then the fields."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict

from blossom.platform.api.shapes import INT64_MAX
from blossom.platform.errors import BlossomError, InvalidInput

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 32
"""Nesting of lists and objects. The deepest contract (a segment's groups of rules) needs less than half."""

M = TypeVar("M", bound=BaseModel)

_PLAINER = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this call",
}


def read_body(request: Request, model: type[M], max_bytes: int = MAX_BODY_BYTES) -> M:
    """The request's JSON body as `model`. An empty body counts as `{}`.

    Raises 413 (too large), 415 (not JSON by its content type), 400 `malformed_json`, 422 `invalid_input`.
    """
    request.max_content_length = max_bytes
    raw = request.get_data()
    if not raw.strip():
        raw = b"{}"
    elif not request.is_json:
        raise BlossomError(
            "This call takes JSON only.",
            code="unsupported_media_type",
            status=415,
            actionable="Send the body as JSON, with `Content-Type: application/json`.",
        )
    _check_values(_loads(raw))
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid(error) from None


def read_query(arguments: MultiDict[str, str], model: type[M]) -> M:
    """The query string as `model`. Raises 422 `invalid_input`; a name given twice is refused."""
    doubled = {name: "is given more than once" for name, values in arguments.lists() if len(values) > 1}
    if doubled:
        raise InvalidInput(doubled)
    values = arguments.to_dict()
    _check_values(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from None


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "surrogate in string" in error.msg:  # well-formed by JSON's grammar, but no text that can be kept
            raise InvalidInput({"": "holds half of a character (a lone surrogate)"}) from None
        raise BlossomError(
            "The body is not JSON.",
            code="malformed_json",
            status=400,
            details={"line": error.lineno, "column": error.colno, "problem": error.msg},
            actionable="Check it with a JSON parser; numbers such as NaN and nesting beyond measure are not allowed.",
        ) from None


def _check_values(document: Any) -> None:
    """Refuse what no model may hold, wherever it stands: too deep, NUL, or a whole number beyond 64 bits.

    Walks without recursion, so that no nesting can exhaust the stack.
    """
    todo: list[tuple[str, Any, int]] = [("", document, 0)]
    while todo:
        path, value, depth = todo.pop()
        if isinstance(value, str):
            if "\0" in value:
                raise InvalidInput({path: "holds a NUL character"})
        elif isinstance(value, (int, float)):
            # orjson reads a whole number beyond 64 bits as a float
            if abs(value) > INT64_MAX:
                raise InvalidInput({path: "is a number too large"})
        elif isinstance(value, (dict, list)):
            if depth == MAX_DEPTH:
                raise InvalidInput({path: f"is nested deeper than {MAX_DEPTH} levels"})
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in pairs:
                if isinstance(key, str) and "\0" in key:
                    raise InvalidInput({path: "holds a NUL character in a name"})
                todo.append((f"{path}.{key}" if path else str(key), inner, depth + 1))


def _invalid(error: ValidationError) -> InvalidInput:
    """What pydantic found, by field, without the values (they may be personal data)."""
    fields = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in fault["loc"])
        fields[path] = _PLAINER.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return InvalidInput(fields)

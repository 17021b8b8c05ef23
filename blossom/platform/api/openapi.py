"""The OpenAPI 3.1 document, made from the declared routes and their models: code and document can't drift apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from blossom.platform.access import SCOPES
from blossom.platform.api.registry import Route
from blossom.platform.api.shapes import INT64_MAX, ErrorAnswer

_PATH_ARGUMENT = re.compile(r"<(?:(\w+):)?(\w+)>")
_REF = "#/components/schemas/{model}"
_ABOUT = """\
Campaigns, texts and their figures of one shop.

Errors have one shape (`Error`) everywhere. Names are camelCase; snake_case is read as well. Times are ISO 8601 in UTC.
Lists are read by `page` and `pageSize`, or by `cursor`. Credits are whole numbers.
A path without a version follows the newest one; `/api/v1` stays as it is.
"""


def document(routes: Sequence[Route], prefixes: Sequence[str]) -> dict[str, Any]:
    """The document of `routes`, each under each of `prefixes`."""
    schemas, references = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for prefix in prefixes:
            operation = _operation(route, references)
            if prefix != prefixes[0]:
                operation["operationId"] += "_" + prefix.rpartition("/")[2]
            paths.setdefault(openapi_path(prefix + route.path), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Blossom", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key of the shop, or a session token of App Bridge's. Scopes:\n"
                    + "\n".join(f"- `{scope}`: {meaning}" for scope, meaning in SCOPES.items()),
                }
            },
        },
    }


def openapi_path(rule: str) -> str:
    """Flask's `/x/<int:id>` as OpenAPI's `/x/{id}`."""
    return _PATH_ARGUMENT.sub(r"{\2}", rule)


def errors_of(route: Route) -> dict[str, int]:
    """Each error code that the route can answer, with its status."""
    codes = {"internal_error": 500, "invalid_input": 422, "malformed_json": 400, "incomplete_body": 400}
    codes |= {"request_entity_too_large": 413, "unsupported_media_type": 415}  # also of a call that takes no fields
    if route.scope is not None:
        codes |= {"unauthorized": 401, "forbidden": 403, "too_many_requests": 429}
    if _PATH_ARGUMENT.search(route.path):
        codes |= {"not_found": 404}
    return codes | dict(route.errors)


Reference = dict[str, Any]
_References = dict[tuple[type[Any], JsonSchemaMode], Reference]


def _schemas(routes: Iterable[Route]) -> tuple[dict[str, Any], _References]:
    wanted: dict[tuple[type[Any], JsonSchemaMode], None] = {(ErrorAnswer, "serialization"): None}
    for route in routes:
        if route.body is not None:
            wanted[route.body, "validation"] = None
        if route.answer is not None:
            wanted[route.answer, "serialization"] = None
    references, definitions = models_json_schema(list(wanted), by_alias=True, ref_template=_REF)
    return definitions.get("$defs", {}), references


def _operation(route: Route, references: _References) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name.replace(".", "_"),
        "tags": [route.tag],
        "summary": route.summary,
        "responses": {str(route.status if route.answer else 204): _success(route, references)}
        | _failures(route, references),
    }
    if route.description:
        operation["description"] = route.description
    if route.scope is not None:
        operation["security"] = [{"apiKey": []}]
        operation["x-scope"] = route.scope
    else:
        operation["security"] = []
    if parameters := [*_path_parameters(route), *_query_parameters(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        content: dict[str, Any] = {"schema": references[route.body, "validation"]}
        if route.body_example is not None:
            content["example"] = route.body_example
        required = any(field.is_required() for field in route.body.model_fields.values())
        operation["requestBody"] = {"required": required, "content": {"application/json": content}}
    return operation


def _success(route: Route, references: _References) -> dict[str, Any]:
    if route.answer is None:
        return {"description": "Done."}
    content: dict[str, Any] = {"schema": references[route.answer, "serialization"]}
    if route.answer_example is not None:
        content["example"] = route.answer_example
    response: dict[str, Any] = {
        "description": (route.answer.__doc__ or "Done.").strip().partition("\n")[0],
        "content": {"application/json": content},
    }
    if route.headers:
        response["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in route.headers.items()
        }
    return response


def _failures(route: Route, references: _References) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code, status in errors_of(route).items():
        by_status.setdefault(status, []).append(code)
    answers = {}
    for status, codes in sorted(by_status.items()):
        answers[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: " + ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": {"application/json": {"schema": references[ErrorAnswer, "serialization"]}},
        }
        if status == 429:
            answers[str(status)]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return answers


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    parameters = []
    for kind, name in _PATH_ARGUMENT.findall(route.path):
        schema: dict[str, Any] = {"type": "string"}
        if kind == "int":
            schema = {"type": "integer", "minimum": 1, "maximum": INT64_MAX}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    return parameters


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema(by_alias=True, ref_template=_REF)
    definitions = schema.get("$defs", {})
    parameters = []
    for name, raw in schema.get("properties", {}).items():
        field = _inlined(raw, definitions)
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ())}
        if description := field.pop("description", None):
            parameter["description"] = description
        parameters.append(parameter | {"schema": field, "style": "form", "explode": False})
    return parameters


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A parameter's schema with what it refers to (enums) written out: parameters have no `$defs` of their own."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    return schema

"""Mounts the declared routes on Flask: who asks, how often, may they, what was sent; then the view; then its answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel, RootModel
from werkzeug.routing import BaseConverter

from blossom.platform import db, ids
from blossom.platform.access import Principal
from blossom.platform.api import limiting, openapi, parsing
from blossom.platform.api.registry import Api, Reply, Route
from blossom.platform.api.shapes import Input, Query
from blossom.platform.errors import Unauthorized

PREFIXES = ("/api", "/api/v1")
"""Each route stands under both: `/api` follows the newest version, `/api/v1` stays with this one."""

Authenticate = Callable[[str], Principal | None]


class _IdConverter(BaseConverter):
    """`<int:…>` in a path: 1 to 18 digits, which always fits a bigint. Anything else is no such address: 404."""

    regex = ids.PATTERN

    def to_python(self, value: str) -> int:
        return int(value)


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""


def init(app: Flask, apis: Sequence[Api], authenticate: Authenticate) -> None:
    """Serve `apis`, and their document at `/api/openapi.json`.

    `authenticate(credential)` tells who stands behind a bearer credential, or None.
    """
    app.url_map.converters["int"] = _IdConverter
    documents = Api("documentation")
    routes = [route for api in (*apis, documents) for route in api.routes]

    @functools.cache
    def written() -> Document:  # once somebody asks: it takes half of the app's making, and few processes are asked
        return Document(openapi.document(routes, PREFIXES))

    @documents.get("/openapi.json", answer=Document, summary="This document")
    def document() -> Document:
        return written()

    routes += documents.routes
    app.extensions["blossom_api"] = routes
    app.extensions["blossom_openapi"] = written
    for route in routes:
        for prefix in PREFIXES:
            app.add_url_rule(
                prefix + route.path,
                endpoint=f"{prefix}:{route.name}",
                view_func=_serve(route, authenticate),
                methods=[route.method],
            )


def _serve(route: Route, authenticate: Authenticate) -> Callable[..., Response]:
    @functools.wraps(route.view)
    def serve(**arguments: Any) -> Response:
        if route.scope is not None:
            arguments["caller"] = _admit(route.scope, authenticate)
        if route.query is not None:
            arguments["query"] = parsing.read_query(request.args, route.query)
        elif request.args:
            parsing.read_query(request.args, Query)  # which has no fields: each is refused by name
        body = parsing.read_body(request, route.body or Input, route.max_body_bytes)  # `Input`, as `Query`: no fields
        if route.body is not None:
            arguments["body"] = body
        if route.own_transactions:
            db.end_request(200)
        return _respond(route, route.view(**arguments))

    return serve


def _admit(scope: str, authenticate: Authenticate) -> Principal:
    """Who calls. Raises `Unauthorized`, `TooManyRequests` or `Forbidden`."""
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    if not credential:
        raise Unauthorized()
    caller = authenticate(credential.strip()) if kind.lower() == "bearer" else None
    if caller is None:
        raise Unauthorized("This API key or session token is unknown, has expired, or was revoked.")
    g.principal = caller
    limiting.count_call(caller.actor)
    caller.require(scope)
    return caller


def _respond(route: Route, result: BaseModel | Reply | None) -> Response:
    reply = result if isinstance(result, Reply) else Reply(result)
    if route.answer is None:
        response = current_app.response_class(status=204)
    else:
        assert isinstance(reply.answer, route.answer), f"{route.name} answers {route.answer.__name__}"
        content = reply.answer.model_dump_json(by_alias=True)
        response = current_app.response_class(content, status=route.status, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"  # personal data and figures of the moment
    response.headers.update(reply.headers)
    return response

"""`/shops/<shop>/admin/api/<version>/graphql.json`, and the files of bulk operations.

Executed by graphql-core over `schema.graphql`. Refused before that: a bad token (401), what costs more than is there
(THROTTLED, in a 200). Refused in it: fields for which scopes or approval are wanting (ACCESS_DENIED).
"""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import Any

import graphql
import orjson
from flask import Blueprint, Response, g, request, send_file
from graphql import language

from blossom.sandbox.shopify import cost, faults, resolvers, signing, trim
from blossom.sandbox.shopify.state import Shop, State

_LIMITS = "https://shopify.dev/api/usage/rate-limits"
_SCOPES = "https://shopify.dev/api/usage/access-scopes"
_PROTECTED = "https://shopify.dev/docs/apps/launch/protected-customer-data"


def blueprint(state: State) -> Blueprint:
    """The API over `state`."""
    routes = faults.guard(state, Blueprint("graphql", __name__), "graphql")

    @routes.post("/shops/<domain>/admin/api/<version>/graphql.json")
    def run(domain: str, version: str) -> Response:
        with state.lock:
            shop = state.shops.get(domain)
            if shop is None or version != state.app.api_version:
                return _json({"errors": "Not Found"}, 404)
            token = state.tokens.find(domain, request.headers.get("X-Shopify-Access-Token", ""), state.now())
            if token is None or shop.installation is None:
                refusal = "[API] Invalid API key or access token (unrecognized login or wrong password)"
                return _json({"errors": refusal}, 401)
            scopes = tuple(scope for scope in token.scopes if scope in shop.installation.scopes)
            answer, status = _answered(state, shop, scopes)
        for error in answer.get("errors") or []:
            if isinstance(error, dict):
                g.code = error.get("extensions", {}).get("code", "") or "ERROR"
                break
        response = _json(answer, status)
        response.headers["X-Shopify-API-Version"] = version
        return response

    return routes


def files(state: State) -> Blueprint:
    """The files of bulk operations. A part can be asked for (Range), so that a download can be resumed."""
    routes = faults.guard(state, Blueprint("bulk", __name__), "bulk")

    @routes.get("/bulk/<int:number>-<key>.jsonl")
    def download(number: int, key: str) -> Response:
        with state.lock:
            path = state.bulk.file(number, key)
        if path is None:
            return Response("<Error><Code>ExpiredToken</Code></Error>", 400, content_type="application/xml")
        return send_file(path, mimetype="application/jsonl", conditional=True)

    return routes


@functools.cache
def schema() -> graphql.GraphQLSchema:
    """The trimmed schema. Its scalars are strings both ways; a DateTime is checked on the way in."""
    built = graphql.build_schema(trim.SCHEMA.read_text())
    moment = built.type_map["DateTime"]
    assert isinstance(moment, graphql.GraphQLScalarType)
    moment.coerce_input_value = _moment
    moment.coerce_input_literal = lambda node: _moment(getattr(node, "value", None))
    return built


@functools.cache
def _access() -> trim.Access:
    return trim.access_of(schema())


def _answered(state: State, shop: Shop, scopes: tuple[str, ...]) -> tuple[dict[str, Any], int]:
    given = _given()
    if given is None:
        return {"errors": {"query": "Required parameter missing or invalid"}}, 400
    text, variables, name = given
    document, errors = _read(text)
    if document is None or errors:
        return {"errors": [error.formatted for error in errors]}, 200
    operation = graphql.get_operation_ast(document, name)
    if operation is None:
        return {"errors": [{"message": f'No operation named "{name}"'}]}, 200

    fragments = {
        each.name.value: each for each in document.definitions if isinstance(each, language.FragmentDefinitionNode)
    }
    asked = cost.asked(schema(), operation, cost.Asked(schema(), fragments, variables))
    now = state.now()
    refusal = _too_dear(shop, asked, now)
    if refusal is not None:
        return refusal, 200

    meter = _Meter(state, scopes, operation.operation is language.OperationType.MUTATION)
    result = graphql.execute_sync(
        schema(),
        document,
        root_value=resolvers.root(state, shop, schema(), scopes),
        variable_values=variables,
        operation_name=name,
        field_resolver=meter.resolve,
    )
    for failed in result.errors or []:
        if failed.original_error is not None and not isinstance(failed.original_error, graphql.GraphQLError):
            raise failed.original_error  # the stand-in's own fault: a 500 with a traceback, not an answer
    shop.bucket.spend(meter.charged, now)
    answer: dict[str, Any] = {} if result.data is None and _before(result) else {"data": result.data}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    return {**answer, "extensions": {"cost": cost.described(shop, asked, meter.charged, now)}}, 200


@functools.lru_cache(maxsize=128)
def _read(text: str) -> tuple[language.DocumentNode | None, list[graphql.GraphQLError]]:
    """The document, and what is wrong with it. The app says the same few things again and again."""
    try:
        document = graphql.parse(text)
    except graphql.GraphQLSyntaxError as error:
        return None, [error]
    return document, graphql.validate(schema(), document)


def _given() -> tuple[str, dict[str, Any], str | None] | None:
    try:
        given = orjson.loads(request.get_data()) if request.is_json else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("query"), str):
        return None
    variables = given.get("variables") or {}
    return (given["query"], variables, given.get("operationName")) if isinstance(variables, dict) else None


def _too_dear(shop: Shop, asked: int, now: datetime) -> dict[str, Any] | None:
    if asked > cost.MOST_POINTS:
        message = f"Query cost is {asked}, which exceeds the single query max cost limit ({cost.MOST_POINTS})."
        extensions: dict[str, Any] = {"code": "MAX_COST_EXCEEDED", "cost": asked, "maxCost": cost.MOST_POINTS}
        return {"errors": [{"message": message, "extensions": {**extensions, "documentation": _LIMITS}}]}
    throttled = g.get("fault") is not None and g.fault.kind == "throttled"
    if throttled:
        shop.bucket.drain(now)
    if throttled or shop.bucket.available(now) < asked:
        return {
            "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED", "documentation": _LIMITS}}],
            "extensions": {"cost": cost.described(shop, asked, None, now)},
        }
    return None


class _Meter:
    """Resolves fields out of mappings, refuses those that the call may not see, and counts what it costs."""

    def __init__(self, state: State, scopes: tuple[str, ...], mutates: bool) -> None:
        self._approved = frozenset(state.app.protected_data)
        self._scopes, self._mutates = scopes, mutates
        self.charged = 0

    def resolve(self, source: Any, info: graphql.GraphQLResolveInfo[Any], **given: Any) -> Any:
        """The value of the field, from the mapping that it is of."""
        self._allow(info)
        value = source[info.field_name]
        if callable(value):
            value = value(info, **given)
        if isinstance(graphql.get_named_type(info.return_type), graphql.GraphQLInterfaceType):
            self._allow_each(info, value)
        self._charge(info, value)
        return value

    def _allow_each(self, info: graphql.GraphQLResolveInfo[Any], things: list[Any]) -> None:
        """Of `nodes(ids:)`, whose type says nothing of what they are."""
        for kind in {thing["__typename"] for thing in things if thing is not None}:
            self._may_see(info, kind, _access().get((kind, None)) or [])

    def _allow(self, info: graphql.GraphQLResolveInfo[Any]) -> None:
        named = graphql.get_named_type(info.return_type)
        inside = _object_of(named)
        wanted = _access().get((info.parent_type.name, info.field_name)) or _access().get((inside, None)) or []
        self._may_see(info, inside, wanted)
        kind = resolvers.PROTECTED.get(info.field_name) if info.parent_type.name == "Customer" else None
        if kind is not None and kind not in self._approved:
            raise graphql.GraphQLError(
                f"This app is not approved to use the {kind} field. See {_PROTECTED} for more details.",
                extensions={"code": "ACCESS_DENIED", "documentation": _PROTECTED},
            )

    def _may_see(self, info: graphql.GraphQLResolveInfo[Any], inside: str, wanted: list[str]) -> None:
        if wanted and not set(wanted) & set(self._scopes):
            required = f"`{wanted[0]}` access scope."
            raise graphql.GraphQLError(
                f"Access denied for {info.field_name} field. Required access: {required}",
                extensions={"code": "ACCESS_DENIED", "documentation": _SCOPES, "requiredAccess": required},
            )
        if inside == "Customer" and "customers" not in self._approved:
            raise graphql.GraphQLError(
                f"This app is not approved to access the Customer object. See {_PROTECTED} for more details.",
                extensions={"code": "ACCESS_DENIED", "documentation": _PROTECTED},
            )

    def _charge(self, info: graphql.GraphQLResolveInfo[Any], value: Any) -> None:
        if self._mutates:
            self.charged += cost.MUTATION_POINTS if info.path.prev is None else 0
            return
        named = graphql.get_named_type(info.return_type)
        if isinstance(named, graphql.GraphQLInterfaceType):
            self.charged += sum(thing is not None for thing in value)
            return
        if (
            not isinstance(named, graphql.GraphQLObjectType)
            or value is None
            or info.field_name in ("edges", "pageInfo")
        ):
            return
        if cost.is_connection(named):
            self.charged += 2
        else:
            self.charged += len(value) if info.field_name == "nodes" else 1


@functools.cache
def _object_of(type_: graphql.GraphQLNamedType) -> str:
    """The type's name; of a connection, the name of what it is a page of."""
    if isinstance(type_, graphql.GraphQLObjectType) and cost.is_connection(type_):
        inside: Any = type_.fields.get("nodes")
        if inside is None:  # a connection of edges alone
            inside = graphql.get_named_type(type_.fields["edges"].type)
            inside = inside.fields["node"]
        return str(graphql.get_named_type(inside.type).name)
    return type_.name


def _before(result: graphql.ExecutionResult) -> bool:
    """Whether it failed before anything was executed: then there is no `data` at all."""
    return all(error.path is None for error in result.errors or [])


def _moment(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
        raise graphql.GraphQLError(f"invalid DateTime {value!r}")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise graphql.GraphQLError(f"invalid DateTime {value!r}") from None
    if at.tzinfo is None:
        raise graphql.GraphQLError(f"invalid DateTime {value!r}: no zone")
    return value


def _json(document: Any, status: int = 200) -> Response:
    response = Response(orjson.dumps(document), status, content_type="application/json; charset=utf-8")
    response.headers["X-Request-Id"] = signing.random_id()
    return response

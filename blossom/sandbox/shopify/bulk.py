"""Bulk operations: a query's result as a file of JSON lines, made by a thread, served until it is seven days old.

Restrictions of Shopify's (shopify.dev, “bulk operations”): one query with one field at its top and a connection there,
no variables, five at once in a shop. Of connections the stand-in exports `customers`, with none inside.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import graphql
import orjson
from graphql import language

from blossom.sandbox.shopify import payloads

if TYPE_CHECKING:
    from blossom.sandbox.shopify.state import Shop, State

MOST_AT_ONCE = 5
FILE_LIFE = timedelta(days=7)
ENDED = ("COMPLETED", "FAILED", "CANCELED", "EXPIRED")
ERRORS = ("ACCESS_DENIED", "INTERNAL_SERVER_ERROR", "TIMEOUT")

_CHUNK = 1_000

Lines = Callable[["Shop"], Iterator[Mapping[str, Any]]]
"""Gives the objects of an export; asked for with the lock held, for each object again."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How exports behave. `seconds`: how long one runs, at least. `fail`: the error in which the `next` ones end, after
    `lines` of their file."""

    seconds: float = 0.0
    fail: str = "INTERNAL_SERVER_ERROR"
    next: int = 0
    lines: int = 0

    def __post_init__(self) -> None:
        if self.fail not in ERRORS:
            raise ValueError(f"fail is one of {', '.join(ERRORS)}")


@dataclass
class BulkOperation:
    """One export. `key` makes its address hard to guess."""

    id: int
    shop: str
    query: str
    created_at: datetime
    key: str
    path: Path
    status: str = "CREATED"
    error_code: str | None = None
    completed_at: datetime | None = None
    objects: int = 0
    size: int | None = None

    @property
    def gid(self) -> str:
        """Its id in GraphQL."""
        return f"gid://shopify/BulkOperation/{self.id}"


class BulkOperations:
    """All exports. Whoever calls holds the state's lock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = tempfile.TemporaryDirectory(prefix="shopify-bulk-", ignore_cleanup_errors=True)
        self.clear()

    def clear(self) -> None:
        """Forget all; those that run end by themselves."""
        for operation in getattr(self, "all", {}).values():
            operation.status = "CANCELED"
            operation.path.unlink(missing_ok=True)
        self.all: dict[int, BulkOperation] = {}
        self.behaviour = Behaviour()
        self._failures = 0

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on."""
        self.behaviour = behaviour
        self._failures = behaviour.next

    def of(self, shop: Shop) -> list[BulkOperation]:
        """The shop's, oldest first, with the status that they have by now."""
        found = [each for each in self.all.values() if each.shop == shop.domain]
        for each in found:
            self._expire(each)
        return found

    def running(self, shop: Shop) -> int:
        """How many have not ended."""
        return sum(each.status not in ENDED for each in self.of(shop))

    def start(self, shop: Shop, query: str, lines: Lines, fields: Projector, *, denied: bool) -> BulkOperation:
        """Begin one; a thread makes its file. `denied`: it fails for want of a scope, as Shopify's do."""
        number = self._state.next_id()
        path = Path(self._folder.name, f"{number}.jsonl")
        operation = BulkOperation(number, shop.domain, query, self._state.now(), secrets.token_hex(16), path)
        self.all[number] = operation
        fail, at_line = ("ACCESS_DENIED", 0) if denied else (None, 0)
        if fail is None and self._failures > 0:
            self._failures -= 1
            fail, at_line = self.behaviour.fail, self.behaviour.lines
        arguments = (operation, shop, lines, fields, self.behaviour.seconds, fail, at_line)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()
        return operation

    def url(self, operation: BulkOperation) -> str | None:
        """Where its whole file is, once and as long as it is."""
        return self._address(operation) if operation.status == "COMPLETED" and operation.objects else None

    def partial_url(self, operation: BulkOperation) -> str | None:
        """Where a failed one's lines are, if it has some."""
        return self._address(operation) if operation.status == "FAILED" and operation.objects else None

    def file(self, number: int, key: str) -> Path | None:
        """The file that this address names."""
        operation = self.all.get(number)
        if operation is None or not secrets.compare_digest(operation.key.encode(), key.encode()):
            return None
        self._expire(operation)
        return operation.path if operation.status in ("COMPLETED", "FAILED") else None

    def _address(self, operation: BulkOperation) -> str:
        return f"{self._state.own_url}/bulk/{operation.id}-{operation.key}.jsonl"

    def _expire(self, operation: BulkOperation) -> None:
        if operation.completed_at is not None and self._state.now() - operation.completed_at > FILE_LIFE:
            operation.status = "EXPIRED"

    def _run(
        self,
        operation: BulkOperation,
        shop: Shop,
        lines: Lines,
        fields: Projector,
        seconds: float,
        fail: str | None,
        at_line: int,
    ) -> None:
        with self._state.lock:
            if operation.status == "CREATED":
                operation.status = "RUNNING"
        threading.Event().wait(seconds)
        objects = lines(shop)
        with operation.path.open("wb") as file:
            ended = False
            while not ended and operation.status == "RUNNING":
                with self._state.lock:
                    for _ in range(_CHUNK):
                        thing = next(objects, None)
                        if thing is None or (fail is not None and operation.objects >= at_line):
                            ended = True
                            break
                        file.write(orjson.dumps(fields(thing)) + b"\n")
                        operation.objects += 1
        with self._state.lock:
            if operation.id not in self.all:
                operation.path.unlink(missing_ok=True)
                return
            operation.status = "COMPLETED" if fail is None else "FAILED"
            operation.error_code = fail
            operation.size = operation.path.stat().st_size
            operation.completed_at = self._state.now()
            self._state.deliveries.emit(shop, "bulk_operations/finish", _finished(operation, shop.timezone))


class Projector:
    """Picks a selection out of an object, as a line of the file has it."""

    def __init__(self, selection: language.SelectionSetNode) -> None:
        self._fields: list[tuple[str, str, Projector | None]] = []
        for node in selection.selections:
            assert isinstance(node, language.FieldNode)
            inner = Projector(node.selection_set) if node.selection_set else None
            self._fields.append(((node.alias or node.name).value, node.name.value, inner))

    def __call__(self, thing: Mapping[str, Any]) -> dict[str, Any]:
        picked = {}
        for shown, name, inner in self._fields:
            value = thing[name]
            picked[shown] = inner(value) if inner is not None and value is not None else value
        return picked


def fault_of(schema: graphql.GraphQLSchema, text: str) -> tuple[str, language.SelectionSetNode | None]:
    """Why this query can't be exported, or its top field's name and what it selects of each object."""
    try:
        document = graphql.parse(text)
    except graphql.GraphQLSyntaxError as error:
        return f"Invalid bulk query: {error.message}", None
    errors = graphql.validate(schema, document)
    if errors:
        return f"Invalid bulk query: {errors[0].message}", None
    if len(document.definitions) != 1 or not isinstance(document.definitions[0], language.OperationDefinitionNode):
        return "Bulk queries must be one operation without fragments (the stand-in's own limit)", None
    operation = document.definitions[0]
    if operation.operation is not language.OperationType.QUERY:
        return "Only queries are allowed", None
    if operation.variable_definitions:
        return "Bulk queries take no variables", None
    if len(operation.selection_set.selections) != 1:
        return "Bulk queries may have one top-level field", None
    top = operation.selection_set.selections[0]
    assert isinstance(top, language.FieldNode)
    if top.name.value != "customers" or top.arguments:
        return "Bulk queries must contain at least one connection (here: customers, without arguments)", None
    selection = _of_node(top)
    return ("", selection) if selection else ("Bulk queries select edges { node } or nodes of a connection", None)


def _of_node(top: language.FieldNode) -> language.SelectionSetNode | None:
    path = [["nodes"], ["edges", "node"]]
    for names in path:
        node: language.FieldNode | None = top
        for name in names:
            assert node is not None
            inside = node.selection_set.selections if node.selection_set else ()
            node = next(
                (each for each in inside if isinstance(each, language.FieldNode) and each.name.value == name), None
            )
            if node is None:
                break
        if node is not None:
            return node.selection_set
    return None


def _finished(operation: BulkOperation, zone: str) -> dict[str, Any]:
    """Of `bulk_operations/finish`."""
    return {
        "admin_graphql_api_id": operation.gid,
        "completed_at": payloads.time(operation.completed_at, zone),
        "created_at": payloads.time(operation.created_at, zone),
        "error_code": operation.error_code.lower() if operation.error_code else None,
        "status": operation.status.lower(),
        "type": "query",
    }

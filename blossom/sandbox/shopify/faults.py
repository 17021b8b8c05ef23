"""Calls of the app that go wrong on demand, and the log of all calls: which ones (the next, or a share), and how.

A fault comes before the work is done, or after it (`done`), when only the answer is lost: then a mutation has
happened, a refresh token is used up.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from flask import Blueprint, Response, g, request

if TYPE_CHECKING:
    from blossom.sandbox.shopify.state import State

AREAS = ("oauth", "graphql", "bulk")
KINDS = ("timeout", "cut", "garbage", "throttled")

_LOG_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is one of KINDS or a status (`"503"`). It hits the `next` calls, or a `share` of them, of `area` and of
    `operation` (a GraphQL operation's name or a grant type); empty stands for any.

    `done`: the work is done first. `retry_after`: seconds, into the answer. `seconds`: how long a timeout holds the
    connection before it is cut; with another kind, how long the answer takes. `cut` sends half of the true answer;
    `throttled` is GraphQL's own refusal.
    """

    kind: str = "500"
    area: str = ""
    operation: str = ""
    share: float = 0.0
    next: int = 0
    done: bool = False
    retry_after: float | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not (self.kind.isdigit() and 400 <= int(self.kind) <= 599):
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}, and statuses")
        if self.area and self.area not in AREAS:
            raise ValueError(f"no area is called {self.area!r}; there are {', '.join(AREAS)}")
        if self.kind == "cut" and not self.done:
            raise ValueError("cut is done: half of an answer wants an answer")
        if self.kind == "throttled" and (self.area != "graphql" or self.done):
            raise ValueError("throttled is of the area graphql, and never done")


class Faults:
    """Says of each call in turn what goes wrong with it; the same for the same seed and calls."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 1) -> None:
        faults = tuple(faults)
        self._queued = [fault for fault in faults for _ in range(fault.next)]
        self._shares = [fault for fault in faults if fault.share > 0]
        self._random = random.Random(seed)

    def choose(self, area: str, operation: str) -> Fault | None:
        """The fault of this call, if any."""
        for place, fault in enumerate(self._queued):
            if _concerns(fault, area, operation):
                return self._queued.pop(place)
        for fault in self._shares:
            if _concerns(fault, area, operation) and self._random.random() < fault.share:
                return fault
        return None


@dataclass
class Call:
    """A call as it was answered. `operation`: GraphQL's name or OAuth's grant type; `fault`: its kind, if any.

    `code`: of the first error in a GraphQL answer, or OAuth's `error`.
    """

    at: str
    area: str
    shop: str
    operation: str
    status: int
    fault: str = ""
    code: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


def guard(state: State, routes: Blueprint, area: str) -> Blueprint:
    """`routes` with faults and a line in `state.calls` for each call. Views may set `g.operation`, `g.code`…"""

    @routes.before_request
    def before() -> Response | None:
        g.operation, g.variables = _named(area)
        with state.lock:
            g.fault = state.faults.choose(area, g.operation)
        if g.fault is None or g.fault.done or g.fault.kind == "throttled":
            return None
        return _bad(g.fault)

    @routes.after_request
    def after(response: Response) -> Response:
        if "fault" not in g:  # refused before anything could be told of it: too long
            return response
        fault: Fault | None = g.fault
        if fault is not None and fault.done:
            response = _half(response) if fault.kind == "cut" else _bad(fault)
        with state.lock:
            state.calls.append(
                Call(
                    state.now().isoformat(),
                    area,
                    (request.view_args or {}).get("domain", ""),
                    g.operation,
                    response.status_code,
                    fault.kind if fault else "",
                    g.get("code", ""),
                    g.variables,
                )
            )
            del state.calls[:-_LOG_ENTRIES]
        return response

    return routes


def _named(area: str) -> tuple[str, dict[str, Any]]:
    """What is asked for, as far as it can be told before the work: a bad body is refused by the work itself."""
    if area == "bulk":
        return "download", {}
    try:
        given = orjson.loads(request.get_data()) if request.is_json else request.form.to_dict()
    except orjson.JSONDecodeError:
        return "", {}
    if not isinstance(given, dict):
        return "", {}
    if area == "oauth":
        return str(given.get("grant_type") or ("authorization_code" if "code" in given else "")), {}
    variables = given.get("variables")
    return _operation_name(given), variables if isinstance(variables, dict) else {}


def _operation_name(given: dict[str, Any]) -> str:
    if given.get("operationName"):
        return str(given["operationName"])
    for line in str(given.get("query", "")).splitlines():
        words = line.replace("(", " ").replace("{", " ").split()
        if words and words[0] in ("query", "mutation"):
            return words[1] if len(words) > 1 else ""
    return ""


def _concerns(fault: Fault, area: str, operation: str) -> bool:
    return fault.area in ("", area) and fault.operation in ("", operation)


def _bad(fault: Fault) -> Response:
    time.sleep(fault.seconds)
    if fault.kind == "timeout":
        return Response(_Cut(request.environ["werkzeug.socket"]), 599)  # nobody reads the status but our log
    if fault.kind == "garbage":
        return Response("<html><body>Something went wrong", content_type="text/html")
    response = Response(
        orjson.dumps({"errors": f"simulated {fault.kind}"}), int(fault.kind), content_type="application/json"
    )
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _half(response: Response) -> Response:
    """The answer with its whole length announced, and half of its body."""
    response.direct_passthrough = False
    body = response.get_data()
    half = Response(_Cut(request.environ["werkzeug.socket"], body[: len(body) // 2]), response.status_code)
    half.headers = response.headers
    return half


class _Cut(Iterator[bytes]):
    """A body that breaks off after `first`. With nothing first the head doesn't come either: werkzeug writes it with
    the body's first piece."""

    def __init__(self, connection: socket.socket, first: bytes = b"") -> None:
        self._connection, self._first = connection, first

    def __next__(self) -> bytes:
        if self._first:
            piece, self._first = self._first, b""
            return piece
        self._connection.shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

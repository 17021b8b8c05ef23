"""The routes of the API, as declared by each domain's `api.py`. Nothing is served that is not declared here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from blossom.platform.access import SCOPES
from blossom.platform.api.parsing import MAX_BODY_BYTES


@dataclass(frozen=True)
class Reply:
    """An answer with headers of its own."""

    answer: BaseModel | None
    headers: Mapping[str, str] = field(default_factory=dict)


View = Callable[..., BaseModel | Reply | None]


@dataclass(frozen=True)
class Route:
    """One call of the API. `path` is Flask's, below `/api`.

    `scope` None: public. `answer` None: no content. `errors`: the codes that are particular to it, with their status.
    `own_transactions`: the view manages its transactions itself (it calls another service, and no connection may be
    held meanwhile); it starts with none open.
    """

    method: str
    path: str
    name: str
    tag: str
    view: View
    summary: str
    scope: str | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    description: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # of the answer: name → what it says
    body_example: Mapping[str, Any] | None = None
    answer_example: Mapping[str, Any] | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    own_transactions: bool = False


class Api:
    """One domain's routes. `tag` heads them in the document."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.routes: list[Route] = []

    def get(self, path: str, **options: Any) -> Callable[[View], View]:
        return self._route("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[View], View]:
        return self._route("POST", path, options)

    def put(self, path: str, **options: Any) -> Callable[[View], View]:
        return self._route("PUT", path, options)

    def delete(self, path: str, **options: Any) -> Callable[[View], View]:
        return self._route("DELETE", path, options)

    def _route(self, method: str, path: str, options: dict[str, Any]) -> Callable[[View], View]:
        """Declare a route; `options` are the fields of `Route`. Raises on an unknown scope."""
        scope = options.get("scope")
        if scope is not None and scope not in SCOPES:
            raise ValueError(f"no such scope: {scope}")

        def declare(view: View) -> View:
            name = f"{self.tag}.{view.__name__}"
            self.routes.append(Route(method=method, path=path, name=name, tag=self.tag, view=view, **options))
            return view

        return declare

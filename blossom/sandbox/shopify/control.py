"""`/control/…`: steering the stand-in and reading what it saw. Needs no proof; it is for one machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

import orjson
from flask import Blueprint, Response, request

from blossom.sandbox.shopify.state import State

T = TypeVar("T")


class RefusedError(ValueError):
    """What was asked can't be done; the message says why."""


def blueprint(state: State) -> Blueprint:
    """The routes. Bodies and answers are JSON; what can't be done is 400 with `error`."""
    routes = Blueprint("control", __name__, url_prefix="/control")

    def post(path: str) -> Callable[[Callable[[dict[str, Any]], Any]], None]:
        def register(action: Callable[[dict[str, Any]], Any]) -> None:
            @wraps(action)
            def answer() -> Response:
                try:
                    with state.lock:
                        return _json(action(_document()))
                except (ValueError, TypeError, LookupError) as error:
                    return _json({"error": str(error) or type(error).__name__}, 400)

            routes.post(path, endpoint=action.__name__)(answer)

        return register

    @routes.get("/health")
    def health() -> Response:
        with state.lock:
            return _json({"ok": True, "now": state.now()})

    @routes.get("/shops/<domain>")
    def look(domain: str) -> Response:
        """A shop as it stands."""
        with state.lock:
            shop = state.shops.get(domain)
            return _json({"error": f"no shop {domain}"}, 400) if shop is None else _json(shop)

    @post("/reset")
    def reset(given: dict[str, Any]) -> Any:
        """Forget all, and set up what is given as at start."""
        state.reset()
        set_up(state, given)
        return {"ok": True}

    @post("/app")
    def configure(given: dict[str, Any]) -> Any:
        """Change fields of the app's configuration."""
        state.app = _changed(state.app, given)
        return state.app

    @post("/shops")
    def open_shop(given: dict[str, Any]) -> Any:
        return state.add_shop(**given)

    @post("/clock")
    def clock(given: dict[str, Any]) -> Any:
        """`{"advance": seconds}`, which may be negative."""
        state.move_clock(timedelta(seconds=float(given["advance"])))
        return {"now": state.now()}

    @post("/install")
    def install(given: dict[str, Any]) -> Any:
        """`{"shop"}`, and `scopes` if not all that the app asks for: what a merchant's click on “Install” does."""
        return state.install(_shop(state, given), given.get("scopes"))

    @post("/id-token")
    def id_token(given: dict[str, Any]) -> Any:
        """`{"shop"}`, and `staff` (an id) and `claims` to replace: a session token."""
        shop = _shop(state, given)
        member = shop.staff_member(given["staff"]) if "staff" in given else None
        return {"id_token": state.id_token(shop, member, **given.get("claims", {}))}

    return routes


def set_up(state: State, document: dict[str, Any]) -> None:
    """Bring in what a configuration names: `app` (fields of `state.App`) and `shops` (fields of `state.Shop`)."""
    unknown = sorted(set(document) - {"app", "shops"})
    if unknown:
        raise RefusedError(f"a configuration has app and shops, not {', '.join(unknown)}")
    state.app = _changed(state.app, document.get("app", {}))
    for fields in document.get("shops", []):
        state.add_shop(**fields)


def _shop(state: State, given: dict[str, Any]) -> Any:
    if given.get("shop") not in state.shops:
        raise RefusedError(f"no shop {given.get('shop')}")
    return state.shops[given["shop"]]


def _changed(current: T, given: dict[str, Any]) -> T:
    """`current` (a dataclass) with the given fields. RefusedError names those that it doesn't have."""
    assert dataclasses.is_dataclass(current)
    assert not isinstance(current, type)
    unknown = sorted(set(given) - {each.name for each in dataclasses.fields(current)})
    if unknown:
        raise RefusedError(f"{type(current).__name__} has no {', '.join(unknown)}")
    return dataclasses.replace(current, **given)


def _document() -> dict[str, Any]:
    document = orjson.loads(request.get_data() or b"{}")
    if not isinstance(document, dict):
        raise RefusedError("the body is an object")
    return document


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), status, content_type="application/json")

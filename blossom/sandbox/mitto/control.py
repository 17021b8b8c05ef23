"""`/_sandbox/…`: steering the stand-in and reading what it saw. Needs no API key; the stand-in is for one machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson

from blossom.sandbox.mitto.behaviour import BehaviourError, changed
from blossom.sandbox.mitto.http import Connection, Listener, Request
from blossom.sandbox.mitto.ids import stranger_id
from blossom.sandbox.mitto.posting import Post, post_once
from blossom.sandbox.mitto.provider import Provider
from blossom.sandbox.mitto.receipt_shapes import Written

PREFIX = "/_sandbox/"
_LONGEST_PAGE = 10_000
_FLUSH_POLL = 0.02
_DOWN_AFTER = 0.02  # seconds, so that the answer to "go down" leaves first


class Control:
    """The control endpoints, by method and name."""

    def __init__(self, provider: Provider, listener: Listener) -> None:
        self._provider = provider
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._routes: dict[tuple[str, str], Callable[[Connection, Request], None]] = {
            ("GET", "health"): self._health,
            ("GET", "behaviour"): lambda connection, _: connection.json(provider.behaviour),
            ("POST", "behaviour"): self._behave,
            ("GET", "log"): self._log,
            ("GET", "summary"): self._summary,
            ("GET", "counters"): self._counters,
            ("GET", "receipts"): self._receipts,
            ("POST", "receipts/flush"): self._flush,
            ("POST", "receipts/unknown"): self._strangers,
            ("POST", "inbound"): self._inbound,
            ("POST", "down"): self._down,
            ("POST", "reset"): self._reset,
        }

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer a control request; 404 and 400 say what can be asked."""
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX)))
        if route is None:
            known = [f"{method} {PREFIX}{name}" for method, name in self._routes]
            connection.json({"error": "no such control", "controls": known}, 404)
            return
        try:
            route(connection, request)
        except (BehaviourError, ValueError, KeyError, TypeError) as error:
            connection.json({"error": str(error) or type(error).__name__}, 400)

    def _health(self, connection: Connection, request: Request) -> None:
        connection.json({"ok": True, "cpu_seconds": time.process_time(), "texts": self._provider.log.texts})

    def _behave(self, connection: Connection, request: Request) -> None:
        document = orjson.loads(request.body)
        behaviour = changed(self._provider.behaviour, document)
        self._provider.behave(behaviour, new_faults="faults" in document or "seed" in document)
        connection.json(behaviour)

    def _log(self, connection: Connection, request: Request) -> None:
        offset = max(0, int(request.parameter("offset", "0")))
        limit = min(_LONGEST_PAGE, max(0, int(request.parameter("limit", "1000"))))
        connection.body(self._provider.log.page(offset, limit))

    def _summary(self, connection: Connection, request: Request) -> None:
        async def summed() -> None:
            wanted = request.parameter("segments") == "1"
            connection.json(await self._provider.log.summary(with_segments=wanted))

        connection.when(summed())

    def _counters(self, connection: Connection, request: Request) -> None:
        provider = self._provider
        connection.json(
            {
                **provider.counters,
                "texts": provider.log.texts,
                "cpu_seconds": time.process_time(),
                "receipts": {
                    **provider.receipts.counters,
                    "planned": provider.receipts.planned,
                    "unfinished_posts": provider.poster.unfinished,
                },
                "posts": dict(provider.poster.counters),
            }
        )

    def _receipts(self, connection: Connection, request: Request) -> None:
        offset = max(0, int(request.parameter("offset", "0")))
        limit = min(_LONGEST_PAGE, max(0, int(request.parameter("limit", "1000"))))
        connection.json(list(self._provider.receipts.sent)[offset : offset + limit])

    def _flush(self, connection: Connection, request: Request) -> None:
        """Posts what is held or planned; `{"wait": seconds}` answers once every post has ended, or then."""
        wait = float(_document(request).get("wait", 0))
        self._provider.flushed_through = self._provider.log.texts
        flushed = self._provider.receipts.flush()

        async def until_posted() -> None:
            deadline = time.monotonic() + wait
            while self._provider.poster.unfinished and time.monotonic() < deadline:
                await asyncio.sleep(_FLUSH_POLL)
            connection.json({"flushed": flushed, "unfinished_posts": self._provider.poster.unfinished})

        connection.when(until_posted())

    def _strangers(self, connection: Connection, request: Request) -> None:
        count = int(_document(request).get("count", 1))
        self._provider.receipts.post_strangers(count)
        connection.json({"posted": count})

    def _inbound(self, connection: Connection, request: Request) -> None:
        """Posts a text of a person to the app: `{"from", "to", "text", …}`; with `"form": true` as a form."""
        document = _document(request)
        target = self._provider.behaviour.inbound
        if not target.url:
            raise ValueError("inbound.url is not set")
        forged = bool(document.pop("forged", False))
        written = _inbound_body(document)

        async def posted() -> None:
            reply = await post_once(Post(target.url, written, target.proof, forged=forged))
            connection.json({"status": reply.status, "body": reply.body.decode("utf-8", "replace")})

        connection.when(posted())

    def _down(self, connection: Connection, request: Request) -> None:
        """Refuses connections for `{"seconds"}`, after this answer."""
        seconds = float(_document(request)["seconds"])

        async def go_down() -> None:
            await asyncio.sleep(_DOWN_AFTER)
            await self._listener.down(seconds)

        connection.json({"down_for": seconds}, headers={"Connection": "close"})
        task = asyncio.get_running_loop().create_task(go_down())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reset(self, connection: Connection, request: Request) -> None:
        async def forgotten() -> None:
            await self._provider.reset()
            connection.json({"ok": True})

        connection.when(forgotten())


def _document(request: Request) -> dict[str, Any]:
    document = orjson.loads(request.body or b"{}")
    if not isinstance(document, dict):
        raise ValueError("the body is an object")
    return document


def _inbound_body(document: dict[str, Any]) -> Written:
    as_form = bool(document.pop("form", False))
    document.setdefault("messageId", stranger_id())
    if as_form:
        form = urlencode(document).encode()
        return Written("POST", "", "application/x-www-form-urlencoded", form)
    return Written("POST", "", "application/json", orjson.dumps(document))

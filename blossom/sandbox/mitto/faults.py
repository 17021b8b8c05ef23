"""Calls that go wrong, with the texts taken or without: which call (a share, or the next n), and how."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from blossom.sandbox.mitto.http import Connection

_HUGE = 8_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is a key of `KINDS` or a status (`"503"`). It hits the `next` calls, or a `share` of all calls.

    `taken`: whether the texts are taken all the same; by default as the kind implies. A 503 that took them names
    their ids. `missing_ids` gives every other entry no id, by default because those weren't taken.
    `retry_after` (seconds or an HTTP date) goes into the answer; `seconds` is how long a slow one takes, or the
    pause between two bytes of a dripping one.
    """

    kind: str = "500"
    share: float = 0.0
    next: int = 0
    taken: bool | None = None
    retry_after: str | int | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not (self.kind.isdigit() and 300 <= int(self.kind) <= 599):
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}, and statuses")

    @property
    def takes(self) -> bool:
        """Whether texts of the call are taken."""
        return self.kind in _TAKING if self.taken is None else self.taken


class FaultChooser:
    """Says of each call in turn what goes wrong with it; reproducible by its seed."""

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        faults = tuple(faults)
        self._queued = [fault for fault in faults for _ in range(fault.next)]
        self._shares = [fault for fault in faults if fault.share > 0]
        self._random = random.Random(seed)

    def choose(self) -> Fault | None:
        """The fault of the next call, if any."""
        if self._queued:
            return self._queued.pop(0)
        if self._shares:
            place = self._random.random()
            for fault in self._shares:
                if place < fault.share:
                    return fault
                place -= fault.share
        return None


def answer_badly(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    """Answer in the way of `fault`; `answer` is what a sound call would have said (empty if nothing was taken)."""
    perform = KINDS.get(fault.kind)
    if perform is not None:
        perform(connection, fault, answer)
        return
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    status = int(fault.kind)
    if 300 <= status < 400:
        headers["Location"] = "/elsewhere"
    body: dict[str, Any] = {"error": f"simulated {status}", "message": "The request could not be handled"}
    if status == 503 and fault.takes:
        body |= answer
    connection.json(body, status, headers)


def _timeout(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.never()


def _reset(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.reset()


def _cut(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.cut(orjson.dumps(answer))


def _missing_ids(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    for entry in answer.get("messages", [])[1::2]:
        entry.pop("messageId", None)
    connection.json(answer)


def _fewer(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.json(answer | {"messages": answer.get("messages", [])[:-1]})


def _more(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    entries = answer.get("messages", [])
    connection.json(answer | {"messages": [*entries, {"messageId": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}]})


def _doubled_ids(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    entries = answer.get("messages", [])
    connection.json(answer | {"messages": [entries[0] for _ in entries]})


def _garbage(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.body(b"<html><body>Welcome</body></html>", content_type="text/html")


def _huge(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.json(answer | {"padding": "x" * _HUGE})


def _drip(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.drip(orjson.dumps(answer), fault.seconds)


def _slow(connection: Connection, fault: Fault, answer: dict[str, Any]) -> None:
    connection.later(fault.seconds, lambda: connection.json(answer))


KINDS: dict[str, Callable[[Connection, Fault, dict[str, Any]], None]] = {
    "timeout": _timeout,
    "reset": _reset,
    "cut": _cut,
    "missing_ids": _missing_ids,
    "fewer": _fewer,
    "more": _more,
    "doubled_ids": _doubled_ids,
    "garbage": _garbage,
    "huge": _huge,
    "drip": _drip,
    "slow": _slow,
}
_TAKING = frozenset(KINDS) - {"timeout", "reset", "missing_ids"}

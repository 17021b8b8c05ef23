"""Lanes as processes of their own that a test can kill: imports once, then forks one for each line on stdin.

A line is JSON, and each is answered with one line:

- `{"environment": {…}}`: the settings of the lanes that follow; those of before are ended. Answers `ready`.
- `{"seconds": 30}`: begins a lane; its process id. It dies (-9, by its own hand) with
  `"at": "claimed" | "called" | "answered" | "recorded", "batch": 3` at that very place of its third batch, or with
  `"after": 0.02, "batch": 3` so many seconds after it set about its third batch, wherever it is then.
  `"signal": 19` lets it fall asleep (SIGSTOP) instead.
- `{"decide": "2026-11-21T12:00:00+00:00"}`: begins a job that decides the winners that are due then; its process id. It
  dies with `"at": "chosen"` before its choice is committed, with `"at": "committed"` right after, before anybody is
  told.
- `{"wait": 4711}`: waits for the end of that lane; its exit code, negative for a signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from flask import Flask
from sqlalchemy import event

from blossom.app import create_app
from blossom.messaging import service
from blossom.platform import db
from blossom.platform.config import Config


def main() -> None:
    app: Flask | None = None
    lanes: set[int] = set()
    print("ready", flush=True)
    for line in sys.stdin:
        order = orjson.loads(line)
        if "environment" in order:
            _end(lanes)
            app = create_app(Config.from_environment(order["environment"]))  # opens nothing, so forks may share it
            print("ready", flush=True)
        elif "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            lanes.discard(order["wait"])
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            assert app is not None
            lane = os.fork()
            if lane == 0:
                _live(app, order)
            lanes.add(lane)
            print(lane, flush=True)
    _end(lanes)


def _end(lanes: set[int]) -> None:
    for lane in lanes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(lane, signal.SIGKILL)
        os.waitpid(lane, 0)
    lanes.clear()


def _live(app: Flask, order: dict[str, Any]) -> None:
    code = 1
    try:
        with app.app_context():
            if "at" in order or "after" in order:
                _meet_its_fate(order)
            if "decide" in order:
                service.decide_winners(datetime.fromisoformat(order["decide"]))
            else:
                service.run_lane(seconds=float(order["seconds"]), worker=f"zygote:{os.getpid()}")
        code = 0
    finally:
        os._exit(code)


def _meet_its_fate(order: dict[str, Any]) -> None:
    batch, number = int(order.get("batch", 1)), signal.Signals(order.get("signal", signal.SIGKILL))
    lane = service.lane

    def fall(after: float = 0.0) -> None:
        time.sleep(after)
        os.kill(os.getpid(), number)

    def fall_later() -> None:
        threading.Thread(target=fall, args=(float(order["after"]),), daemon=True).start()

    if "after" in order:
        setattr(lane, "_lap", _at_call(lane._lap, batch, before=fall_later))  # noqa: B010 -- mypy: a function's name
    elif order["at"] == "claimed":
        setattr(lane, "_send", _at_call(lane._send, batch, before=fall))  # noqa: B010
    elif order["at"] == "called":
        client = service.provider.sender()
        setattr(client, "send_bulk", _at_call(client.send_bulk, batch, before=fall))  # noqa: B010
    elif order["at"] == "answered":
        setattr(service.endings, "finish", _at_call(service.endings.finish, batch, before=fall))  # noqa: B010
    elif order["at"] == "recorded":
        setattr(service.endings, "finish", _at_call(service.endings.finish, batch, after=fall))  # noqa: B010
    elif order["at"] == "chosen":
        setattr(service.deciding, "release_rest", _at_call(service.deciding.release_rest, 1, after=fall))  # noqa: B010
    elif order["at"] == "committed":
        setattr(service.deciding, "_decide", _at_call(service.deciding._decide, 1, after=_at_the_end(fall)))  # noqa: B010
    else:
        raise ValueError(order["at"])


def _at_the_end(fall: Callable[[], None]) -> Callable[[], None]:
    """What makes the process fall once the transaction that is open is committed."""

    def prepare() -> None:
        event.listen(db.session(), "after_commit", lambda _: fall())

    return prepare


def _at_call(
    real: Callable[..., Any],
    number: int,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
) -> Callable[..., Any]:
    """`real`, and around its call of that number what is to happen."""
    calls = 0

    def both(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and before is not None:
            before()
        found = real(*args, **kwargs)
        if calls == number and after is not None:
            after()
        return found

    return both


if __name__ == "__main__":
    main()

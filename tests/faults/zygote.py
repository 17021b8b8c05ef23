"""Lanes as processes of their own that a test can kill: imports once, then forks one for each line on stdin.

A line is JSON: `{"seconds": 30}`, or with `"die_at": "claimed" | "called" | "answered"` and `"batch": 3`, which kills
the lane (-9, by its own hand) at that very place of its third batch. Prints the process id of each lane.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import orjson

from blossom.app import create_app
from blossom.messaging import service
from blossom.platform.config import Config

PLACES = {"claimed": "_send", "called": "_after_begin", "answered": "_finish"}


def main() -> None:
    config = Config.from_environment()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    print("ready", flush=True)
    for line in sys.stdin:
        order = orjson.loads(line)
        child = os.fork()
        if child == 0:
            _be_a_lane(config, order)
            os._exit(0)
        print(child, flush=True)


def _be_a_lane(config: Config, order: dict[str, Any]) -> None:
    app = create_app(config)
    with app.app_context():
        if place := order.get("die_at"):
            _die_at(place, int(order.get("batch", 1)))
        service.run_lane(seconds=float(order["seconds"]), worker=f"zygote:{os.getpid()}")


def _die_at(place: str, batch: int) -> None:
    if place == "called":
        client = service.provider.sender()
        client.send_bulk = _then_die(client.send_bulk, batch, before=True)  # type: ignore[method-assign]
    else:
        name = PLACES[place]
        setattr(service.lane, name, _then_die(getattr(service.lane, name), batch, before=True))


def _then_die(real: Callable[..., Any], batch: int, *, before: bool) -> Callable[..., Any]:
    seen = 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == batch and before:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return dying


if __name__ == "__main__":
    main()

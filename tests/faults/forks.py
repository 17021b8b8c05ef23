"""Blossom's commands without the seconds that their imports take: imports them once, forks a process for each order.

A line on stdin is JSON: `{"arguments": ["worker", "--queue", "send"], "environment": {…}, "output": "/…"}`; the answer
is the process id. From the fork on, all is as with `python -m blossom.cli`: settings are read and the app is made then.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import orjson

from blossom import cli
from tests.bad_input import commands


def main() -> None:
    commands.load_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that have ended
    print("ready", flush=True)
    for line in sys.stdin:
        order = orjson.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        print(child, flush=True)


def _become(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(order["environment"])
    output = os.open(order["output"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, file in enumerate((nothing, output, output)):
        os.dup2(file, place)
    try:
        cli.main(order["arguments"], prog_name="blossom")  # ends by SystemExit
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()

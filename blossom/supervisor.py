"""Child processes that live as long as their parent, and are started again when they die.

`blossom worker` is several processes, since each listens to one queue. SIGTERM goes to all; they end by themselves
within the time that a host gives, and what is left then is killed.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from blossom.platform import stopping

log = structlog.get_logger()

GRACE_SECONDS = 28.0
"""Of the 30 that a Heroku-like host gives between SIGTERM and SIGKILL."""

_RESTART_PAUSE = 1.0


@dataclass(frozen=True)
class Child:
    name: str
    command: Sequence[str]


def supervise(children: Sequence[Child]) -> None:
    """Run the children until SIGTERM or SIGINT; one that dies is started again after a second."""
    stop_on_signals(stopping.request)
    running = [(child, _start(child)) for child in children]
    while not stopping.wait(0.2):
        for place, (child, process) in enumerate(running):
            if process.poll() is not None:
                log.warning("child.died", child=child.name, status=process.returncode)
                if stopping.wait(_RESTART_PAUSE):
                    break
                running[place] = child, _start(child)
    _stop([process for _, process in running])


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT call `stop`."""

    def handle(_: int, __: Any) -> None:
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _start(child: Child) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in a terminal reaches the parent alone, which then tells the children once.
    return subprocess.Popen(list(child.command), start_new_session=True)  # noqa: S603 -- our own commands


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

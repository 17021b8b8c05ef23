"""Child processes that live as long as their parent, and are started again when they die.

`blossom worker` is several processes, since each listens to one queue. SIGTERM goes to all; they end by themselves
within the time that a host gives, and what is left then is killed.

Workers are forks of the supervisor, which has imported and set up what they need: so nearly all of their memory is one
and the same, and ten of them need about as much as three that were started anew (docs/deploy.md). The supervisor
opens no connection and starts no thread, since neither may be taken along.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import structlog

from blossom.platform import stopping
from blossom.platform.errors import BlossomError

log = structlog.get_logger()

GRACE_SECONDS = 28.0
"""Of the 30 that a Heroku-like host gives between SIGTERM and SIGKILL."""

_RESTART_PAUSE = 1.0
_AT_ITS_START = 10.0  # seconds
_TRIES = 3


class Running(Protocol):
    """A child that was started: what of `subprocess.Popen` is needed here."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> object: ...


class Child(Protocol):
    """What can be started, and again."""

    @property
    def name(self) -> str: ...
    def start(self) -> Running: ...


@dataclass(frozen=True)
class Program:
    """A command of its own."""

    name: str
    command: Sequence[str]

    def start(self) -> Running:
        # A session of its own: Ctrl-C in a terminal reaches the parent alone, which then tells the children once.
        return subprocess.Popen(list(self.command), start_new_session=True)  # noqa: S603 -- our own commands


@dataclass(frozen=True)
class Fork:
    """A function that runs in a copy of this process, under a name that `ps -o comm` shows."""

    name: str
    run: Callable[[], None]

    def start(self) -> Running:
        gc.collect()
        gc.freeze()  # a collection in the child would write to, and so copy, all that it shares
        process = multiprocessing.get_context("fork").Process(target=self._live)
        process.start()
        return _Forked(process)

    def _live(self) -> None:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # until it has handlers of its own, it has nothing to lose
        with contextlib.suppress(OSError):  # not Linux
            Path("/proc/self/comm").write_text(self.name[:NAME_LENGTH])
        threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
        if not stopping.requested():
            self.run()


def _end_with_the_supervisor() -> None:
    """One that was killed told nobody. (Each fork keeps the elder ones' ends open, so they go from the youngest on.)"""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


NAME_LENGTH = 15
"""Of a process, on Linux."""


class _Forked:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> object:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0.0)
        return self._process.exitcode


def supervise(children: Sequence[Child], *, give_up: bool = False) -> None:
    """Run the children until SIGTERM or SIGINT; one that dies is started again after a second.

    `give_up`: one that dies at its start three times in a row won't do better the fourth time: the others are ended
    and `BlossomError` raised.
    """
    stop_on_signals(stopping.request)
    running = [(child, child.start()) for child in children]
    started = [time.monotonic()] * len(running)
    stillborn = [0] * len(running)
    while not stopping.wait(0.2):
        for place, (child, process) in enumerate(running):
            status = process.poll()
            if status is not None:
                log.warning("child.died", child=child.name, status=status)
                stillborn[place] = stillborn[place] + 1 if time.monotonic() - started[place] < _AT_ITS_START else 0
                if give_up and stillborn[place] == _TRIES:
                    _stop([process for _, process in running])
                    raise BlossomError(
                        f"{child.name} can't be started: it ended {_TRIES} times at once.",
                        code="child_stillborn",
                        actionable="See its own words above.",
                    )
                if stopping.wait(_RESTART_PAUSE):
                    break
                running[place], started[place] = (child, child.start()), time.monotonic()
    _stop([process for _, process in running])


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT call `stop`."""

    def handle(_: int, __: Any) -> None:
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _stop(processes: Sequence[Running]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_port(port: int) -> None:
    """Raise if nobody can listen there now: the server itself would try again and again, with a traceback each time."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: not kept by what has just ended
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BlossomError(
                f"Port {port} can't be used ({error.strerror}).",
                code="port_unusable",
                actionable="Choose another one by --port, or end what listens there.",
            ) from error

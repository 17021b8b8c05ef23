"""Nudges for workers, given by webhooks in thousands and sent a few times a second."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Nudge:
    """Calls `send` soon after `give`, from a thread of its own, so that nobody who gives one waits for Redis; once for
    all that were given within `seconds`. Lost with the process: what it is about must be found in rows, too."""

    def __init__(self, send: Callable[[], None], *, name: str, seconds: float) -> None:
        self._send = send
        self._name = name
        self._seconds = seconds
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def give(self) -> None:
        self._wanted.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()  # never set: a wait that ends by itself
        while self._wanted.wait():
            self._wanted.clear()
            try:
                self._send()
            except Exception:  # whatever it is, the next one is to be sent too
                log.exception("nudge.failed", nudge=self._name)
            pause.wait(self._seconds)

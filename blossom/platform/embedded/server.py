"""What the two embedded servers have in common: waiting until they answer, logs, and what a kill -9 left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from blossom.platform.embedded import watchdog
from blossom.platform.embedded.place import EmbeddedError

# Covers a recovery of Postgres over gigabytes of log, or Valkey reading its file back.
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A server that was started; `url` is valid once it is ready."""

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: int
    log: Path
    url: str
    is_ready: Callable[[], bool]

    def wait_until_ready(self) -> None:
        """Return when the server answers. Raises `EmbeddedError`, with the end of its log, when it ends instead."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
                raise EmbeddedError(f"{self.name} ended while starting; the end of {self.log}:\n{tail}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.name} did not answer within {_READY_SECONDS:.0f} s; see {self.log}")
            time.sleep(0.01)


def open_log(path: Path) -> BinaryIO:
    """An empty log for a start; the one before is kept as `.1`."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("wb")


def stop_survivors(name: str, data: Path, stop_signal: int) -> None:
    """Stop the processes called `name` that work in the folder `data`, whose owner and watchdog were both killed.

    They are known by their working folder and not by a pid file, whose number may be another program's by now.
    """
    found = {}
    for process in psutil.process_iter():
        try:
            if process.name() == name and os.path.samefile(process.cwd(), data):
                found[process.pid] = (process, process.ppid())
        except (psutil.Error, OSError):  # it has just ended, or is none of ours
            continue
    # A parent ends its children itself; children whose parent was killed are parents here.
    watchdog.stop((process, stop_signal) for process, parent in found.values() if parent not in found)

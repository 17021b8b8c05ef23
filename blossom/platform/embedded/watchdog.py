"""A process that stops the embedded servers once their owner is gone, however it went: `watchdog.py STATE_FILE`.

The owner writes a line `PID SIGNAL` to our standard input for each server. The end of that input is the word to stop
them: the owner closed it, ended, or was killed (-9), in which case the kernel closed it. Until the servers are gone we
hold the lock of the data folder, which we inherited open. Linux and macOS; it imports nothing of Blossom, to start
quickly and stay small.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

PATIENCE_SECONDS = 30.0  # for an orderly end: Postgres writes out what it holds
LAST_STEPS = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))  # Postgres ends at once on QUIT, and recovers later


def stop(servers: Iterable[tuple[psutil.Process, int]]) -> None:
    """Stop `servers`, each first by its own signal, then ever harder; returns when all are gone."""
    remaining = list(servers)
    for process, number in remaining:
        _send(process, number)
    remaining = _wait(remaining, PATIENCE_SECONDS)
    for last_signal, seconds in LAST_STEPS:
        for process, _ in remaining:
            _send(process, last_signal)
        remaining = _wait(remaining, seconds)


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)  # psutil refuses when the pid has gone to another process
    except psutil.NoSuchProcess:
        return


def _wait(servers: list[tuple[psutil.Process, int]], seconds: float) -> list[tuple[psutil.Process, int]]:
    """Wait at most `seconds`; those still running."""
    deadline = time.monotonic() + seconds
    while (servers := [server for server in servers if _runs(server[0])]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return servers


def _runs(process: psutil.Process) -> bool:
    try:
        # A zombie has ended; its parent, which may never read its status, is not ours to wait for.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the owner; its end is our signal
        signal.signal(ignored, signal.SIG_IGN)
    servers = []
    for line in sys.stdin:
        pid, number = line.split()
        try:
            servers.append((psutil.Process(int(pid)), int(number)))
        except psutil.NoSuchProcess:
            continue
    Path(sys.argv[1]).unlink(missing_ok=True)  # from here on nobody shall attach
    stop(servers)


if __name__ == "__main__":
    main()

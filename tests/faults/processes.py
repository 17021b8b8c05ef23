"""Blossom's own processes for tests: started as an operator starts them, ended by their ids, waited for."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

from blossom.platform import config
from tests.conftest import MASTER_KEY

T = TypeVar("T")


def environment(**more: str) -> dict[str, str]:
    """Settings by which another process works on this test's database, Redis and stand-in."""
    settings = config.current()
    return {
        **os.environ,
        "BLOSSOM_ENV": "test",
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "BLOSSOM_MASTER_KEYS": f"1:{base64.b64encode(MASTER_KEY).decode()}",
        "BLOSSOM_LANES": "1",
        "MITTO_API_URL": settings.mitto_api_url,
        "MITTO_API_KEY": settings.mitto_api_key,
        "MITTO_TRAFFIC_ACCOUNT_ID": settings.mitto_traffic_account_id,
        "MITTO_BATCH_SIZE": str(settings.mitto_batch_size),
        "MITTO_TEXTS_PER_SECOND": "0",
        "LOG_LEVEL": "WARNING",
        **more,
    }


class Process:
    """`blossom …`, running. What it says is kept for a failing test."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self.name = " ".join(arguments)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by end(); it lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "blossom.cli", *arguments],
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def runs(self) -> bool:
        return self._process.poll() is None

    def child(self, queue_name: str) -> int | None:
        """The process id of the supervisor's child for this queue."""
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.Error):  # a zombie, or gone while we look
                if child.cmdline()[-2:] == ["--queue", queue_name]:
                    return child.pid
        return None

    def terminate(self, within: float = 30.0) -> float:
        """SIGTERM; the seconds until it, and what it had started, has ended."""
        family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(within)
        _, left = psutil.wait_procs(family, timeout=0.5)
        assert left == [], f"{self.name} has left processes behind"
        return time.monotonic() - started

    def end(self) -> None:
        """The test is over: gone, however it stands."""
        if self.runs():
            family = psutil.Process(self.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            for child in family:
                child.kill()
        self._output.close()

    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")


def until(condition: Callable[[], T], what: str, seconds: float = 100.0) -> T:
    """Look again and again until the condition gives something true; that. Fails after `seconds`: be generous."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found

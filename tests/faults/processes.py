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

import orjson
import psutil

from blossom import supervisor
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
        "BLOSSOM_LANE_THREADS": "2",  # as it comes; a test that counts calls asks for one
        "MITTO_API_URL": settings.mitto_api_url,
        "MITTO_API_KEY": settings.mitto_api_key,
        "MITTO_TRAFFIC_ACCOUNT_ID": settings.mitto_traffic_account_id,
        "MITTO_BATCH_SIZE": str(settings.mitto_batch_size),
        "MITTO_TEXTS_PER_SECOND": "0",
        "LOG_LEVEL": "WARNING",
        **more,
    }


class Forks:
    """Makes processes quickly; see forks.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._read() == b"ready"

    def begin(self, arguments: tuple[str, ...], settings: dict[str, str], output: str) -> psutil.Process:
        assert self._process.stdin is not None
        order = {"arguments": arguments, "environment": environment(**settings), "output": output}
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        return psutil.Process(int(self._read()))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)  # beside other test processes it may take its time

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Process:
    """`blossom …`, running: forked if `forks` is given. What it says is kept for a failing test."""

    def __init__(self, *arguments: str, forks: Forks | None = None, **settings: str) -> None:
        self.name = " ".join(arguments)
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115 -- closed by end(); it lives as long as the process
        if forks is not None:
            self._process = forks.begin(arguments, settings, self._output.name)
        else:
            self._process = psutil.Popen(
                [sys.executable, "-m", "blossom.cli", *arguments],
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def runs(self) -> bool:
        return bool(self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE)

    def children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = self._process.children()
        return found

    def child(self, queue_name: str) -> int | None:
        """The process id of the supervisor's child for this queue."""
        for child in self._process.children():
            with contextlib.suppress(psutil.Error):  # a zombie, or gone while we look
                if child.name() == f"worker:{queue_name}"[: supervisor.NAME_LENGTH]:
                    return child.pid
        return None

    def terminate(self, within: float = 30.0) -> float:
        """SIGTERM; the seconds until it, and what it had started, has ended."""
        children = self._process.children(recursive=True)
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(within)
        _, left = psutil.wait_procs(children, timeout=0.5)
        assert left == [], f"{self.name} has left processes behind"
        return time.monotonic() - started

    def end(self) -> None:
        """The test is over: gone, however it stands."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [self._process, *self._process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            self._process.wait(30)  # beside other test processes it may take its time
            until(lambda: all(_has_ended(each) for each in family), f"the end of all that {self.name} has started", 10)
        self._output.close()

    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")


def _has_ended(process: psutil.Process) -> bool:
    """A zombie has; the first process of the machine, which inherits it, may take seconds to read its status."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def until(condition: Callable[[], T], what: str, seconds: float = 100.0) -> T:
    """Look again and again until the condition gives something true; that. Fails after `seconds`: be generous."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return found

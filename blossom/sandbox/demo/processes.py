"""Processes of the demo: each with its log file, stopped together, and none left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from blossom.platform.embedded import watchdog

CHECKOUT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 30.0
_TAIL_LINES = 12


class DemoError(Exception):
    """The demo can't go on; the message is for the person who started it."""


def blossom(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a command of `blossom`; the JSON object that it prints. `DemoError` carries its own words."""
    done = subprocess.run(  # noqa: S603 -- our own command, no shell
        [sys.executable, "-m", "blossom.cli", *arguments],
        cwd=CHECKOUT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("{")]  # no log lines
        raise DemoError("\n".join(said[-_TAIL_LINES:]) or f"blossom {arguments[0]} failed.")
    lines = done.stdout.splitlines()
    return dict(orjson.loads(lines[-1])) if lines else {}


class Child:
    """A process in a session of its own (Ctrl-C reaches the demo alone), its output in `log`."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 -- our own commands, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env=dict(environment),
                start_new_session=True,
            )

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


class Family:
    """All children. A watchdog process stops them if the demo is killed (-9) before it can."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []
        self._watchdog = subprocess.Popen(  # noqa: S603 -- our own script
            [sys.executable, "-P", watchdog.__file__, str(logs / "no-state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        child = Child(name, command, environment, self._logs / f"{name}.log")
        self._children.append(child)
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{child.process.pid} {int(signal.SIGTERM)}\n")
        self._watchdog.stdin.flush()
        return child

    def check(self) -> None:
        """Raise `DemoError`, with the end of its log, if one has ended by itself."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise DemoError(
                    f"The process “{child.name}” ended with status {status}. The end of its log:\n{child.tail()}"
                )

    def tails(self) -> str:
        """The end of every log."""
        return "\n".join(f"{child.name}:\n{child.tail()}" for child in self._children)

    def stop(self) -> None:
        """End all, the last started first told; returns when they are gone."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        self._watchdog.wait()

"""Lanes that a test kills, puts to sleep and waits for; what they leave, swept up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.platform import db
from tests.faults.processes import environment
from tests.messaging.conftest import Outbox

KILLED = -signal.SIGKILL


class Lanes:
    """Begins lanes as processes; see zygote.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._read() == "ready"

    def use(self, settings: dict[str, str]) -> None:
        """Lanes from now on live by these settings; those of before are ended."""
        assert self._ask(environment=settings) == "ready"

    def begin(self, **order: object) -> int:
        """A lane's process id. `order`: see zygote.py."""
        return int(self._ask(**{"seconds": 60, **order}))

    def wait(self, pid: int) -> int:
        """Wait until a lane has ended; its exit code, `KILLED` for a kill."""
        return int(self._ask(wait=pid))

    def end(self) -> None:
        """End them all."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)  # beside other test processes

    def _ask(self, **order: object) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Lanes]:
    made = Lanes()
    yield made
    made.end()


@pytest.fixture
def lanes(committed_app: Flask, committed_outbox: Outbox, zygote: Lanes) -> Iterator[Lanes]:
    """Lanes on this test's database, Redis and stand-in, one batch at a time."""
    zygote.use(environment(LOG_LEVEL="ERROR", BLOSSOM_LANE_THREADS="1"))
    yield zygote
    zygote.use(environment(LOG_LEVEL="ERROR"))  # ends what a failed test has left


def last_deeds(pid: int) -> list[str]:
    """How far each thread of the lane had come: the state of its last attempt; `"none"` if the lane had made none."""
    query = text("""
        SELECT DISTINCT ON (worker) state FROM attempts WHERE worker = :worker OR worker LIKE :worker || ':%'
        ORDER BY worker, id DESC
    """)
    with db.transaction() as session:
        return list(session.scalars(query, {"worker": f"zygote:{pid}"})) or ["none"]


def let_leases_pass(*pids: int) -> None:
    """Those of these lanes; of all, if none is named."""
    with db.transaction() as session:
        session.execute(
            text("""
                UPDATE attempts SET lease_until = now() - interval '1 second'
                WHERE state IN ('claimed', 'calling')
                  AND (substring(worker FROM '^zygote:[0-9]+') = ANY(:workers) OR :workers = '{}')
            """),
            {"workers": [f"zygote:{pid}" for pid in pids]},
        )


def sweep(*pids: int) -> int:
    """Sweep once the leases of these lanes (of all, if none is named) have passed. How many attempts were lost."""
    let_leases_pass(*pids)
    return service.sweep()["lost"]


def finish(outbox: Outbox, dispatch: Dispatch) -> None:
    """All workers are dead: let the sweeper find what they left, and one lane of our own do the rest."""
    sweep()
    outbox.run()
    service.sweep()
    assert outbox.progress(dispatch).finished_at is not None, outbox.progress(dispatch)

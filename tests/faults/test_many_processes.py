"""Four workers, two web and two clock processes at once, as a host runs the Procfile: one campaign, sent once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from flask import Flask
from sqlalchemy import select, text

from blossom import worker
from blossom.messaging.models import Dispatch
from blossom.platform import config, db, queue
from blossom.shops import service as shops
from tests.api.client import ALL_OF_A_SHOP
from tests.faults.processes import environment, until
from tests.messaging.conftest import TEXT, Outbox, committed_outbox, mitto, mitto_process
from tests.messaging.test_sending import subscribers
from tests.services import POOLED
from tests.services.servers import free_port

__all__ = ["committed_outbox", "mitto", "mitto_process"]

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 2_000
TOKEN = "many-processes-token"
WORKERS, WEBS, CLOCKS = 4, 2, 2
CONNECTIONS_OF_A_WORKER = len(queue.QUEUES) - 2 + worker.PREPARERS + config.Config.lanes * config.Config.lane_threads
HOST_SECONDS = 30
"""Between SIGTERM and SIGKILL."""


def procfile() -> dict[str, list[str]]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.split() for name, _, command in (line.partition(": ") for line in lines)}


class Host:
    """Runs lines of the Procfile. What they say is kept for a failing test."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, psutil.Popen] = {}

    def start(self, line: str, number: int, **settings: str) -> None:
        name = f"{line}.{number}"
        variables = environment(
            BLOSSOM_LANES=str(config.Config.lanes),
            BLOSSOM_LANE_THREADS=str(config.Config.lane_threads),
            MITTO_WEBHOOK_TOKEN=TOKEN,
            LOG_LEVEL="INFO",
            **settings,
        )
        variables["PATH"] = f"{ROOT / '.venv/bin'}:{variables['PATH']}"
        with (self._logs / name).open("wb") as log:
            self._running[name] = psutil.Popen(
                procfile()[line], env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self, name: str) -> str:
        return (self._logs / name).read_text(errors="replace")

    def stop(self) -> dict[str, float]:
        """SIGTERM to all, as before a new version; seconds that each took, with all that it had started."""
        families = {name: process.children(recursive=True) for name, process in self._running.items()}
        started = time.monotonic()
        for process in self._running.values():
            process.terminate()

        def wait(name: str) -> float:
            self._running[name].wait(HOST_SECONDS)
            _, left = psutil.wait_procs(families[name], timeout=0.5)
            assert left == [], f"{name} has left processes behind"
            return time.monotonic() - started

        with ThreadPoolExecutor(len(families)) as pool:
            return dict(zip(families, pool.map(wait, families), strict=True))

    def end(self) -> None:
        """The test is over: gone, however it stands."""
        for process in self._running.values():
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                for each in (*process.children(recursive=True), process):
                    each.kill()
            process.wait(60)


@pytest.fixture
def host(committed_app: Flask, committed_outbox: Outbox, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.end()


class Site:
    """One web process, called as a merchant's program calls it."""

    def __init__(self, port: int, key: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {key}"

    def is_ready(self) -> bool:
        try:
            return self._http.get(f"{self.url}/readyz", timeout=10).ok
        except requests.RequestException:  # it listens before it has imported the app
            return False

    def get(self, path: str) -> dict[str, Any]:
        return self._read(self._http.get(f"{self.url}/api{path}", timeout=30))

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._read(self._http.post(f"{self.url}/api{path}", json=body, timeout=30))

    @staticmethod
    def _read(response: requests.Response) -> dict[str, Any]:
        assert response.ok, response.text
        return dict(response.json())


def receipts_go_to(outbox: Outbox, site: Site) -> None:
    url = f"{site.url}/webhooks/mitto/dlr"
    outbox.mitto.configure(receipts={"url": url, "proof": {"token": TOKEN}, "array_size": 20})


def connections() -> int:
    """Of others than this process to this test's database; behind a pooler, those that are at work."""
    db.engine().dispose()
    with db.transaction() as session:
        states = session.scalars(
            text("""
                SELECT state FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            """)
        ).all()
    return sum(state != "idle" for state in states) if POOLED else len(states)


def test_four_workers_two_webs_and_two_clocks_send_a_campaign_once(committed_outbox: Outbox, host: Host) -> None:
    outbox = committed_outbox
    phones = subscribers(outbox, PEOPLE)
    with db.transaction():
        _, key = shops.create_api_key(outbox.shop.id, "test", ALL_OF_A_SHOP)
    first, second = sites = [Site(free_port(), key) for _ in range(WEBS)]
    for line, number in (("worker", WORKERS), ("clock", CLOCKS)):
        for each in range(number):
            host.start(line, each)
    for each, site in enumerate(sites):
        host.start("web", each, PORT=site.url.rpartition(":")[2])
    until(lambda: all(site.is_ready() for site in sites), "both web processes are ready")

    outbox.mitto.configure(latency=0.2)  # so that there is something to pause
    receipts_go_to(outbox, first)
    campaign = first.post("/campaigns", {"name": "Many", "body": TEXT, "audience": {"all": True}})["id"]
    here = f"/campaigns/{campaign}"
    first.post(f"{here}/enqueue")
    assert second.post(f"{here}/enqueue")["status"] in ("sending", "completed"), "of two clicks one sends"
    until(lambda: second.get(f"{here}/progress")["sent"], "the first texts")
    second.post(f"{here}/pause")
    until(lambda: first.get(f"{here}/progress")["sending"] == 0, "what was in a call has ended")
    paused = outbox.mitto.summary()["texts"]
    assert 0 < paused < PEOPLE
    until(lambda: second.get(f"{here}/progress")["delivered"] == paused, "their receipts, which went to the first")
    most = connections()
    receipts_go_to(outbox, second)
    outbox.mitto.configure(latency=0.0)
    assert first.get(f"{here}/progress")["status"] == "paused"
    assert outbox.mitto.summary()["texts"] == paused, "nobody calls in a pause"
    second.post(f"{here}/resume")
    until(lambda: first.get(f"{here}/progress")["delivered"] == PEOPLE, "everybody has it")
    until(lambda: second.get(f"{here}/progress")["status"] == "completed", "the campaign has ended")
    most = max(most, connections())

    summary = outbox.mitto.summary()
    assert (summary["texts"], summary["distinct_destinations"], summary["doubled"]) == (PEOPLE, len(phones), 0)
    assert first.get(f"{here}/progress") == second.get(f"{here}/progress")
    assert first.get(f"{here}/stats") == second.get(f"{here}/stats")
    with db.transaction() as session:
        [dispatch] = session.scalars(select(Dispatch)).all()
    outbox.check_books(dispatch)

    # docs/operations.md: one for a clock and for each process of a worker, lanes one a thread; webs a pool and 4.
    allowed = WORKERS * CONNECTIONS_OF_A_WORKER + CLOCKS + WEBS * (2 * config.Config.database_pool_size + 4)
    assert 0 < most <= allowed or POOLED
    took = host.stop()
    assert max(took.values()) < HOST_SECONDS, took
    until(lambda: connections() == 0, "every connection is given back", 10)

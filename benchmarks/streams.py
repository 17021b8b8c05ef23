"""Whether pages stay quick while many look on as a campaign is sent.

`python -m benchmarks.streams --streams 200 --json`: one web process (gunicorn as in production), a worker that sends at
Mitto's pace, durable Postgres. Pages are asked one after another over one connection, without open progress streams and
with so many, phase by phase in turn; goal: their p95 at most 1.5 of that without. `live` says how many of the streams
told of progress meanwhile; who gets none asks for the page instead (`polls`), as the page's script does.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import multiprocessing
import selectors
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import orjson
import requests

from benchmarks import page_data, page_table
from benchmarks.ground import Ground, create_shop_with, ground
from benchmarks.knocking import HOST
from benchmarks.pipeline import TEXT, wait_for_workers
from benchmarks.receipts import gunicorn
from blossom.campaigns import queries, service
from blossom.platform import db
from blossom.segments.rules import Audience

PACE = 200
"""Texts a second; a campaign of `PEOPLE` goes on for longer than all phases take."""
PEOPLE = 60_000
PATHS = ("/", "/campaigns", "/campaigns/{campaign}", "/campaigns/{campaign}/recipients", "/contacts", "/wallet")
POLL_SECONDS = 4.0
"""As static/js/live.js, when there is no stream for it."""
_HEAD = "GET {path} HTTP/1.1\r\nHost: {host}\r\nHX-Request: true\r\nAuthorization: Bearer {token}\r\n\r\n"


class _Listeners:  # pragma: no cover -- in a process of its own
    """So many pages that are open: each hears a stream, anew when it ends, or where there is none asks now and then."""

    def __init__(self, port: int, path: str, token: str, number: int) -> None:
        self._port = port
        self._heads = [_HEAD.format(path=path + end, host=HOST, token=token).encode() for end in ("/events", "")]
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int]] = []  # when which asks next
        self.events, self.polls = [0] * number, 0
        for which in range(number):
            self._open(which, 0)

    def _open(self, which: int, head: int) -> None:
        opened = socket.create_connection((HOST, self._port))
        opened.sendall(self._heads[head])
        self._selector.register(opened, selectors.EVENT_READ, (which, head))

    def listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            (which, is_poll), received = key.data, key.fileobj.recv(65_536)  # type: ignore[union-attr]  # a socket
            self.events[which] += received.count(b"\ndata: <div") > 0
            refused = received.startswith(b"HTTP/1.1 204")
            if is_poll or refused or not received or received.endswith(b"\r\n0\r\n\r\n"):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                if is_poll or refused:
                    heapq.heappush(self._due, (time.monotonic() + POLL_SECONDS, which))
                else:
                    self._open(which, 0)
        while self._due and self._due[0][0] <= time.monotonic():
            self.polls += 1
            self._open(heapq.heappop(self._due)[1], 1)


def _listen(pipe: Connection, *listeners: Any) -> None:  # pragma: no cover -- a process
    """Until `pipe` says that it is enough; then tell how many had news by a stream, how much, and how many polls."""
    heard = _Listeners(*listeners)
    while not pipe.poll():
        heard.listen(0.2)
    pipe.send((sum(count > 0 for count in heard.events), sum(heard.events), heard.polls))


@contextlib.contextmanager
def listening(port: int, path: str, number: int) -> Any:
    """So many pages; a list that has what `_listen` tells afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_listen, args=(theirs, port, path, page_table.token(), number))
    process.start()
    theirs.close()
    heard: list[int] = []
    try:
        time.sleep(6)  # until they are open, and whoever got none has asked once
        yield heard
    finally:
        ours.send(None)
        heard.extend(ours.recv())
        process.join()


def ask(port: int, paths: list[str], rounds: int) -> list[float]:
    """Each page so often, one after another: milliseconds."""
    times = []
    with requests.Session() as session:
        session.headers.update({"HX-Request": "true", "Authorization": f"Bearer {page_table.token()}"})
        for path in paths * rounds:
            began = time.perf_counter()
            answer = session.get(f"http://{HOST}:{port}{path}", timeout=60)
            times.append(1000 * (time.perf_counter() - began))
            if answer.status_code != 200:
                raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return sorted(times)


def run(made: Ground, streams: int, phases: int, rounds: int, gunicorn_options: str) -> dict[str, Any]:
    shop = create_shop_with(made, PEOPLE, page_data.DOMAIN)
    with db.transaction():
        page_data.install(shop.id)
        campaign = service.create_campaign(
            shop.id, name="Bench", body=TEXT, audience=Audience(everybody=True), actor="bench"
        ).id
    environment = {**made.environment, **page_table.ENVIRONMENT, "MITTO_TEXTS_PER_SECOND": str(PACE)}
    environment["GUNICORN_CMD_ARGS"] = gunicorn_options
    command = [sys.executable, "-m", "blossom.cli", "worker", "--queue"]
    workers = [subprocess.Popen([*command, name], env=environment) for name in ("send", "prepare")]
    paths = [path.format(campaign=campaign) for path in PATHS]
    found: dict[str, list[list[float]]] = {"without": [], "with": []}
    heard: list[int] = []
    try:
        wait_for_workers(len(workers))
        with db.transaction():
            service.enqueue_campaign(shop.id, campaign, actor="bench")
        with gunicorn(environment, "wsgi:app") as (port, _):
            ask(port, paths, 3)
            for _ in range(phases):
                found["without"].append(ask(port, paths, rounds))
                with listening(port, f"/campaigns/{campaign}", streams) as heard:
                    found["with"].append(ask(port, paths, rounds))
        with db.transaction():
            still = queries.get_campaign(shop.id, campaign).state.value
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    p95 = {name: [times[int(len(times) * 0.95)] for times in each] for name, each in found.items()}
    return {
        "streams": streams,
        "live": heard[0],
        "events": heard[1],
        "polls": heard[2],
        "p50_ms": round(median(times[len(times) // 2] for times in found["with"]), 1),
        "p95_ms": round(median(p95["with"]), 1),
        "without_p50_ms": round(median(times[len(times) // 2] for times in found["without"]), 1),
        "without_p95_ms": round(median(p95["without"]), 1),
        "ratio": round(median(a / b for a, b in zip(p95["with"], p95["without"], strict=True)), 2),
        "campaign": still,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--phases", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=100, help="How often each page is asked for in a phase.")
    parser.add_argument("--gunicorn", default="", help="More than ops/gunicorn_conf.py says: `--worker-class=gthread`.")
    parser.add_argument("--json", action="store_true", help="Only the JSON object, as the last line.")
    options = parser.parse_args()
    with ground() as made:
        result = run(made, options.streams, options.phases, options.rounds, options.gunicorn)
    if not options.json:
        for name, value in result.items():
            print(f"{name:26} {value}")
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()

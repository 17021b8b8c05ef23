"""Whether pages stay quick while many look on as a campaign is sent.

`python -m benchmarks.streams --streams 200 --json`: one web process (gunicorn as in production), a worker that sends at
Mitto's pace, durable Postgres. Pages are asked one after another over one connection, without open progress streams and
with so many, phase by phase in turn; goal: their p95 at most 1.5 of that without. `live` says how many of the streams
told of progress meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
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
ROUNDS = 25
PATHS = ("/", "/campaigns", "/campaigns/{campaign}", "/campaigns/{campaign}/recipients", "/contacts", "/wallet")
_HEAD = "GET {path}/events HTTP/1.1\r\nHost: {host}\r\nHX-Request: true\r\nAuthorization: Bearer {token}\r\n\r\n"


def _listen(pipe: Connection, port: int, path: str, token: str, number: int) -> None:  # pragma: no cover -- a process
    """Hold so many streams open, each anew when it ends, until `pipe` says so; then tell how many had news."""
    selector, said = selectors.DefaultSelector(), [0] * number
    head = _HEAD.format(path=path, host=HOST, token=token).encode()

    def open_one(which: int) -> None:
        opened = socket.create_connection((HOST, port))
        opened.sendall(head)
        selector.register(opened, selectors.EVENT_READ, which)

    for which in range(number):
        open_one(which)
    while not pipe.poll():
        for key, _ in selector.select(0.2):
            own, which = key.fileobj, key.data
            received = own.recv(65_536)  # type: ignore[union-attr]  # a socket
            said[which] += received.count(b"\ndata:") > 0
            if not received or b"\r\n0\r\n\r\n" in received:
                selector.unregister(own)
                own.close()  # type: ignore[union-attr]
                open_one(which)
    pipe.send((sum(count > 0 for count in said), sum(said)))


@contextlib.contextmanager
def listening(port: int, path: str, number: int) -> Any:
    """So many streams; a list that has (how many were live, events in all) afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_listen, args=(theirs, port, path, page_table.token(), number))
    process.start()
    theirs.close()
    heard: list[int] = []
    try:
        time.sleep(3)  # until they are open
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


def run(made: Ground, streams: int, phases: int, threads: int | None) -> dict[str, Any]:
    shop = create_shop_with(made, PEOPLE, page_data.DOMAIN)
    with db.transaction():
        page_data.install(shop.id)
        campaign = service.create_campaign(
            shop.id, name="Bench", body=TEXT, audience=Audience(everybody=True), actor="bench"
        ).id
    environment = {**made.environment, **page_table.ENVIRONMENT, "MITTO_TEXTS_PER_SECOND": str(PACE)}
    if threads is not None:
        environment["GUNICORN_CMD_ARGS"] = f"--threads {threads}"
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
                found["without"].append(ask(port, paths, ROUNDS))
                with listening(port, f"/campaigns/{campaign}", streams) as heard:
                    found["with"].append(ask(port, paths, ROUNDS))
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
    parser.add_argument("--threads", type=int, help="Instead of those in ops/gunicorn_conf.py.")
    parser.add_argument("--json", action="store_true", help="Only the JSON object, as the last line.")
    options = parser.parse_args()
    with ground() as made:
        result = run(made, options.streams, options.phases, options.threads)
    if not options.json:
        for name, value in result.items():
            print(f"{name:26} {value}")
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()

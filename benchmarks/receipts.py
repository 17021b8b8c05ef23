"""Receipts: how fast they are taken in, how fast they are applied, and how soon a text shows what became of it.

`python -m benchmarks.receipts --json`: a table, and the last line is one JSON object. One web process (gunicorn as in
production), one worker for receipts, durable Postgres. Figures are medians of the rounds; what they are compared with
(a Flask route that checks the same signature and does nothing; with --peer, Express) is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg

from benchmarks import knocking
from benchmarks.ground import Ground, cpu_seconds, create_shop_with, ground, servers
from benchmarks.pipeline import TEXT, wait_for_workers
from blossom.messaging import service
from blossom.platform import db
from blossom.segments.rules import Audience
from blossom.shops.models import Shop

SECRET = "bench-secret"
WEBHOOK = "/webhooks/mitto/dlr"
ARRAY = 500
PROBE_SECONDS = 0.05


def requests(path: str, ids: list[str], size: int) -> list[bytes]:
    """Signed requests: each an object (`size` 1) or an array of so many delivered receipts."""
    said = [{"messageId": each, "deliveryStatus": "Delivered", "updatedAt": "2026-11-20T12:00:00.123Z"} for each in ids]
    bodies = said if size == 1 else [said[start : start + size] for start in range(0, len(said), size)]
    return [knocking.signed(path, SECRET, orjson.dumps(body)) for body in bodies]


def strangers(path: str, run: str, number: int, size: int) -> list[bytes]:
    """The same about texts that nobody sent, for the price of taking them in."""
    return requests(path, [f"01K{run}{n:08d}" for n in range(number)], size)


@contextlib.contextmanager
def serving(environment: dict[str, str], *command: str) -> Iterator[tuple[int, psutil.Process]]:
    """A server on a free port (`PORT` in its command), and its process."""
    with socket.socket() as own:
        own.bind((knocking.HOST, 0))
        port = own.getsockname()[1]
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in command], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((knocking.HOST, port)):
                break
            if process.poll() is not None:
                raise SystemExit(f"it does not start: {' '.join(command)}")
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def gunicorn(environment: dict[str, str], application: str) -> contextlib.AbstractContextManager[Any]:
    settings = ("--config", "ops/gunicorn_conf.py", "--workers", "1")
    return serving(
        environment, sys.executable, "-m", "gunicorn", *settings, "--bind", f"{knocking.HOST}:PORT", application
    )


def express(made: Ground, modules: str) -> contextlib.AbstractContextManager[Any]:
    address = psycopg.conninfo.conninfo_to_dict(made.plain_url)
    where = [str(address[name]) for name in ("host", "user", "dbname")]
    environment = {**os.environ, "NODE_PATH": modules, "NODE_ENV": "production"}
    return serving(environment, "node", str(Path(__file__).parent / "peers/express.js"), "PORT", *where, SECRET)


_PEER_ROWS = """
CREATE TABLE peer_messages (provider_message_id text PRIMARY KEY, state text, delivered_at timestamptz)
WITH (fillfactor = 40)
"""


class Takers:
    """The servers side by side, and what a request costs each."""

    def __init__(self, made: Ground, options: argparse.Namespace, postgres: psutil.Process) -> None:
        self._made, self._options, self._postgres = made, options, postgres
        self._runs = 0

    def take(self, name: str, where: tuple[int, psutil.Process], path: str, number: int, size: int) -> dict[str, float]:
        """Send so many receipts, each a new one; what was taken a second, and what it cost."""
        self._runs += 1
        run = f"{name}{self._runs}x"
        if name == "express":
            with self._made.connect() as connection:
                connection.execute(
                    "INSERT INTO peer_messages SELECT '01K' || %s || lpad(n::text, 8, '0'), 'sent'"
                    " FROM generate_series(0, %s) AS n",
                    (run, number),
                )
        port, process = where
        before = cpu_seconds(process), cpu_seconds(self._postgres)
        knocked = knocking.knock(port, strangers, (path, run, number, size), self._options.connections)
        spent = cpu_seconds(process) - before[0], cpu_seconds(self._postgres) - before[1]
        return {
            "per_second": knocked.answered * size / knocked.seconds,
            "p50_ms": knocked.p50_ms,
            "p99_ms": knocked.p99_ms,
            "cpu_us_per_request": 1e6 * spent[0] / knocked.answered,
            "postgres_cpu_us_per_request": 1e6 * spent[1] / knocked.answered,
        }


def taken_in(made: Ground, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Receipts of strangers' texts, one by one and in arrays, beside the peers; medians."""
    rounds: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(gunicorn(made.environment, "wsgi:app"))
        noop = stack.enter_context(gunicorn(made.environment, "benchmarks.peers.noop:app"))
        plan = [
            ("noop", noop, "/noop", options.requests, 1),
            ("one_by_one", web, WEBHOOK, options.requests, 1),
            ("arrays", web, WEBHOOK, options.requests * 10, ARRAY),
        ]
        if options.peer:
            with made.connect() as connection:
                connection.execute(_PEER_ROWS)
            plan.insert(
                2, ("express", stack.enter_context(express(made, options.peer)), "/receipt", options.requests, 1)
            )
        takers = Takers(made, options, servers(made)["postgres"])
        for _ in range(options.rounds):
            for name, where, path, number, size in plan:
                rounds.setdefault(name, []).append(takers.take(name, where, path, number, size))
    with made.connect() as connection:
        connection.execute("TRUNCATE receipts")
    return {name: medians(each) for name, each in rounds.items()}


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}


def send(shop: Shop) -> int:
    """Start a campaign to everybody; its dispatch."""
    with db.transaction():
        plan = service.DispatchPlan(shop_id=shop.id, audience=Audience(everybody=True), source=TEXT, sender="Bench")
        return service.start_dispatch(plan).id


def wait_until(connection: psycopg.Connection, question: str, *values: Any, seconds: float = 120) -> None:
    ends_at = time.monotonic() + seconds
    while not connection.execute(question, values).fetchone()[0]:  # type: ignore[index]  # every question has an answer
        if time.monotonic() > ends_at:
            raise SystemExit(f"it never came: {question}")
        time.sleep(0.02)


_SENT = "SELECT finished_at IS NOT NULL FROM dispatches WHERE id = %s"
_NAMES = """
SELECT p.provider_message_id FROM provider_messages p JOIN messages m ON m.id = p.message_id
WHERE m.dispatch_id = %s ORDER BY p.provider_message_id
"""
_ALL_DELIVERED = "SELECT sum(delivered) = sum(size) FROM batches WHERE dispatch_id = %s"


def applied(made: Ground, shop: Shop, port: int, options: argparse.Namespace) -> dict[str, float]:
    """A campaign's receipts in arrays, from the first knock until the last text says delivered."""
    dispatch = send(shop)
    with made.connect() as connection:
        wait_until(connection, _SENT, dispatch)
        ids = [row[0] for row in connection.execute(_NAMES, (dispatch,))]
        knocked = knocking.knock(port, requests, (WEBHOOK, ids, ARRAY), 4)
        wait_until(connection, _ALL_DELIVERED, dispatch)
        seconds = time.monotonic() - knocked.began_at
    return {"applied_per_second": len(ids) / seconds}


_DELAYS = """
SELECT percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM r.applied_at - r.received_at))
FROM receipts r JOIN messages m ON m.id = r.message_id WHERE m.dispatch_id = %s AND r.state = 'applied'
"""


def soon(made: Ground, shop: Shop, port: int, options: argparse.Namespace) -> dict[str, float]:
    """A campaign goes out, and the provider posts a receipt for each text as soon as it has taken it: how long until
    it counts. Of every receipt by its row, and of some as a client sees it, who asks after the text's own row."""
    made.mitto.configure(
        receipts={
            "url": f"http://{knocking.HOST}:{port}{WEBHOOK}",
            "proof": {"hmac_secret": SECRET},
            "array_size": ARRAY,
            "delay": [0.2, 0.2],
        }
    )
    started = time.monotonic()
    dispatch = send(shop)
    stop, seen = threading.Event(), list[float]()
    watcher = threading.Thread(target=_watch, args=(made, dispatch, stop, seen))
    watcher.start()
    with made.connect() as connection:
        wait_until(connection, _SENT, dispatch)
        sent = time.monotonic() - started
        wait_until(connection, _ALL_DELIVERED, dispatch)
        stop.set()
        watcher.join()
        p50, p99, longest = connection.execute(_DELAYS, (dispatch,)).fetchone()[0]  # type: ignore[index]  # one row
        total = connection.execute("SELECT total FROM dispatches WHERE id = %s", (dispatch,)).fetchone()[0]  # type: ignore[index]
    made.mitto.configure(receipts={"url": ""})
    seen.sort()
    return {
        "status_p50_s": float(p50),
        "status_p99_s": float(p99),
        "status_longest_s": float(longest),
        "seen_p50_s": seen[len(seen) // 2],
        "seen_p99_s": seen[int(len(seen) * 0.99)],
        "sent_meanwhile_per_second": total / sent,
    }


_NEWEST = """
SELECT r.id, p.message_id FROM receipts r JOIN provider_messages p USING (provider_message_id)
WHERE r.id > %s ORDER BY r.id DESC LIMIT 1
"""


def _watch(made: Ground, dispatch: int, stop: threading.Event, seen: list[float]) -> None:
    """Take the newest receipt, and look at its text until it says delivered; again and again."""
    last = 0
    with made.connect() as connection:
        while not stop.is_set():
            newest = connection.execute(_NEWEST, (last,)).fetchone()
            if newest is None:
                stop.wait(0.01)
                continue
            last, message = newest
            began = time.monotonic()
            while connection.execute("SELECT state FROM messages WHERE id = %s", (message,)).fetchone() != (
                "delivered",
            ):
                if stop.wait(0.01):
                    return
            seen.append(time.monotonic() - began)


def run(made: Ground, options: argparse.Namespace) -> dict[str, Any]:
    """All of it, one after the other."""
    found: dict[str, Any] = taken_in(made, options)
    for name in ("one_by_one", "arrays"):
        found[name]["accepted_per_second"] = found[name].pop("per_second")
    found["one_by_one"]["noop_per_second"] = found["noop"]["per_second"]
    found["one_by_one"]["ratio"] = round(found["one_by_one"]["accepted_per_second"] / found["noop"]["per_second"], 3)
    shop = create_shop_with(made, options.texts)
    queues = ("send", "send", "prepare", "receipts")
    with contextlib.ExitStack() as stack:
        port, web = stack.enter_context(gunicorn(made.environment, "wsgi:app"))
        workers = [stack.enter_context(working(made.environment, name)) for name in queues]
        wait_for_workers(len(queues))
        parts = {"web": web, "receipts_worker": workers[-1], "postgres": servers(made)["postgres"]}
        rounds, costs = [], []
        for _ in range(options.rounds):
            before = {name: cpu_seconds(process) for name, process in parts.items()}
            rounds.append(applied(made, shop, port, options))
            costs.append(
                {name: 1e6 * (cpu_seconds(process) - before[name]) / options.texts for name, process in parts.items()}
            )
        found |= medians(rounds)
        found["cpu_us_per_applied"] = medians(costs)
        found |= medians([soon(made, shop, port, options) for _ in range(options.rounds)])
    with made.connect() as connection:
        found["hot_updates"] = dict(connection.execute(_HOT).fetchall())
    return {**found, "rounds": options.rounds, "connections": options.connections}


_HOT = """
SELECT relname, round(n_tup_hot_upd::numeric / n_tup_upd, 3)::float FROM pg_stat_user_tables
WHERE relname IN ('messages', 'receipts', 'batches') AND n_tup_upd > 0
"""


@contextlib.contextmanager
def working(environment: dict[str, str], queue: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-m", "blossom.cli", "worker", "--queue", queue], env=environment)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.receipts")
    parser.add_argument(
        "--requests", type=int, default=5_000, help="one by one, a round; arrays hold ten times as many"
    )
    parser.add_argument("--connections", type=int, default=64, help="as many as gunicorn has threads")
    parser.add_argument("--texts", type=int, default=50_000, help="of the campaigns whose receipts are applied")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", metavar="NODE_MODULES", help="measure Express too: where `express` and `pg` are")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    with ground() as made:
        found = run(made, options)
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name:26} " + "  ".join(f"{key} {each:g}" for key, each in value.items()))
        else:
            print(f"{name:26} {value:g}")
    if options.json:
        print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()

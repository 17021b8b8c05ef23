"""What an installation takes up: connections, Redis memory, bytes a text in each table.

    .venv/bin/python -m benchmarks.footprint --recipients 100000

Starts what the Procfile starts, one after the other, sends a campaign, gives each text its receipt, and looks at the
servers in between. Prints one JSON object; docs/operations.md has the figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import orjson
import requests

from benchmarks.ground import Ground, ground
from benchmarks.pipeline import Merchant, send, wait_for_workers
from blossom.messaging import service
from blossom.mitto import payloads
from blossom.platform import clock, db, queue
from blossom.sandbox.demo.processes import CHECKOUT
from blossom.supervisor import GRACE_SECONDS

TABLES = ("messages", "provider_messages", "receipts", "batches", "attempts", "dispatches", "wallet_entries")
PEOPLE = ("contacts", "consents")
JOBS = 1_000
WEB_PORT = 48_711
REQUESTS = 400


@contextmanager
def running(ground: Ground, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *command], env=ground.environment, cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(GRACE_SECONDS + 2)


def connections(ground: Ground) -> int:
    """Of everybody but this process."""
    db.session.remove()
    db.engine().dispose()
    with ground.connect() as connection:
        [number] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone() or (0,)
    return int(number)


def redis_memory() -> dict[str, int]:
    found = queue.connection().info()
    return {"bytes": int(found["used_memory"]), "clients": int(found["connected_clients"])}


def a_job_waiting() -> int:
    """Bytes, of many that wait."""
    before = redis_memory()["bytes"]
    with db.transaction():
        for number in range(JOBS):
            queue.enqueue("messaging.prepare_dispatch", queue="prepare", shop_id=1, dispatch_id=10**9 + number)
    after = redis_memory()["bytes"]
    queue.rq_queue("prepare").empty()  # type: ignore[no-untyped-call]  # RQ's
    return round((after - before) / JOBS)


def keys() -> dict[str, int]:
    """Bytes of all keys of a kind."""
    found: dict[str, int] = {}
    for key in queue.connection().scan_iter():
        kind = key.decode().partition(":")[0]
        found[kind] = found.get(kind, 0) + int(queue.connection().memory_usage(key) or 0)
    return found


def confirm_all(ground: Ground, recipients: int) -> None:
    """A receipt for each text, in arrays of 200, and until the worker has applied them."""
    texts = [payloads.Receipt(text["messageId"], "Delivered", clock.now()) for text in ground.mitto.each_text()]
    for start in range(0, len(texts), 200):
        with db.transaction():
            service.store_receipts(texts[start : start + 200])
    with ground.connect() as connection:
        while connection.execute("SELECT count(*) FROM messages WHERE state = 'delivered'").fetchone() != (recipients,):
            time.sleep(0.5)


def table_sizes(ground: Ground) -> dict[str, dict[str, int]]:
    with ground.connect() as connection:
        return {
            table: dict(zip(("heap", "indexes"), sizes, strict=True))
            for table, *sizes in connection.execute(
                "SELECT name, pg_table_size(name::regclass), pg_indexes_size(name::regclass)"
                " FROM unnest(%s::text[]) AS name",
                ([*TABLES, *PEOPLE],),
            )
        }


def knock(path: str) -> int:
    return requests.get(f"http://127.0.0.1:{WEB_PORT}{path}", timeout=60).status_code


def wait_for_web() -> None:
    while True:
        try:
            if knock("/readyz") == 200:
                return
        except requests.RequestException:
            time.sleep(0.2)


def run(ground: Ground, recipients: int) -> dict[str, Any]:
    os.environ["NO_PROXY"] = "127.0.0.1"
    merchant = Merchant(ground, recipients, "bench.myshopify.com")
    empty = table_sizes(ground)
    found: dict[str, Any] = {"recipients": recipients, "redis_empty": redis_memory()}
    found["redis_bytes_of_a_waiting_job"] = a_job_waiting()
    with running(ground, "blossom.cli", "worker"):
        wait_for_workers(8)
        time.sleep(3)
        found["connections"] = {"worker_idle": connections(ground)}
        with running(ground, "blossom.cli", "clock"):
            time.sleep(12)  # every periodic job that is due within seconds has had its turn
            found["connections"]["worker_and_clock"] = connections(ground)
            found["redis_idle"] = redis_memory()
            with running(ground, "blossom.cli", "web", "--port", str(WEB_PORT)):
                wait_for_web()
                found["connections"]["and_web_idle"] = connections(ground)
                with ThreadPoolExecutor(64) as pool:
                    assert set(pool.map(knock, ["/readyz"] * REQUESTS)) == {200}
                found["connections"]["and_web_after_64_at_once"] = connections(ground)
                found["redis_with_web"] = redis_memory()
                send(merchant, merchant.plan())
                found["redis_after_sending"] = redis_memory()
                confirm_all(ground, recipients)
                found["connections"]["all_after_sending"] = connections(ground)
                found["redis_keys"] = keys()
    found["connections"]["after_the_end"] = connections(ground)
    with ground.connect() as connection:
        connection.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")
    full = table_sizes(ground)
    found["bytes_a_text"] = {
        table: {part: round((full[table][part] - empty[table][part]) / recipients, 1) for part in full[table]}
        for table in TABLES
    }
    found["bytes_a_person"] = {
        table: {part: round(size / recipients, 1) for part, size in full[table].items()} for table in PEOPLE
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    options = parser.parse_args()
    with ground() as made:
        print(orjson.dumps(run(made, options.recipients)).decode())


if __name__ == "__main__":
    main()

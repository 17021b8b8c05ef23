"""Click → all sent and recorded, beside the bare statements that any durable sender needs.

`python -m benchmarks.pipeline --recipients 100000 --workers 2 --json`: the last line is one JSON object.
`per_second` counts from the click to the last text's record, snapshot included; so does the limit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import threading
import time
from typing import Any

import orjson
import psutil
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.ground import Ground, cpu_seconds, create_shop_with, ground, servers
from blossom.messaging import queries, service
from blossom.platform import crypto, db
from blossom.segments.rules import Audience

TEXT = "Hi {{ first_name | default: 'there' }}, 20% off everything until Sunday. Reply STOP to opt out"
BATCH = 500


def run(ground: Ground, recipients: int, workers: int, rounds: int) -> dict[str, Any]:
    """The app's run and the limit's, and what each cost."""
    shop = create_shop_with(ground, recipients)
    limits = [bare(ground, shop.id, recipients, workers) for _ in range(rounds)]
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "blossom.cli", "worker", "--queue", name.split(":")[0]], env=ground.environment
        )
        for name in [*(f"send:{number}" for number in range(workers)), "prepare"]
    }
    watch = Watch([psutil.Process(process.pid) for process in processes.values()])
    try:
        wait_for_workers(len(processes))
        parts = {**servers(ground), "stand_in": psutil.Process(ground.mitto.pid)}
        results = []
        for _ in range(rounds):
            ground.mitto.reset()
            before = {name: cpu_seconds(process) for name, process in parts.items()}
            app_before = sum(cpu_seconds(psutil.Process(process.pid)) for process in processes.values())
            result = send(shop.id, recipients)
            result["cpu_seconds"] = {
                "app": round(sum(cpu_seconds(psutil.Process(p.pid)) for p in processes.values()) - app_before, 2),
                **{name: round(cpu_seconds(process) - before[name], 2) for name, process in parts.items()},
            }
            summary = ground.mitto.summary()
            assert (summary["texts"], summary["doubled"]) == (recipients, 0), summary
            results.append(result)
    finally:
        peak = watch.stop()
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()
    median = sorted(results, key=lambda result: result["per_second"])[len(results) // 2]
    limit = sorted(limits, key=lambda each: each["per_second"])[len(limits) // 2]
    return {
        "recipients": recipients,
        "workers": workers,
        "per_second": median["per_second"],
        "limit_per_second": limit["per_second"],
        "ratio_to_limit": round(median["per_second"] / limit["per_second"], 3),
        "snapshot_seconds": median["snapshot_seconds"],
        "snapshot_ratio": round(median["snapshot_seconds"] / limit["snapshot_seconds"], 2),
        "sending_per_second": median["sending_per_second"],
        "limit_sending_per_second": limit["sending_per_second"],
        "click_seconds": median["click_seconds"],
        "worker_peak_mb": peak,
        "cpu_seconds": median["cpu_seconds"],
        "rounds": rounds,
    }


def send(shop_id: int, recipients: int) -> dict[str, Any]:
    """One campaign through the app's own workers."""
    started = time.monotonic()
    with db.transaction():
        dispatch = service.start_dispatch(
            service.DispatchPlan(shop_id=shop_id, audience=Audience(everybody=True), source=TEXT, sender="Bench")
        )
    clicked = time.monotonic() - started
    prepared = None
    while True:
        with db.transaction():
            progress = queries.progress(shop_id, dispatch.id)
        if prepared is None and progress.started_at is not None:
            prepared = time.monotonic() - started
        if progress.finished_at is not None:
            break
        time.sleep(0.05)
    seconds = time.monotonic() - started
    assert progress.sent == recipients, progress
    prepared = prepared or seconds
    return {
        "per_second": round(recipients / seconds),
        "snapshot_seconds": round(prepared, 3),
        "sending_per_second": round(recipients / (seconds - prepared)),
        "click_seconds": round(clicked, 4),
    }


def bare(ground: Ground, shop_id: int, recipients: int, workers: int) -> dict[str, Any]:
    """The limit: one INSERT … SELECT, reading and decrypting, Liquid, the same calls, one UPDATE a batch."""
    ground.mitto.reset()
    with ground.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bare_messages")
        connection.execute(
            "CREATE TABLE bare_messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shop_id bigint NOT NULL,"
            " batch integer NOT NULL, contact_id bigint NOT NULL, phone_sealed bytea NOT NULL,"
            " phone_hash bytea NOT NULL, state text NOT NULL, provider_message_id text, segments smallint,"
            " created_at timestamptz NOT NULL, sent_at timestamptz, UNIQUE (shop_id, phone_hash))"
            " WITH (fillfactor = 55)"
        )
        connection.execute("CREATE INDEX ON bare_messages (batch)")
        started = time.monotonic()
        connection.execute(
            "INSERT INTO bare_messages (shop_id, batch, contact_id, phone_sealed, phone_hash, state, created_at)"
            " SELECT shop_id, (row_number() OVER (ORDER BY id) - 1) / %s, id, phone_sealed, phone_hash, 'pending',"
            " now()"
            " FROM contacts WHERE shop_id = %s",
            (BATCH, shop_id),
        )
        inserted = time.monotonic() - started
    with db.transaction():
        cipher = crypto.for_shop(shop_id)
    context = multiprocessing.get_context("spawn")
    batches = -(-recipients // BATCH)
    ready, go = context.Barrier(workers + 1), context.Event()
    lanes = [
        context.Process(
            target=bare_lane,
            args=(ground.plain_url, ground.mitto.url, data_key(cipher), shop_id, range(n, batches, workers), ready, go),
        )
        for n in range(workers)
    ]
    for lane in lanes:
        lane.start()
    ready.wait()
    sending_from = time.monotonic()
    go.set()
    for lane in lanes:
        lane.join()
    sending = time.monotonic() - sending_from
    assert ground.mitto.summary()["texts"] == recipients
    return {
        "per_second": round(recipients / (inserted + sending)),
        "snapshot_seconds": round(inserted, 3),
        "sending_per_second": round(recipients / sending),
    }


def data_key(cipher: crypto.ShopCipher) -> bytes:
    """The shop's current key, for a loop without the app."""
    with db.transaction() as session:
        row = session.get_one(crypto.ShopKey, cipher.current_key_id)
        return crypto._unwrap(row)


def bare_lane(url: str, mitto_url: str, key: bytes, shop_id: int, numbers: range, ready: Any, go: Any) -> None:
    import requests
    from liquid import Environment

    aead, template = AESGCM(key), Environment().from_string(TEXT)
    phone_aad, name_aad = f"{shop_id}:phone".encode(), f"{shop_id}:first_name".encode()
    http = requests.Session()
    with psycopg.connect(url, autocommit=True) as connection:
        ready.wait()
        go.wait()
        for number in numbers:
            rows = connection.execute(
                "SELECT m.id, m.phone_sealed, c.first_name_sealed FROM bare_messages m"
                " JOIN contacts c ON c.id = m.contact_id WHERE m.batch = %s ORDER BY m.id",
                (number,),
            ).fetchall()
            messages = [
                {
                    "trafficAccountId": "00000000-0000-0000-0000-000000000001",
                    "destination": aead.decrypt(phone[5:17], phone[17:], phone_aad).decode(),
                    "sms": {
                        "text": template.render(first_name=aead.decrypt(name[5:17], name[17:], name_aad).decode()),
                        "sender": "Bench",
                    },
                }
                for _, phone, name in rows
            ]
            answer = http.post(
                f"{mitto_url}/api/v1.1/Messages/sendmessagesbulk",
                data=orjson.dumps({"messages": messages}),
                headers={"X-Mitto-API-Key": "bench-key", "Content-Type": "application/json"},
                timeout=10,
            )
            ids = [entry["messageId"] for entry in orjson.loads(answer.content)["messages"]]
            connection.execute(
                "UPDATE bare_messages m SET state = 'sent', provider_message_id = v.p, segments = 1, sent_at = now()"
                " FROM unnest(%s::bigint[], %s::text[]) AS v(id, p) WHERE m.id = v.id",
                ([row[0] for row in rows], ids),
            )


class Watch:
    """The largest resident size of some processes, looked at ten times a second."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            for process in self._processes:
                try:
                    self._peak = max(self._peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    def stop(self) -> float:
        """The peak in MB (10^6 bytes)."""
        self._stop.set()
        self._thread.join()
        return round(self._peak / 1e6, 1)


def wait_for_workers(number: int) -> None:
    from rq import Worker

    from blossom.platform import queue

    while len(Worker.all(connection=queue.connection())) < number:
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="The median of so many is shown.")
    parser.add_argument("--json", action="store_true", help="Only the JSON object, as the last line.")
    arguments = parser.parse_args()
    with ground() as made:
        result = run(made, arguments.recipients, arguments.workers, arguments.rounds)
    if not arguments.json:
        for name, value in result.items():
            print(f"{name:26} {value}")
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()

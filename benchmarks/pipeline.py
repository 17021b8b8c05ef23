"""A campaign from its click to its last recorded text, beside the bare statements that any durable sender needs.

`python -m benchmarks.pipeline --recipients 100000 --workers 2 --json`: the last line is one JSON object, of medians.
Everything is on that is on for a shop: encryption, consent, caps, quiet hours, money, attempts and their manifests, the
durable database. The click is the API's own request; `per_second` counts from it to the last text's record, and so
does the limit's, from its INSERT … SELECT. Limit and app take turns, round by round. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import orjson
import psutil
from flask.testing import FlaskClient
from rq import Worker

from benchmarks import bare
from benchmarks.ground import Ground, cpu_seconds, create_shop_with, ground, servers
from blossom.campaigns import queries as plans
from blossom.campaigns import service as campaigns
from blossom.messaging import queries
from blossom.platform import db, queue
from blossom.segments.rules import Audience
from blossom.shops import service as shops

TEXT = "Hi {{ first_name | default: 'there' }}, 20% off everything until Sunday. Reply STOP to opt out"
FEW = 1_000
"""Recipients of the campaign with whose progress request the large one's is compared."""


class Merchant:
    """A shop, and a client of the API with its key."""

    def __init__(self, ground: Ground, people: int, domain: str) -> None:
        self.shop = create_shop_with(ground, people, domain)
        self.people = people
        with db.transaction():
            _, key = shops.create_api_key(
                self.shop.id, "bench", ["campaigns:read", "campaigns:write", "campaigns:send"]
            )
        self._headers = {"Authorization": f"Bearer {key}"}
        self._http: FlaskClient = ground.app.test_client()

    def plan(self) -> int:
        """A campaign to everybody, ready to be sent."""
        with db.transaction():
            campaign = campaigns.create_campaign(
                self.shop.id, name="Bench", body=TEXT, audience=Audience(everybody=True), actor="bench"
            )
            return campaign.id

    def enqueue(self, campaign_id: int) -> float:
        """Click; the seconds until the answer."""
        return self._timed("POST", f"/api/campaigns/{campaign_id}/enqueue")

    def look(self, campaign_id: int) -> float:
        """Ask for the progress; the seconds until the answer."""
        return self._timed("GET", f"/api/campaigns/{campaign_id}/progress")

    def _timed(self, method: str, path: str) -> float:
        started = time.perf_counter()
        answer = self._http.open(path, method=method, headers=self._headers)
        seconds = time.perf_counter() - started
        assert answer.status_code < 300, answer.text
        return seconds


def run(ground: Ground, recipients: int, workers: int, rounds: int) -> dict[str, Any]:
    """The app's runs and the limit's, and what each cost."""
    merchant = Merchant(ground, recipients, "bench.myshopify.com")
    small = Merchant(ground, FEW, "small.myshopify.com")
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "blossom.cli", "worker", "--queue", name.split(":")[0]], env=ground.environment
        )
        for name in [*(f"send:{number}" for number in range(workers)), "prepare"]
    }
    watch = Watch([psutil.Process(process.pid) for process in processes.values()])
    limits, results = [], []
    try:
        wait_for_workers(len(processes))
        few = small.plan()
        send(small, few)
        parts = {**servers(ground), "stand_in": psutil.Process(ground.mitto.pid)}
        for _ in range(rounds):
            limits.append(bare.measure(ground, merchant.shop.id, recipients, workers, TEXT))
            ground.mitto.reset()
            before = {name: cpu_seconds(process) for name, process in parts.items()}
            app_before = sum(cpu_seconds(psutil.Process(process.pid)) for process in processes.values())
            campaign = merchant.plan()
            result = send(merchant, campaign)
            result["cpu_seconds"] = {
                "app": round(sum(cpu_seconds(psutil.Process(p.pid)) for p in processes.values()) - app_before, 2),
                **{name: round(cpu_seconds(process) - before[name], 2) for name, process in parts.items()},
            }
            summary = ground.mitto.summary()
            assert (summary["texts"], summary["doubled"]) == (recipients, 0), summary
            result |= compare_progress(lambda: merchant.look(campaign), lambda: small.look(few))  # noqa: B023 -- at once
            results.append(result)
    finally:
        peak = watch.stop()
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()
    middle = {name: median(result[name] for result in results) for name in results[0] if name != "cpu_seconds"}
    limit = {name: median(each[name] for each in limits) for name in limits[0]}
    per_second = int(middle["per_second"])
    typical = min(results, key=lambda result: abs(result["per_second"] - per_second))
    return {
        "recipients": recipients,
        "workers": workers,
        "per_second": per_second,
        "limit_per_second": int(limit["per_second"]),
        "ratio_to_limit": round(
            median(a["per_second"] / b["per_second"] for a, b in zip(results, limits, strict=True)), 3
        ),
        "snapshot_ratio": round(
            median(a["snapshot_seconds"] / b["snapshot_seconds"] for a, b in zip(results, limits, strict=True)), 2
        ),
        "worker_peak_mb": peak,
        "cpu_seconds": typical["cpu_seconds"],
        "snapshot_seconds": round(middle["snapshot_seconds"], 3),
        "limit_snapshot_seconds": limit["snapshot_seconds"],
        "sending_per_second": int(middle["sending_per_second"]),
        "limit_sending_per_second": int(limit["sending_per_second"]),
        "click_seconds": round(middle["click_seconds"], 3),
        "progress_ms": round(middle["progress_ms"], 2),
        "progress_ratio": round(middle["progress_ratio"], 2),
        "rounds": rounds,
        "every_per_second": [result["per_second"] for result in results],
        "every_limit_per_second": [each["per_second"] for each in limits],
    }


def send(merchant: Merchant, campaign_id: int) -> dict[str, Any]:
    """One campaign through the app's own workers. `snapshot_seconds`: from the click's answer until texts may leave."""
    shop_id = merchant.shop.id
    started = time.monotonic()
    click = merchant.enqueue(campaign_id)
    clicked = time.monotonic()
    with db.transaction():
        dispatch_id = int(plans.get_campaign(shop_id, campaign_id).dispatch_id or 0)
    prepared = None
    while True:
        with db.transaction():
            progress = queries.progress(shop_id, dispatch_id)
        if prepared is None and progress.started_at is not None:
            prepared = time.monotonic()
        if progress.finished_at is not None:
            break
        time.sleep(0.005 if prepared is None else 0.05)
    ended = time.monotonic()
    assert progress.sent == merchant.people, progress
    prepared = prepared or ended
    return {
        "per_second": round(merchant.people / (ended - started)),
        "click_seconds": click,
        "snapshot_seconds": prepared - clicked,
        "sending_per_second": round(merchant.people / (ended - prepared)) if ended > prepared else 0,
    }


def compare_progress(look: Callable[[], float], look_at_few: Callable[[], float]) -> dict[str, float]:
    """The progress request of the large campaign and of the small one, in turn."""
    pairs = [(look(), look_at_few()) for _ in range(50)]
    large, small = (median(times) for times in zip(*pairs, strict=True))
    return {"progress_ms": large * 1000, "progress_ratio": large / small}


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
    while len(Worker.all(connection=queue.connection())) < number:
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="The median of so many is shown.")
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

"""How fast the stand-in of Mitto takes texts: it must not be what a benchmark of ours measures.

    .venv/bin/python -m benchmarks.stand_in --texts 200000 --batch 500

Posts prepared bytes from this process over one kept connection a thread, so that almost nothing but the stand-in
works, and prints one JSON object. `texts_per_stand_in_cpu_second` is the figure for one core: with every core busy
the wall clock also counts the poster.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import orjson

from blossom.sandbox.mitto.process import StandIn
from blossom.sandbox.mitto.provider import BULK_PATH

_ACCOUNT = "5998ea4a-1111-4222-8333-444455556666"
_TEXT = "Γεια σου Maria, your code is BLOOM20: 20% off until Sunday. https://blossom.example/s/a1B2c3 Reply STOP to end"


def bodies(texts: int, batch: int) -> list[bytes]:
    """The bulk calls for `texts` distinct numbers."""
    return [
        orjson.dumps(
            {
                "messages": [
                    {
                        "trafficAccountId": _ACCOUNT,
                        "destination": f"+3069{number:08d}",
                        "sms": {"text": f"{number} {_TEXT}", "sender": "Blossom"},
                    }
                    for number in range(start, min(start + batch, texts))
                ]
            }
        )
        for start in range(0, texts, batch)
    ]


def post_all(mitto: StandIn, prepared: list[bytes]) -> None:
    """Post each body on one connection; anything but a 200 is an error."""
    parts = urlsplit(mitto.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    headers = {"X-Mitto-API-Key": mitto.api_key, "Content-Type": "application/json"}
    for body in prepared:
        connection.request("POST", BULK_PATH, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the stand-in answered {answer.status}")
    connection.close()


def measure(texts: int, batch: int, threads: int, **behaviour: Any) -> dict[str, Any]:
    """One run against a fresh stand-in."""
    prepared = bodies(texts, batch)
    with StandIn.start(**behaviour) as mitto:
        idle_cpu = mitto.counters()["cpu_seconds"]
        started = time.perf_counter()
        posters = [threading.Thread(target=post_all, args=(mitto, prepared[each::threads])) for each in range(threads)]
        for poster in posters:
            poster.start()
        for poster in posters:
            poster.join()
        seconds = time.perf_counter() - started
        cpu = mitto.counters()["cpu_seconds"] - idle_cpu
        started = time.perf_counter()
        summary = mitto.summary()
        summary_seconds = time.perf_counter() - started
    if summary["texts"] != texts or summary["distinct_destinations"] != texts:
        raise SystemExit(f"the stand-in logged {summary['texts']} texts of {texts}")
    return {
        "texts": texts,
        "batch": batch,
        "threads": threads,
        "seconds": round(seconds, 3),
        "texts_per_second": round(texts / seconds),
        "stand_in_cpu_seconds": round(cpu, 3),
        "texts_per_stand_in_cpu_second": round(texts / cpu),
        "summary_seconds": round(summary_seconds, 3),
    }


def main() -> None:
    """Run once and print the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stand_in", description=__doc__)
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shares", action="store_true", help="with outcomes by share, which cost a hash a text")
    options = parser.parse_args()
    behaviour: dict[str, Any] = {}
    if options.shares:
        behaviour["outcomes"] = {"share": {"failed:DLR_001": 0.03, "expired": 0.01}}
    print(json.dumps(measure(options.texts, options.batch, options.threads, **behaviour)))


if __name__ == "__main__":
    main()

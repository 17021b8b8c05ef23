"""Shopify's webhooks: how many are taken in a second, how soon each is answered, and whether one is ever taken twice.

`python -m benchmarks.webhooks --json`: a table, and the last line is one JSON object. One web process (gunicorn as in
production), durable Postgres, every webhook sealed, stored and committed before its 200. What it is compared with, a
Flask route on the same gunicorn that checks the same signature and does nothing, is measured in the same rounds;
figures are medians of the rounds. Goals: 0.6 of that route, and at half of our own capacity a p99 under 100 ms.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import uuid
from typing import Any

import orjson
import psutil
import psycopg

from benchmarks import knocking
from benchmarks.ground import Ground, cpu_seconds, create_shop_with, ground, servers
from benchmarks.receipts import gunicorn, medians

SECRET = "bench-secret"
SHOP = "bench.myshopify.com"
WEBHOOK, NOOP = "/webhooks/shopify", "/noop/shopify"
DUPLICATES = 100

_HEAD = (
    b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nUser-Agent: Shopify-Captain-Hook\r\n"
    b"X-Shopify-Topic: customers/update\r\nX-Shopify-Shop-Domain: %s\r\nX-Shopify-API-Version: 2026-10\r\n"
    b"X-Shopify-Webhook-Id: %s\r\nX-Shopify-Event-Id: %s\r\nX-Shopify-Triggered-At: 2026-11-20T12:00:00.123456789Z\r\n"
    b"X-Shopify-Hmac-Sha256: %s\r\nContent-Length: %d\r\n\r\n%s"
)


def customer(number: int) -> bytes:
    """A payload of `customers/update`, as large as one with an address is (1.3 KB)."""
    address = {
        "id": number, "customer_id": number, "first_name": "Eleni", "last_name": "Papadopoulou", "company": None,
        "address1": "Ermou 12", "address2": "", "city": "Athens", "province": None, "country": "Greece", "zip": "10563",
        "phone": "+306984303406", "name": "Eleni Papadopoulou", "province_code": None, "country_code": "GR",
        "country_name": "Greece", "default": True,
    }  # fmt: skip
    return orjson.dumps(
        {
            "id": 7_000_000_000_000 + number, "created_at": "2026-01-02T03:04:05+02:00",
            "updated_at": "2026-11-20T12:00:00+02:00", "first_name": "Eleni", "last_name": "Papadopoulou",
            "orders_count": 3, "state": "disabled", "total_spent": "123.45", "last_order_id": number, "note": None,
            "verified_email": True, "multipass_identifier": None, "tax_exempt": False,
            "email": f"eleni{number}@example.com", "phone": "+306984303406", "currency": "EUR", "addresses": [address],
            "tax_exemptions": [], "admin_graphql_api_id": f"gid://shopify/Customer/{number}",
            "default_address": address,
        }
    )  # fmt: skip


def webhooks(path: str, number: int, *, same: bool = False) -> list[bytes]:
    """Signed requests with an id each; `same`: one request, so many times."""
    made = []
    for place in range(1 if same else number):
        body = customer(place)
        proof = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest())
        ids = [str(uuid.uuid4()).encode() for _ in range(2)]
        made.append(_HEAD % (path.encode(), SHOP.encode(), *ids, proof, len(body), body))
    return made * number if same else made


def repeated(path: str, number: int) -> list[bytes]:
    return webhooks(path, number, same=True)


class Server:
    """One server under test, and what a request costs it and Postgres."""

    def __init__(
        self, where: tuple[int, psutil.Process], path: str, postgres: psutil.Process, connections: int
    ) -> None:
        self._port, self._process = where
        self._path, self._postgres, self._connections = path, postgres, connections

    def take(self, number: int, per_second: float | None = None) -> dict[str, float]:
        before = cpu_seconds(self._process), cpu_seconds(self._postgres)
        knocked = knocking.knock(self._port, webhooks, (self._path, number), self._connections, per_second)
        spent = cpu_seconds(self._process) - before[0], cpu_seconds(self._postgres) - before[1]
        return {
            "per_second": knocked.per_second,
            "p50_ms": knocked.p50_ms,
            "p99_ms": knocked.p99_ms,
            "cpu_us_per_request": 1e6 * spent[0] / knocked.answered,
            "postgres_cpu_us_per_request": 1e6 * spent[1] / knocked.answered,
        }

    def take_one_many_times(self) -> None:
        knocking.knock(self._port, repeated, (self._path, DUPLICATES), DUPLICATES)


def run(made: Ground, options: argparse.Namespace) -> dict[str, Any]:
    create_shop_with(made, 0, SHOP)
    environment = {**made.environment, "SHOPIFY_API_KEY": "bench-key", "SHOPIFY_API_SECRET": SECRET}
    rounds: dict[str, list[dict[str, float]]] = {"noop": [], "webhooks": [], "at_half": []}
    with contextlib.ExitStack() as stack, made.connect() as connection:
        postgres = servers(made)["postgres"]
        web = Server(stack.enter_context(gunicorn(environment, "wsgi:app")), WEBHOOK, postgres, options.connections)
        noop = Server(
            stack.enter_context(gunicorn(environment, "benchmarks.peers.noop:app")), NOOP, postgres, options.connections
        )
        web.take(200)  # keys and plans are there, as in any process that is older than a second
        for _ in range(options.rounds):
            rounds["noop"].append(noop.take(options.requests))
            rounds["webhooks"].append(web.take(options.requests))
            half = rounds["webhooks"][-1]["per_second"] / 2
            rounds["at_half"].append(web.take(options.requests // 2, half))
        stored = _count(connection)
        web.take_one_many_times()
        events = _count(connection) - stored
    expected = 200 + options.rounds * (options.requests + options.requests // 2)
    if (stored, events) != (expected, 1):
        raise SystemExit(f"{stored} of {expected} were stored, and {events} of {DUPLICATES} duplicates")
    found: dict[str, Any] = {name: medians(each) for name, each in rounds.items()}
    ratio = found["webhooks"]["per_second"] / found["noop"]["per_second"]
    return {**found, "ratio": round(ratio, 3), "duplicates": DUPLICATES, "events_of_duplicates": events}


def _count(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM shopify_webhooks").fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.webhooks")
    parser.add_argument("--requests", type=int, default=5_000, help="a round")
    parser.add_argument("--connections", type=int, default=64, help="as many as gunicorn has threads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    with ground() as made:
        found = run(made, options)
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name:22} " + "  ".join(f"{key} {each:g}" for key, each in value.items()))
        else:
            print(f"{name:22} {value:g}")
    if options.json:
        print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()

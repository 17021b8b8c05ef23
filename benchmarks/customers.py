"""A shop's customers: how fast all of them are imported and in how much memory, and how many webhooks of them are
handled in a second.

`python -m benchmarks.customers --people 100000 1000000 --json`: tables, and the last line is one JSON object. Shopify
is its stand-in over HTTP, Postgres the embedded one, durable. An import is `blossom shop sync`, a process of its own,
whose peak memory (VmHWM) is the figure; its speed counts from the first line that is read to the commit of the last.
The **limit** is what any durable import needs, measured in the same run on the same export: its lines read over HTTP,
the same values sealed and hashed, and a chunk at a time the bare INSERT … ON CONFLICT into tables and indexes like
ours, without one question, foreign key, rule or note of progress. Goal: memory at a million no more than 1.2 of that at
a hundred thousand.

Webhooks: so many `customers/update` of different customers wait, and one worker handles them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg

from benchmarks.ground import Ground, cpu_seconds, ground, servers
from blossom.inbound import service as inbound
from blossom.inbound.rules.webhooks import Envelope
from blossom.platform import bulk, clock, config, crypto, db
from blossom.sandbox.shopify.process import StandIn
from blossom.shopify import documents
from blossom.shopify.client import ShopifyClient
from blossom.shops import service as shops

KEY, SECRET = "bench-key", "bench-secret"
CHUNK = 1_000  # as the import's
_POLL = 0.05


class Bench:
    """The app on its ground, connected to Shopify's stand-in; a shop for each measurement."""

    def __init__(self, made: Ground, shopify: StandIn) -> None:
        self.ground, self.shopify = made, shopify
        self.postgres = servers(made)["postgres"]
        self.environment = {
            **made.environment,
            "SHOPIFY_API_KEY": KEY,
            "SHOPIFY_API_SECRET": SECRET,
            "SHOPIFY_SHOP_URL": shopify.shop_url,
        }
        url = shopify.shop_url
        config.use(
            dataclasses.replace(
                config.current(), shopify_api_key=KEY, shopify_api_secrets=(SECRET,), shopify_shop_url=url
            )
        )

    def open_shop(self, domain: str, **fields: Any) -> int:
        """A new shop with the app in it; its id here."""
        self.shopify.open_shop(domain, country="GR", timezone="Europe/Athens", plan="enterprise", **fields)
        self.shopify.install(domain)
        return shops.install(domain, self.shopify.id_token(domain)).shop_id


def measure_import(bench: Bench, people: int) -> dict[str, Any]:
    """Import a crowd of so many; and the limit, on the same."""
    domain = f"crowd-{people}.myshopify.com"
    shop_id = bench.open_shop(domain, crowd=people)
    with contextlib.closing(shops.client(shop_id)) as client, bench.ground.connect() as connection:
        limit = _limit(client, connection, shop_id, _export(client))
    ours = _import(bench, domain, shop_id)
    assert ours["lines"] == people, ours
    assert ours["contacts"] == limit["contacts"], "the same people"
    return {"ours": ours, "limit": limit, "ratio": round(ours["per_second"] / limit["per_second"], 3)}


def _import(bench: Bench, domain: str, shop_id: int) -> dict[str, Any]:
    """By a process of its own, watched from outside."""
    command = [sys.executable, "-m", "blossom.cli", "shop", "sync", domain]
    process = subprocess.Popen(command, env=bench.environment, stdout=subprocess.PIPE)
    watched, peak, cpu, reads_from = psutil.Process(process.pid), 0, 0.0, 0.0
    with bench.ground.connect() as connection:
        while process.poll() is None:
            with contextlib.suppress(OSError, psutil.Error):
                peak, cpu = max(peak, _peak_memory(process.pid)), cpu_seconds(watched)
            if not reads_from and _state(connection, shop_id) == "reading":
                reads_from = time.monotonic()
            time.sleep(_POLL)
        seconds = time.monotonic() - reads_from
        contacts = _contacts(connection, shop_id)
    assert process.stdout is not None
    done = orjson.loads(process.stdout.read())
    assert (process.returncode, done["state"], done["refused"]) == (0, "completed", 0), done
    return {
        "lines": done["lines_read"],
        "contacts": contacts,
        "seconds": round(seconds, 1),
        "per_second": round(done["lines_read"] / seconds),
        "peak_mb": round(peak / 2**20, 1),
        "cpu_us": round(1e6 * cpu / done["lines_read"]),
    }


def _contacts(connection: psycopg.Connection, shop_id: int) -> int:
    row = connection.execute("SELECT count(*) FROM contacts WHERE shop_id = %s", (shop_id,)).fetchone()
    assert row is not None
    return int(row[0])


def _state(connection: psycopg.Connection, shop_id: int) -> str | None:
    row = connection.execute("SELECT state FROM customer_imports WHERE shop_id = %s", (shop_id,)).fetchone()
    return None if row is None else str(row[0])


def _peak_memory(pid: int) -> int:
    """Bytes that the process had in memory at the most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _export(client: ShopifyClient) -> str:
    """The address of an export of all customers."""
    wanted = documents.read("customers_bulk").text
    begun = client.run("bulk_operation_run_query", query=wanted)["bulkOperationRunQuery"]["bulkOperation"]["id"]
    while (export := client.run("bulk_operation", id=begun)["bulkOperation"])["status"] != "COMPLETED":
        time.sleep(0.2)
    return str(export["url"])


def _limit(client: ShopifyClient, connection: psycopg.Connection, shop_id: int, url: str) -> dict[str, Any]:
    for table in ("contacts", "consents", "consent_events"):
        connection.execute(f"DROP TABLE IF EXISTS bare_{table}")
        connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
    with db.transaction():
        cipher = crypto.for_shop(shop_id)
    read, started, lines = 0, time.monotonic(), iter(client.download(url))
    while several := list(islice(lines, CHUNK)):
        people, agreed = _bare_rows(cipher, several)
        with connection.transaction():
            connection.execute(_BARE_CONTACTS, {"shop": shop_id, "rows": bulk.json_rows(people)})
            connection.execute(_BARE_CONSENTS, {"shop": shop_id, "rows": bulk.json_rows(agreed)})
            connection.execute(_BARE_EVENTS, {"shop": shop_id, "rows": bulk.json_rows(agreed)})
        read += len(several)
    seconds = time.monotonic() - started
    row = connection.execute("SELECT count(*) FROM bare_contacts").fetchone()
    assert row is not None
    for table in ("contacts", "consents", "consent_events"):
        connection.execute(f"DROP TABLE bare_{table}")
    return {"contacts": row[0], "seconds": round(seconds, 1), "per_second": round(read / seconds)}


def _bare_rows(cipher: crypto.ShopCipher, lines: Sequence[bytes]) -> tuple[list[Any], list[Any]]:
    people, agreed = [], []
    for facts in map(orjson.loads, lines):
        number = facts["defaultPhoneNumber"]
        if number is None:
            continue
        phone, email = number["phoneNumber"], facts["defaultEmailAddress"]["emailAddress"]
        phone_hash = cipher.lookup(phone)
        people.append(
            {
                "phone_hash": phone_hash,
                "phone_sealed": cipher.seal(phone, "phone"),
                "email_sealed": cipher.seal(email, "email"),
                "email_hash": cipher.lookup(email),
                "first_name_sealed": cipher.seal(facts["firstName"], "first_name"),
                "last_name_sealed": cipher.seal(facts["lastName"], "last_name"),
                "fingerprint": cipher.lookup(repr(facts)),
                "customer_id": int(facts["id"].rpartition("/")[2]),
                "country": facts["defaultAddress"]["countryCodeV2"],
                "zone": facts["defaultAddress"]["timeZone"],
                "locale": facts["locale"],
                "tags": facts["tags"],
                "spent": int(float(facts["amountSpent"]["amount"]) * 100),
                "orders": int(facts["numberOfOrders"]),
                "at": facts["updatedAt"],
            }
        )
        if number["smsMarketingConsent"]["state"] == "SUBSCRIBED":
            agreed.append({"phone_hash": phone_hash, "at": number["smsMarketingConsent"]["updatedAt"]})
    return people, agreed


_BARE_CONTACTS = """
INSERT INTO bare_contacts (shop_id, phone_hash, phone_sealed, phone_country, email_sealed, email_hash,
    first_name_sealed, first_name_size, last_name_sealed, last_name_size, fingerprint, shopify_customer_id, country,
    zone, locale, tags, total_spent_minor, orders_count, created_at, updated_at, shopify_updated_at)
SELECT %(shop)s, decode(phone_hash, 'hex'), decode(phone_sealed, 'hex'), country, decode(email_sealed, 'hex'),
    decode(email_hash, 'hex'), decode(first_name_sealed, 'hex'), 6, decode(last_name_sealed, 'hex'), 5,
    decode(fingerprint, 'hex'), customer_id, country, zone, locale, tags, spent, orders, now(), now(), at
FROM json_to_recordset(CAST(%(rows)s AS json)) AS given(
    phone_hash text, phone_sealed text, email_sealed text, email_hash text, first_name_sealed text,
    last_name_sealed text, fingerprint text, customer_id bigint, country text, zone text, locale text, tags text[],
    spent bigint, orders integer, at timestamptz
)
ON CONFLICT (shop_id, phone_hash) DO UPDATE SET fingerprint = excluded.fingerprint
"""
_BARE_CONSENTS = """
INSERT INTO bare_consents (shop_id, phone_hash, state, changed_at, source)
SELECT %(shop)s, decode(phone_hash, 'hex'), 'opted_in', at, 'shopify'
FROM json_to_recordset(CAST(%(rows)s AS json)) AS given(phone_hash text, at timestamptz)
ON CONFLICT (shop_id, phone_hash) DO NOTHING
"""
_BARE_EVENTS = """
INSERT INTO bare_consent_events (shop_id, phone_hash, from_state, to_state, source, occurred_at, recorded_at)
SELECT %(shop)s, decode(phone_hash, 'hex'), 'never_subscribed', 'opted_in', 'shopify', at, now()
FROM json_to_recordset(CAST(%(rows)s AS json)) AS given(phone_hash text, at timestamptz)
"""


def measure_webhooks(bench: Bench, number: int) -> dict[str, Any]:
    """Have so many handled by this process, as a worker does; each customer once, all known before."""
    domain = "webhooks.myshopify.com"
    shop_id = bench.open_shop(domain)
    fields = [{"first_name": "Eleni", "phone": f"+30690{each:07}", "country": "GR"} for each in range(number)]
    found = bench.shopify.add_customers(domain, *fields)
    moment = clock.now()
    for person in found:
        body = {"id": person["id"], "updated_at": (moment - timedelta(days=1)).isoformat(timespec="seconds")}
        envelope = Envelope(domain, "customers/update", str(uuid.uuid4()), None, "2026-10", moment)
        inbound.accept_webhook(envelope, orjson.dumps(body))
    asked = len(bench.shopify.calls())
    us, cpu, postgres_cpu = psutil.Process(), cpu_seconds(psutil.Process()), cpu_seconds(bench.postgres)
    started = time.monotonic()
    handled = 0
    while several := inbound.handle_due(asks=True):
        handled += several
    seconds = time.monotonic() - started
    assert handled == number, handled
    with bench.ground.connect() as connection:
        assert _contacts(connection, shop_id) == number
    return {
        "webhooks": number,
        "per_second": round(number / seconds, 1),
        "questions": len(bench.shopify.calls()) - asked,
        "cpu_us": round(1e6 * (cpu_seconds(us) - cpu) / number),
        "postgres_cpu_us": round(1e6 * (cpu_seconds(bench.postgres) - postgres_cpu) / number),
    }


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(ground())
        shopify = stack.enter_context(StandIn.start(app={"api_key": KEY, "secret": SECRET}))
        yield Bench(made, shopify)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.customers")
    parser.add_argument("--people", type=int, nargs="*", default=[100_000], help="customers of each import")
    parser.add_argument("--webhooks", type=int, default=2_000, help="0: none")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, Any] = {"imports": {}}
    with bench() as made:
        if options.webhooks:
            found["webhooks"] = measure_webhooks(made, options.webhooks)
            _show("webhooks handled", found["webhooks"])
        for people in options.people:
            found["imports"][people] = measure_import(made, people)
            _show(f"import of {people:,}", found["imports"][people])
    peaks = [each["ours"]["peak_mb"] for each in found["imports"].values()]
    if len(peaks) > 1:
        found["memory_ratio"] = round(peaks[-1] / peaks[0], 3)
    if options.json:
        print(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS).decode())


def _show(name: str, figures: dict[str, Any]) -> None:
    print(f"\n{name}", flush=True)
    for key, value in figures.items():
        print(f"  {key:<20}{value}", flush=True)


if __name__ == "__main__":
    main()

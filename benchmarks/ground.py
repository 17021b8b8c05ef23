"""What the benchmarks stand on: embedded servers of their own, the stand-in, a shop with many people, CPU accounts."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import psycopg
from flask import Flask

from blossom.app import create_app
from blossom.platform import clock, crypto, db, gsm
from blossom.platform.config import Config
from blossom.platform.embedded import EmbeddedServices
from blossom.sandbox.mitto.process import StandIn
from blossom.schema import upgrade
from blossom.shops import service as shops
from blossom.shops.models import Shop
from blossom.wallet import service as wallet

NAMES = ("Eleni", "Nikos", "Maria", "Giorgos", "Sofia", "Alexandra", "Jo", "Konstantina", "Dimitris", "Anna")
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass
class Ground:
    app: Flask
    environment: dict[str, str]
    mitto: StandIn
    plain_url: str
    folder: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.plain_url, autocommit=True)


@contextmanager
def ground() -> Iterator[Ground]:
    """Durable embedded servers in a temporary folder, migrated; the stand-in; and the environment for processes."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="blossom-bench-"))
        services = stack.enter_context(EmbeddedServices.start(Path(folder)))
        mitto = stack.enter_context(StandIn.start(api_keys=["bench-key"]))
        environment = {
            **os.environ,
            "BLOSSOM_ENV": "development",
            "DATABASE_URL": str(services.database_url),
            "REDIS_URL": str(services.redis_url),
            "BLOSSOM_MASTER_KEYS": f"1:{MASTER_KEY}",
            "MITTO_API_URL": mitto.url,
            "MITTO_API_KEY": "bench-key",
            "MITTO_TRAFFIC_ACCOUNT_ID": "00000000-0000-0000-0000-000000000001",
            "MITTO_HMAC_SECRET": "bench-secret",
            "MITTO_TEXTS_PER_SECOND": "0",
            "LOG_LEVEL": "WARNING",
        }
        app = create_app(Config.from_environment(environment))
        stack.enter_context(app.app_context())
        upgrade()
        plain_url = str(services.database_url).replace("postgresql+psycopg://", "postgresql://")
        yield Ground(app, environment, mitto, plain_url, folder)
        db.session.remove()
        db.engine().dispose()


def create_shop_with(ground: Ground, people: int, domain: str = "bench.myshopify.com") -> Shop:
    """A shop with credits and `people` subscribers (sealed as in production). Its caps and quiet hours are on, so they
    are asked, and keep nobody from being texted: the caps are high, and the night begins in six hours."""
    night = clock.now().astimezone(ZoneInfo("Europe/Athens")) + timedelta(hours=6)
    with db.transaction():
        shop = shops.create_shop(
            domain=domain, name="Bench", sender="Bench", default_country="GR", quiet_hours_on=True,
            quiet_from=night.time(), quiet_until=(night + timedelta(hours=1)).time(), daily_cap=1_000, weekly_cap=1_000,
        )  # fmt: skip
        wallet.open_wallet(shop.id)
        wallet.top_up(shop.id, people * 1_000, "bench")
    with db.transaction():
        cipher = crypto.for_shop(shop.id)
    now = clock.now()
    with ground.connect() as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY contacts (shop_id, phone_sealed, phone_hash, phone_country, first_name_sealed, first_name_size,"
            " country, zone, created_at, updated_at) FROM STDIN"
        ) as copy:
            for number in range(people):
                phone, name = f"+3069{number:08d}", NAMES[number % len(NAMES)]
                copy.write_row(
                    (
                        shop.id, cipher.seal(phone, "phone"), cipher.lookup(phone), "GR",
                        cipher.seal(name, "first_name"), gsm.signed_size(name), "GR", "Europe/Athens", now, now,
                    )
                )  # fmt: skip
        cursor.execute(
            "INSERT INTO consents (shop_id, phone_hash, state, changed_at, source, contact_id)"
            " SELECT shop_id, phone_hash, 'opted_in', now(), 'import', id FROM contacts WHERE shop_id = %s",
            (shop.id,),
        )
        cursor.execute("ANALYZE contacts, consents")
    return shop


def cpu_seconds(of: psutil.Process) -> float:
    """CPU time of a process and its children so far."""
    spent = 0.0
    for process in (of, *of.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def servers(ground: Ground) -> dict[str, psutil.Process]:
    """The processes of Postgres and Valkey, found by the folder that they serve."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["name"] == "postgres" and " -D " in line and ground.folder in line:
            found["postgres"] = process
        if "valkey" in (process.info["name"] or "") and ground.folder in line:
            found["redis"] = process
    return found

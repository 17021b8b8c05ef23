"""The stand-in as a process of ours: start it, steer it, read what it saw.

with StandIn.start(app={"app_url": "http://app.test:5000"}, shops=[{"domain": "ours.myshopify.com"}]) as shopify:
    shopify.install("ours.myshopify.com")
    token = shopify.id_token("ours.myshopify.com")
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson

_START_SECONDS = 15.0
_STOP_SECONDS = 5.0


class StandInError(RuntimeError):
    """It didn't start, or refused what was asked of it."""


class StandIn:
    """A running stand-in. `url` is its base; `shop_url` is what SHOPIFY_SHOP_URL wants."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self._process = process

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        with_parent: bool = True,
        command: Sequence[str] = (sys.executable, "-m", "blossom.sandbox.shopify"),
        **configuration: Any,
    ) -> StandIn:
        """Start one with `app`, `hosts` and `shops` as `control.set_up` takes them, and wait until it listens.

        `with_parent`: it ends when this process does, however that ends.
        """
        with tempfile.TemporaryDirectory(prefix="shopify-") as folder:
            ready = Path(folder, "ready.json")
            config = Path(folder, "config.json")
            config.write_bytes(orjson.dumps(configuration))
            arguments = ["--port", str(port), "--ready-file", str(ready), "--config", str(config)]
            if with_parent:
                arguments += ["--parent", str(os.getpid())]
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module, no shell
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            return cls(_wait_for(ready, process), process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def shop_url(self) -> str:
        """Where a shop's admin is, with `{shop}` for its domain."""
        return f"{self.url}/shops/{{shop}}"

    def configure(self, **fields: Any) -> dict[str, Any]:
        """Change the app's configuration (`state.App`); as it is now."""
        return self._object("POST", "app", fields)

    def open_shop(self, domain: str, **fields: Any) -> dict[str, Any]:
        """Open a shop (`state.Shop`)."""
        return self._object("POST", "shops", {"domain": domain, **fields})

    def shop(self, domain: str) -> dict[str, Any]:
        """A shop as it stands."""
        return self._object("GET", f"shops/{domain}")

    def install(self, shop: str, scopes: Sequence[str] | None = None) -> dict[str, Any]:
        """What a merchant's click on “Install” does, or one that grants other scopes."""
        return self._object("POST", "install", {"shop": shop, "scopes": scopes})

    def uninstall(self, shop: str) -> None:
        """What a merchant's click on “Uninstall” does: tokens end, the app is told."""
        self._ask("POST", "uninstall", {"shop": shop})

    def redact_shop(self, shop: str) -> None:
        """What Shopify sends 48 hours after an uninstall."""
        self._ask("POST", "shop-redact", {"shop": shop})

    def add_customers(self, shop: str, *customers: dict[str, Any], webhooks: bool = False) -> list[dict[str, Any]]:
        """Customers of the given fields (`customers.Customer`; `consent` with those of `Consent`)."""
        given = {"shop": shop, "customers": customers, "webhooks": webhooks}
        return list(self._ask("POST", "customers", given))

    def act(self, shop: str, id: int, do: str, **given: Any) -> dict[str, Any]:
        """`update` or `consent` with `fields`, `delete`, `merge` with `other`, `redact`, `data_request`."""
        return self._object("POST", "customers/act", {"shop": shop, "id": id, "do": do, **given})

    def add_segments(self, shop: str, **queries: str) -> list[dict[str, Any]]:
        """Segments of the merchant's, by their names (`_` for a space) and queries (`segments.matcher`)."""
        made = [{"name": name.replace("_", " "), "query": query} for name, query in queries.items()]
        return list(self._ask("POST", "segments", {"shop": shop, "segments": made}))

    def act_on_segment(self, shop: str, id: int, do: str, **fields: str) -> dict[str, Any]:
        """`delete`, or `update` the `name` or `query`."""
        return self._object("POST", "segments/act", {"shop": shop, "id": id, "do": do, "fields": fields})

    def begin_checkout(self, shop: str, token: str | None = None, **checkout: Any) -> dict[str, Any]:
        """A shopper begins to buy (`orders.begin_checkout`), or with a `token` goes on with it."""
        return self._object("POST", "checkouts", {"shop": shop, "token": token, "checkout": checkout})

    def place_order(self, shop: str, token: str, *, paid: bool = True) -> dict[str, Any]:
        """The shopper buys."""
        return self._object("POST", "orders", {"shop": shop, "token": token, "paid": paid})

    def act_on_order(self, shop: str, id: int, do: str, **given: Any) -> dict[str, Any]:
        """`pay`, `cancel`, `fulfil` with `fields`, `ship` with `status`, `refund` with `amount`."""
        return self._object("POST", "orders/act", {"shop": shop, "id": id, "do": do, **given})

    def charge(self, shop: str, **charge: Any) -> dict[str, Any]:
        """A charge that the app asks for (`billing.create`); the merchant is sent to its `confirmation_url`."""
        return self._object("POST", "charges", {"shop": shop, "charge": charge})

    def fail(self, *faults: dict[str, Any], seed: int = 1) -> None:
        """Let calls suffer these faults (`faults.Fault`), and no others."""
        self._ask("POST", "faults", {"faults": faults, "seed": seed})

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """What the app asked for (`faults.Call`), in the order of the answers."""
        return list(self._ask("GET", f"calls?since={since}"))

    def behave_bulk(self, **behaviour: Any) -> None:
        """How bulk operations behave (`bulk.Behaviour`)."""
        self._ask("POST", "bulk", behaviour)

    def leave_points(self, shop: str, left: float) -> None:
        """Leave only so many points for GraphQL."""
        self._ask("POST", "points", {"shop": shop, "left": left})

    def send_webhook(self, shop: str, topic: str, payload: dict[str, Any], **given: Any) -> list[dict[str, Any]]:
        """Post one; `signature`, `webhook_id`, `event_id`, `late` are taken. As queued; none if the app wants none."""
        return list(self._ask("POST", "webhooks", {"shop": shop, "topic": topic, "payload": payload, **given}))

    def behave_webhooks(self, **behaviour: Any) -> None:
        """Change how webhooks behave (`deliveries.Behaviour`)."""
        self._ask("POST", "webhooks/behave", behaviour)

    def flush_webhooks(self) -> int:
        """Let go what is held; how many."""
        return int(self._object("POST", "webhooks/flush")["flushed"])

    def settle_webhooks(self, wait: float = 10.0) -> bool:
        """Wait until nothing is due or being posted; whether that came about."""
        return bool(self._object("POST", "webhooks/settle", {"wait": wait})["settled"])

    def webhooks(self) -> list[dict[str, Any]]:
        """What was sent to the app (`deliveries.Delivery`), and its answers."""
        return list(self._ask("GET", "webhooks"))

    def id_token(self, shop: str, **given: Any) -> str:
        """A session token, of the shop's owner by default; `staff` (an id) and `claims` are taken."""
        return str(self._object("POST", "id-token", {"shop": shop, **given})["id_token"])

    def advance(self, seconds: float) -> None:
        """Move Shopify's clock."""
        self._ask("POST", "clock", {"advance": seconds})

    def reset(self, **configuration: Any) -> None:
        """Forget all, and begin anew with `app`, `hosts` and `shops`."""
        self._ask("POST", "reset", configuration)

    def stop(self) -> None:
        """End it; it is gone when this returns."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _object(self, method: str, what: str, document: object = None) -> dict[str, Any]:
        answer = self._ask(method, what, document)
        assert isinstance(answer, dict)
        return answer

    def _ask(self, method: str, what: str, document: object = None) -> Any:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(method, f"/control/{what}", None if document is None else orjson.dumps(document))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise StandInError(f"{method} {what}: {answer.get('error')}")
        return answer


def _wait_for(ready: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if ready.exists():
            return str(orjson.loads(ready.read_bytes())["url"])
        if process.poll() is not None:
            raise StandInError(f"the stand-in ended with code {process.returncode}; see its stderr")
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise StandInError(f"the stand-in didn't listen within {_START_SECONDS:.0f} s")

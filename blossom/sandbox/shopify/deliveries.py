"""Webhooks on their way to the app: signed, posted, repeated until taken. Source: facts/shopify.md, “Webhooks”.

One second to connect, five in all; what isn't answered with 2xx comes again eight times within four hours of Shopify's
clock (`retry_scale` compresses that; moving the clock forward does, too). The body and the ids stay the same.
"""

from __future__ import annotations

import dataclasses
import heapq
import http.client
import itertools
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from blossom.sandbox.shopify import signing

if TYPE_CHECKING:
    from blossom.sandbox.shopify.state import App, Shop, State

COMPLIANCE = ("customers/data_request", "customers/redact", "shop/redact")
NEEDED_SCOPES = {
    "customers/merge": "read_customer_merge",
    "customers": "read_customers",
    "customers_marketing_consent": "read_customers",
    "orders": "read_orders",
    "refunds": "read_orders",
    "checkouts": "read_orders",
    "fulfillments": "read_fulfillments",
    "inventory_levels": "read_inventory",
    "products": "read_products",
}
"""What a shop must have granted, by topic or by what stands before its slash; other topics need nothing."""

_TELL_OF_PEOPLE = ("read_customers", "read_customer_merge", "read_orders", "read_fulfillments")
"""Scopes whose topics carry protected customer data, to which only an approved app can subscribe."""

SIGNATURES = ("", "wrong", "non_ascii", "missing")
ORDERS = ("in_order", "reversed", "shuffled")

RETRIES = tuple(56.0 * 2**number for number in range(8))
"""Seconds before each of the eight retries: four hours in all."""

_CONNECT_SECONDS = 1.0
_ALL_SECONDS = 5.0
_EXCERPT = 2_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How webhooks behave. `delay`: seconds, at least and at most. `hold`: nothing leaves until a flush, in `order`.

    Shares are of webhooks: `doubled` is posted twice, with the same ids; `forged` is followed by one more with a wrong
    signature; `lost` never leaves. `connections` post at once; with 1 the order is kept on the wire.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    hold: bool = False
    order: str = "in_order"
    doubled: float = 0.0
    forged: float = 0.0
    lost: float = 0.0
    retry_scale: float = 1.0
    connections: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order is one of {', '.join(ORDERS)}")
        if not 1 <= self.connections <= 32:
            raise ValueError("connections is 1 to 32")


@dataclass
class Delivery:
    """A webhook with what became of it. `statuses`: the app's answer to each post, 0 for none in time."""

    webhook_id: str
    event_id: str
    topic: str
    shop: str
    address: str
    triggered_at: datetime
    body: bytes
    signature: str = ""
    due_at: datetime | None = None
    statuses: list[int] = field(default_factory=list)
    answer: str = ""
    state: str = "waiting"  # held, waiting, posting, delivered, refused (forged ones), abandoned, lost

    def described(self) -> dict[str, Any]:
        """For the log; the body as a document."""
        shown = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {**shown, "body": orjson.loads(self.body)}


class Deliveries:
    """The queue, and the threads that post. Whoever calls holds the state's lock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changed = threading.Condition(state.lock)
        self._threads = 0
        self._posting = 0
        self._numbers = itertools.count()
        with state.lock:
            self.clear()

    def clear(self) -> None:
        """Forget all; posts on the wire end by themselves."""
        self.all: list[Delivery] = []
        self._waiting: list[tuple[datetime, int, Delivery]] = []  # a heap
        self.behave(Behaviour())

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on. Held ones leave if `hold` has ended."""
        self.behaviour = behaviour
        self._random = random.Random(behaviour.seed)
        if not behaviour.hold:
            self.flush()

    def emit(
        self, shop: Shop, topic: str, document: dict[str, Any], *, signature: str = "", **fields: Any
    ) -> list[Delivery]:
        """Send a webhook to the app, if it wants the topic, is installed (compliance topics come after that, too), was
        granted the topic's scope, and is approved for protected customer data where the topic carries such.

        `signature`: one of SIGNATURES, for one that the app must refuse. `fields` replace those of `Delivery`, so that
        one can be sent again, or late. The deliveries: none, one, or with a double or a forgery two.
        """
        if signature not in SIGNATURES:
            raise ValueError(f"signature is one of {', '.join(each or repr('') for each in SIGNATURES)}")
        app = self._state.app
        asked_for = not app.webhook_topics or topic in app.webhook_topics or topic in COMPLIANCE
        if not app.webhook_url or not asked_for or not _may_be_sent(app, shop, topic):
            return []
        now = self._state.now()
        body = orjson.dumps(document)
        first = Delivery(
            str(uuid.uuid4()), str(uuid.uuid4()), topic, shop.domain, app.webhook_url, now, body, signature
        )
        first = dataclasses.replace(first, **fields)
        more = []
        if not signature:
            if self._random.random() < self.behaviour.lost:
                first.state = "lost"
            if self._random.random() < self.behaviour.doubled:
                more.append(dataclasses.replace(first, statuses=[]))
            if self._random.random() < self.behaviour.forged:
                more.append(dataclasses.replace(first, webhook_id=str(uuid.uuid4()), signature="wrong", statuses=[]))
        for delivery in (first, *more):
            self._add(delivery, now)
        return [first, *more]

    def flush(self) -> int:
        """Let go what is held, in the behaviour's order; how many."""
        held = [each for each in self.all if each.state == "held"]
        if self.behaviour.order == "reversed":
            held.reverse()
        elif self.behaviour.order == "shuffled":
            self._random.shuffle(held)
        for place, delivery in enumerate(held):
            self._put(delivery, self._state.now() + timedelta(microseconds=place))
        self._start()
        return len(held)

    @property
    def unfinished(self) -> int:
        """Those that will still be posted."""
        return self._posting + len(self._waiting)

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is due or being posted; whether that came about. Retries and held ones aren't due."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy(), seconds)

    def _busy(self) -> bool:
        return self._posting > 0 or (bool(self._waiting) and self._waiting[0][0] <= self._state.now())

    def _add(self, delivery: Delivery, now: datetime) -> None:
        self.all.append(delivery)
        if delivery.state == "lost":
            return
        if self.behaviour.hold:
            delivery.state = "held"
        else:
            self._put(delivery, now + timedelta(seconds=self._random.uniform(*self.behaviour.delay)))
            self._start()

    def _put(self, delivery: Delivery, due_at: datetime) -> None:
        delivery.state, delivery.due_at = "waiting", due_at
        heapq.heappush(self._waiting, (due_at, next(self._numbers), delivery))

    def wake(self) -> None:
        """Look again at what is due: the clock has moved."""
        self._changed.notify_all()

    def _start(self) -> None:
        while self._threads < self.behaviour.connections:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()
        self._changed.notify_all()

    def _work(self) -> None:
        with self._changed:
            while self._threads <= self.behaviour.connections:
                delivery = self._next()
                if delivery is None:
                    continue
                delivery.state = "posting"
                self._posting += 1
                secret, version = self._state.app.secret, self._state.app.api_version
                self._changed.release()
                try:
                    status, answer = post(delivery, secret, version)
                finally:
                    self._changed.acquire()
                self._posting -= 1
                self._ended(delivery, status, answer)
                self._changed.notify_all()
            self._threads -= 1

    def _next(self) -> Delivery | None:
        """The one that is due first; None after waiting for one."""
        if not self._waiting:
            self._changed.wait()
            return None
        pause = (self._waiting[0][0] - self._state.now()).total_seconds()
        if pause > 0:
            self._changed.wait(min(pause, 3600.0))
            return None
        return heapq.heappop(self._waiting)[2]

    def _ended(self, delivery: Delivery, status: int, answer: str) -> None:
        delivery.statuses.append(status)
        delivery.answer = answer
        tries = len(delivery.statuses)
        if 200 <= status < 300:
            delivery.state = "delivered"
        elif delivery.signature:
            delivery.state = "refused"
        elif tries > len(RETRIES):
            delivery.state = "abandoned"
        else:
            pause = RETRIES[tries - 1] * self.behaviour.retry_scale
            self._put(delivery, self._state.now() + timedelta(seconds=pause))


def _may_be_sent(app: App, shop: Shop, topic: str) -> bool:
    if topic in (*COMPLIANCE, "app/uninstalled"):
        return True
    scope = NEEDED_SCOPES.get(topic) or NEEDED_SCOPES.get(topic.partition("/")[0])
    if shop.installation is None or (scope in _TELL_OF_PEOPLE and "customers" not in app.protected_data):
        return False
    return scope is None or scope in shop.installation.scopes


def post(delivery: Delivery, secret: str, version: str) -> tuple[int, str]:
    """Post it once. The status, 0 if there was none in time, and the beginning of the answer."""
    parts = urlsplit(delivery.address)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Shopify-Captain-Hook",
        "X-Shopify-Topic": delivery.topic,
        "X-Shopify-Shop-Domain": delivery.shop,
        "X-Shopify-API-Version": version,
        "X-Shopify-Webhook-Id": delivery.webhook_id,
        "X-Shopify-Event-Id": delivery.event_id,
        "X-Shopify-Triggered-At": f"{delivery.triggered_at:%Y-%m-%dT%H:%M:%S.%f}000Z",  # in nanoseconds, as Shopify's
        **_proof(delivery, secret),
    }
    deadline = time.monotonic() + _ALL_SECONDS
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
        connection.request("POST", parts.path or "/", delivery.body, headers)
        connection.sock.settimeout(max(0.01, deadline - time.monotonic()))
        response = connection.getresponse()
        answer = response.read(_EXCERPT).decode("utf-8", "replace")
        return (response.status, answer) if time.monotonic() <= deadline else (0, "")  # it came in drops
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _proof(delivery: Delivery, secret: str) -> dict[str, str]:
    name = "X-Shopify-Hmac-Sha256"
    if delivery.signature == "missing":
        return {}
    if delivery.signature == "non_ascii":
        return {name: "Σ".encode().decode("latin-1") + "ÿ" * 42}  # http.client sends it as latin-1
    if delivery.signature == "wrong":
        return {name: signing.webhook_hmac(delivery.body, f"not {secret}")}
    return {name: signing.webhook_hmac(delivery.body, secret)}

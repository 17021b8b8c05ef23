"""All that the stand-in knows, in memory, behind one lock (`State.lock`).

Whoever reads or writes anything in here holds the lock; nobody holds it while waiting for the network. `State` has
the clock, which can be moved, and the shops by their domain. Domains are `x.myshopify.com` throughout; only the
browser's addresses of the admin and of storefronts differ (`Hosts`).
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from blossom.sandbox.shopify import payloads, signing
from blossom.sandbox.shopify.billing import Charge
from blossom.sandbox.shopify.bulk import BulkOperations
from blossom.sandbox.shopify.cost import Bucket
from blossom.sandbox.shopify.customers import Customer
from blossom.sandbox.shopify.deliveries import Deliveries
from blossom.sandbox.shopify.faults import Call, Faults
from blossom.sandbox.shopify.segments import Segment
from blossom.sandbox.shopify.tokens import Tokens

PROTECTED_DATA = ("customers", "name", "email", "phone", "address")
"""Protected customer data: level 1, and the fields of level 2. `App.protected_data` names what the app may see."""

SCOPES = (
    "read_customers",
    "write_customers",
    "read_customer_merge",
    "read_orders",
    "read_fulfillments",
    "read_products",
    "read_inventory",
)
"""What an app asks for that wants to hear of all that happens here."""

_ID_TOKEN_SECONDS = 60


@dataclass
class App:
    """The app as Shopify's dashboard and `shopify.app.toml` have it. Addresses are bases without a slash at their end.

    `scopes`: asked for at install. `expiring_tokens_only`: refuse a token exchange without `expiring=1`, as new public
    apps are refused. `refresh_retries`: a refresh token may be used again until its replacement is used, as Shopify has
    allowed since August 2026; by default it is good once, so that nothing leans on that.
    """

    api_key: str = "stand-in-api-key"
    secret: str = "stand-in-secret"  # noqa: S105  the stand-in's own
    handle: str = "blossom"
    name: str = "Blossom"
    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    api_version: str = "2026-10"
    app_url: str = ""
    redirect_urls: list[str] = field(default_factory=list)
    webhook_url: str = ""
    webhook_topics: list[str] = field(default_factory=list)
    proxy_url: str = ""
    proxy_prefix: str = "apps"
    proxy_subpath: str = "blossom"
    protected_data: list[str] = field(default_factory=lambda: list(PROTECTED_DATA))
    expiring_tokens_only: bool = True
    refresh_retries: bool = False


@dataclass(frozen=True)
class Hosts:
    """Where a browser finds the admin, and below what the shops' own sites. Below `localhost` no resolver is needed."""

    admin: str = "admin.shopify.test"
    storefronts: str = "storefront.test"


@dataclass
class Staff:
    """A person who works in the admin. `scopes`: None for all that the app has, else what the person may use."""

    id: int
    first_name: str
    last_name: str = "Example"
    email: str = ""
    account_owner: bool = False
    locale: str = "en"
    scopes: list[str] | None = None


@dataclass
class Installation:
    """The app in a shop, from install to uninstall. `scopes` are those granted."""

    id: int
    scopes: list[str]
    installed_at: datetime


@dataclass
class Shop:
    """A store. `customers` by id, and `crowd` more in exports only (`customers.of_crowd`); `orders`, `checkouts`:
    documents as webhooks carry them, by id and by token. `discounts`: code, in capitals → hundredths off an order.
    `segments` by id, in the order of their making.
    """

    id: int
    domain: str
    name: str = "Example"
    email: str = "owner@example.com"
    currency: str = "EUR"
    country: str = "GR"
    timezone: str = "Europe/Athens"
    locale: str = "en"
    plan: str = "basic"
    development: bool = True
    consent_at_checkout: bool = True
    crowd: int = 0
    discounts: dict[str, int] = field(default_factory=dict)
    staff: list[Staff] = field(default_factory=list)
    installation: Installation | None = None
    customers: dict[int, Customer] = field(default_factory=dict)
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    checkouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    charges: dict[int, Charge] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    bucket: Bucket = field(init=False)
    _reached_by: dict[tuple[str, str], Customer] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket.of_plan(self.plan)

    @property
    def handle(self) -> str:
        """`x` of `x.myshopify.com`."""
        return self.domain.partition(".")[0]

    def reached_by(self, name: str, value: str) -> Customer | None:
        """The customer with this `phone` or `email` (in any case)."""
        person = self._reached_by.get((name, value.lower()))
        if person is None or self.customers.get(person.id) is not person:
            return None
        return person if (getattr(person, name) or "").lower() == value.lower() else None

    def note_reach(self, person: Customer) -> None:
        """Find this customer by what it is reached by now. What it was reached by before needs no word."""
        for name in ("phone", "email"):
            if value := getattr(person, name):
                self._reached_by[name, value.lower()] = person

    def staff_member(self, id: int | None = None) -> Staff:
        """The one with this id; by default the owner. LookupError if there is none."""
        for member in self.staff:
            if member.id == id or (id is None and member.account_owner):
                return member
        raise LookupError(f"{self.domain} has no such staff member")


class State:
    """The stand-in's memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.own_url = ""
        self.hosts = Hosts()
        self._offset = timedelta()
        self._numbers = itertools.count(1)
        self.app = App()
        self.shops: dict[str, Shop] = {}
        self.tokens = Tokens()
        self.faults = Faults()
        self.calls: list[Call] = []
        self.deliveries = Deliveries(self)
        self.bulk = BulkOperations(self)

    def reset(self) -> None:
        """Forget all: shops, tokens, faults, what was asked and posted. The clock goes right again."""
        with self.lock:
            self.app = App()
            self.hosts = Hosts()
            self.shops.clear()
            self.tokens = Tokens()
            self.faults = Faults()
            self.calls.clear()
            self.deliveries.clear()
            self.bulk.clear()
            self.move_clock(-self._offset)

    def now(self) -> datetime:
        """Shopify's time."""
        return datetime.now(UTC) + self._offset

    def move_clock(self, by: timedelta) -> None:
        """Let time jump; who waits for a time is woken."""
        with self.lock:
            self._offset += by
            self.deliveries.wake()

    def next_id(self) -> int:
        """An id that nothing else has, as long as Shopify's are."""
        return 7_000_000_000_000 + next(self._numbers)

    def add_shop(self, domain: str, **fields: Any) -> Shop:
        """Open a shop with an owner. ValueError if there is one of this name, or for a plan that isn't."""
        with self.lock:
            if domain in self.shops:
                raise ValueError(f"there is a shop {domain}")
            shop = Shop(self.next_id(), domain, **fields)
            if not shop.staff:
                shop.staff.append(Staff(self.next_id(), "Olga", email=shop.email, account_owner=True))
            self.shops[domain] = shop
            return shop

    def add_segment(self, shop: Shop, name: str, query: str) -> Segment:
        """A segment of the merchant's. ValueError for a query that can't be read, or a name that another one has."""
        with self.lock:
            if any(each.name == name for each in shop.segments.values()):
                raise ValueError("Name has already been taken")
            made = Segment(self.next_id(), name, query)
            shop.segments[made.id] = made
            return made

    @property
    def admin_url(self) -> str:
        """Where a browser finds the admin."""
        return f"http://{self.hosts.admin}:{urlsplit(self.own_url).port}"

    def storefront_url(self, shop: Shop) -> str:
        """Where a browser finds the shop's own site."""
        return f"http://{shop.handle}.{self.hosts.storefronts}:{urlsplit(self.own_url).port}"

    def shop_at(self, host: str) -> Shop | None:
        """The shop whose own site this Host names (a port is ignored)."""
        name = host.partition(":")[0].lower()
        with self.lock:
            return next(
                (shop for shop in self.shops.values() if name == f"{shop.handle}.{self.hosts.storefronts}"), None
            )

    def install(self, shop: Shop, scopes: list[str] | None = None) -> Installation:
        """Put the app into the shop, or grant it other scopes (tokens get them when they are renewed). By default all
        that it asks for."""
        with self.lock:
            granted = sorted(scopes if scopes is not None else self.app.scopes)
            if shop.installation is None:
                shop.installation = Installation(self.next_id(), granted, self.now())
            elif shop.installation.scopes != granted:
                previous, shop.installation.scopes = shop.installation.scopes, granted
                self.deliveries.emit(
                    shop,
                    "app/scopes_update",
                    {
                        "id": shop.installation.id,
                        "previous": previous,
                        "current": granted,
                        "updated_at": payloads.time(self.now(), shop.timezone),
                    },
                )
            return shop.installation

    def uninstall(self, shop: Shop) -> None:
        """Take the app out: its tokens end, and it is told so. `shop/redact` follows in 48 hours, when asked for."""
        with self.lock:
            if shop.installation is not None:
                shop.installation = None
                self.tokens.revoke_all(shop.domain)
                about = {"name": shop.name, "email": shop.email, "iana_timezone": shop.timezone}
                self.deliveries.emit(shop, "app/uninstalled", payloads.shop(shop.id, shop.domain, about))

    def id_token(self, shop: Shop, staff: Staff | None = None, **claims: Any) -> str:
        """A session token as App Bridge gives it, good for a minute; `claims` replace its own (None leaves one out)."""
        with self.lock:
            member = staff or shop.staff_member()
            now = int(self.now().timestamp())
            return signing.id_token(
                self.app.secret,
                {
                    "iss": f"https://{shop.domain}/admin",
                    "dest": f"https://{shop.domain}",
                    "aud": self.app.api_key,
                    "sub": str(member.id),
                    "exp": now + _ID_TOKEN_SECONDS,
                    "nbf": now,
                    "iat": now,
                    "jti": signing.random_id(),
                    "sid": signing.random_id(),
                    **claims,
                },
            )

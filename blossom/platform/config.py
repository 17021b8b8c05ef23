"""All settings, read from the environment once, at start. Nothing else in Blossom reads the environment.

`Config.from_environment()` collects every fault before it fails, so that one start tells all that is wrong.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENTS = ("development", "test", "production")


class ConfigError(Exception):
    """The environment can't be used; the message lists all that is wrong, a line each."""


@dataclass(frozen=True)
class Config:
    """The settings. Units stand in the names or behind the field."""

    environment: str = "development"
    # None: the embedded Postgres and Valkey, started by ourselves in `data_folder`.
    database_url: str | None = field(default=None, repr=False)  # with its password
    redis_url: str | None = field(default=None, repr=False)
    data_folder: Path | None = None
    database_pool_size: int = 5  # connections a process keeps; as many again may overflow for a moment
    # Wraps the shops' data keys. Id → 32 bytes; the first is used for new wraps, the others only to unwrap.
    master_keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    app_url: str = "http://127.0.0.1:5000"
    log_level: str = "INFO"

    mitto_api_url: str = "https://messaging.mittoapi.com"
    mitto_api_key: str = field(default="", repr=False)
    mitto_traffic_account_id: str = ""
    mitto_batch_size: int = 500  # texts a bulk call
    mitto_timeout_seconds: float = 10.0
    mitto_hmac_secrets: tuple[str, ...] = field(default=(), repr=False)  # several during a rotation
    mitto_webhook_tokens: tuple[str, ...] = field(default=(), repr=False)
    mitto_texts_per_second: int = 100  # a traffic account; 0: no limit of ours
    shop_texts_per_second: int = 0  # a shop; 0: no limit of ours

    # Shopify's: all of them or none. Without `shopify_api_key` the app has API keys and passes only, and no route of
    # Shopify's.
    shopify_api_key: str = ""  # the app's client id
    shopify_api_secrets: tuple[str, ...] = field(default=(), repr=False)  # the first signs; all verify
    shopify_api_version: str = "2026-10"
    shopify_scopes: tuple[str, ...] = (
        "read_customers",
        "write_customers",
        "read_customer_merge",  # without it nobody tells us that two customers became one
        "read_orders",
        "read_fulfillments",
        "read_products",
        "read_inventory",
        "read_discounts",
        "write_discounts",
    )
    shopify_shop_url: str = "https://{shop}"  # {shop}: the myshopify domain
    shopify_admin_url: str = "https://admin.shopify.com"
    shopify_app_bridge_url: str = "https://cdn.shopify.com/shopifycloud/app-bridge.js"
    shopify_timeout_seconds: float = 10.0  # of one call

    operator_shops: tuple[str, ...] = ()  # whose staff see the whole installation's queue

    lane_seconds: float = 10.0  # a lane hands its worker back after this, so that others get a turn
    lanes: int = 2  # sending workers started by `blossom worker`
    lane_threads: int = 2  # batches that each has in hand at once: while one is called for, another is composed
    attempt_lease_seconds: int = 90  # an open attempt older than this has lost its worker
    unconfirmed_hours: int = 24
    stalled_minutes: int = 15
    reservation_hours: int = 24
    message_validity_hours: int = 48
    dispatch_max_backoff_seconds: int = 300

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read and check every setting. Raises `ConfigError` that lists all faults at once."""
        reader = _Reader(os.environ if environ is None else environ)
        config = reader.read()
        faults = reader.faults + _contradictions(config)
        if faults:
            raise ConfigError("Blossom can't start:\n" + "\n".join(f"- {fault}" for fault in faults))
        return config


_current: Config | None = None


def use(config: Config) -> None:
    """Make `config` this process's settings (done once, by `create_app`)."""
    global _current
    _current = config


def current() -> Config:
    """This process's settings."""
    if _current is None:
        raise RuntimeError("no settings yet: create_app(config) names them")
    return _current


class _Reader:
    """Turns environment strings into typed values and remembers what could not be turned."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []

    def read(self) -> Config:
        defaults = {f.name: f.default for f in fields(Config)}
        table: dict[str, tuple[str, Callable[[str], object]]] = {
            "environment": ("BLOSSOM_ENV", _one_of(ENVIRONMENTS)),
            "database_url": ("DATABASE_URL", _database_url),
            "redis_url": ("REDIS_URL", _url("redis", "rediss", "unix")),
            "data_folder": ("BLOSSOM_DATA", Path),
            "database_pool_size": ("DATABASE_POOL_SIZE", _at_least(1)),
            "master_keys": ("BLOSSOM_MASTER_KEYS", _master_keys),
            "app_url": ("BLOSSOM_URL", _url("http", "https")),
            "log_level": ("LOG_LEVEL", _one_of(("DEBUG", "INFO", "WARNING", "ERROR"))),
            "mitto_api_url": ("MITTO_API_URL", _url("http", "https")),
            "mitto_api_key": ("MITTO_API_KEY", str),
            "mitto_traffic_account_id": ("MITTO_TRAFFIC_ACCOUNT_ID", str),
            "mitto_batch_size": ("MITTO_BATCH_SIZE", lambda raw: _whole_number(raw, 1, 1000)),
            "mitto_timeout_seconds": ("MITTO_TIMEOUT_SECONDS", _seconds),
            "mitto_hmac_secrets": ("MITTO_HMAC_SECRET", _several),
            "mitto_webhook_tokens": ("MITTO_WEBHOOK_TOKEN", _several),
            "mitto_texts_per_second": ("MITTO_TEXTS_PER_SECOND", _at_least(0)),
            "shop_texts_per_second": ("SHOP_TEXTS_PER_SECOND", _at_least(0)),
            "shopify_api_key": ("SHOPIFY_API_KEY", _client_id),
            "shopify_api_secrets": ("SHOPIFY_API_SECRET", _several),
            "shopify_api_version": ("SHOPIFY_API_VERSION", _api_version),
            "shopify_scopes": ("SHOPIFY_SCOPES", _several),
            "shopify_shop_url": ("SHOPIFY_SHOP_URL", _shop_url),
            "shopify_admin_url": ("SHOPIFY_ADMIN_URL", _url("http", "https")),
            "shopify_app_bridge_url": ("SHOPIFY_APP_BRIDGE_URL", _url("http", "https")),
            "shopify_timeout_seconds": ("SHOPIFY_TIMEOUT_SECONDS", _seconds),
            "operator_shops": ("BLOSSOM_OPERATOR_SHOPS", _shops),
            "lane_seconds": ("BLOSSOM_LANE_SECONDS", _seconds),
            "lanes": ("BLOSSOM_LANES", _at_least(1)),
            "lane_threads": ("BLOSSOM_LANE_THREADS", _at_least(1)),
            "attempt_lease_seconds": ("BLOSSOM_ATTEMPT_LEASE_SECONDS", _at_least(1)),
            "unconfirmed_hours": ("BLOSSOM_UNCONFIRMED_HOURS", _at_least(1)),
            "stalled_minutes": ("BLOSSOM_STALLED_MINUTES", _at_least(1)),
            "reservation_hours": ("BLOSSOM_RESERVATION_HOURS", _at_least(1)),
            "message_validity_hours": ("BLOSSOM_MESSAGE_VALIDITY_HOURS", _at_least(1)),
            "dispatch_max_backoff_seconds": ("BLOSSOM_MAX_BACKOFF_SECONDS", _at_least(1)),
        }
        values: dict[str, object] = {}
        for name, (variable, parse) in table.items():
            raw = self.environ.get(variable, "").strip()
            if not raw:
                continue
            try:
                values[name] = parse(raw)
            except ValueError as error:
                self.faults.append(f"{variable}: {error}")
        assert set(table) == set(defaults), "every field has its variable"
        return Config(**values)  # type: ignore[arg-type]  # each parser gives its field's type; tests read them all


def _contradictions(config: Config) -> list[str]:
    """What each setting alone does not show."""
    faults = []
    if config.environment == "production":
        for value, variable in (
            (config.database_url, "DATABASE_URL"),
            (config.redis_url, "REDIS_URL"),
            (config.master_keys, "BLOSSOM_MASTER_KEYS"),
            (config.mitto_api_key, "MITTO_API_KEY"),
            (config.mitto_traffic_account_id, "MITTO_TRAFFIC_ACCOUNT_ID"),
        ):
            if not value:
                faults.append(f"{variable}: must be set in production")
        if not (config.mitto_hmac_secrets or config.mitto_webhook_tokens):
            faults.append(
                "MITTO_HMAC_SECRET or MITTO_WEBHOOK_TOKEN: one must be set in production, "
                "or anybody could forge receipts"
            )
    faults += _shopify_contradictions(config)
    longest_call = config.mitto_timeout_seconds * 4 + 30  # MittoClient.longest_call_seconds: four tries and their waits
    if config.attempt_lease_seconds <= longest_call:
        faults.append(
            "BLOSSOM_ATTEMPT_LEASE_SECONDS: must be longer than one call with all its retries "
            f"({longest_call:.0f} s), or a slow call would be taken for a lost one"
        )
    return faults


def _shopify_contradictions(config: Config) -> list[str]:
    if bool(config.shopify_api_key) != bool(config.shopify_api_secrets):
        return ["SHOPIFY_API_KEY, SHOPIFY_API_SECRET: set both, or neither to run without Shopify"]
    faults = []
    if config.shopify_api_key and config.environment == "production":
        for url, variable in (
            (config.app_url, "BLOSSOM_URL"),
            (config.shopify_shop_url, "SHOPIFY_SHOP_URL"),
            (config.shopify_admin_url, "SHOPIFY_ADMIN_URL"),
            (config.shopify_app_bridge_url, "SHOPIFY_APP_BRIDGE_URL"),
        ):
            if not url.startswith("https://"):
                faults.append(
                    f"{variable}: must begin with https:// in production, where tokens go there and come back"
                )
    return faults


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw

    return parse


def _whole_number(raw: str, low: int, high: int = 2**31) -> int:
    try:
        value = int(raw)
    except ValueError:
        raise ValueError("must be a whole number") from None
    if not low <= value <= high:
        raise ValueError(f"must be between {low} and {high}")
    return value


def _at_least(low: int) -> Callable[[str], int]:
    return lambda raw: _whole_number(raw, low)


def _seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0 < value < 3600:
        raise ValueError("must be more than 0 and less than 3600 seconds")
    return value


def _several(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def _shops(raw: str) -> tuple[str, ...]:
    domains = tuple(domain.lower() for domain in _several(raw))
    if not all(re.fullmatch(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", domain) for domain in domains):
        raise ValueError("must be myshopify domains with commas between them, such as our-shop.myshopify.com")
    return domains


def _client_id(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", raw):
        raise ValueError("must be the app's client id: letters, digits, - and _")
    return raw


def _api_version(raw: str) -> str:
    if not re.fullmatch(r"20[0-9]{2}-(01|04|07|10)", raw):
        raise ValueError("must be a version of Shopify's API, such as 2026-10")
    return raw


def _shop_url(raw: str) -> str:
    if raw.count("{shop}") != 1 or re.search(r"[{}]", raw.replace("{shop}", "")):
        raise ValueError("must hold {shop} once, where the shop's domain goes")
    return _url("http", "https")(raw)


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if urlsplit(raw).scheme not in schemes:
            raise ValueError(f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        return raw.rstrip("/") if schemes[0].startswith("http") else raw

    return parse


def _database_url(raw: str) -> str:
    """Hosts hand out `postgres://`; SQLAlchemy wants the driver named."""
    scheme, separator, rest = raw.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("must be a URL that begins with postgres:// or postgresql://")
    return f"postgresql+psycopg://{rest}"


def _master_keys(raw: str) -> dict[int, bytes]:
    """`1:<base64 of 32 bytes>[,2:…]`, the current one first."""
    keys: dict[int, bytes] = {}
    for part in raw.split(","):
        number, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not number.isascii() or not number.isdigit() or len(key) != 32:
            raise ValueError("must read id:key[,id:key], each key 32 bytes in base64 (`blossom new-master-key`)")
        if int(number) in keys:
            raise ValueError(f"names the id {int(number)} twice: what the other key wraps could not be read")
        keys[int(number)] = key
    return keys

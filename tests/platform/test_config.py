"""Settings: each variable read, every fault told at once, and no secret shown."""

from __future__ import annotations

import base64
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from blossom.platform import config
from blossom.platform.config import Config, ConfigError


def key(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


PRODUCTION = {
    "BLOSSOM_ENV": "production",
    "DATABASE_URL": "postgres://blossom:pw@db.example/blossom",
    "REDIS_URL": "rediss://:pw@redis.example:6379/0",
    "BLOSSOM_MASTER_KEYS": f"1:{key(1)}",
    "MITTO_API_KEY": "mitto-key",
    "MITTO_TRAFFIC_ACCOUNT_ID": "account",
    "MITTO_HMAC_SECRET": "hmac-secret",
}

READ: list[tuple[str, str, str, Any]] = [
    ("BLOSSOM_ENV", "test", "environment", "test"),
    ("DATABASE_URL", "postgres://u:p@h/d?sslmode=require", "database_url", "postgresql+psycopg://u:p@h/d?sslmode=require"),
    ("DATABASE_URL", "postgresql://h/d", "database_url", "postgresql+psycopg://h/d"),
    ("DATABASE_URL", "postgresql+psycopg://h/d", "database_url", "postgresql+psycopg://h/d"),
    ("REDIS_URL", "redis://h:6379/1", "redis_url", "redis://h:6379/1"),
    ("REDIS_URL", "unix:///run/valkey.sock", "redis_url", "unix:///run/valkey.sock"),
    ("BLOSSOM_DATA", "/srv/blossom", "data_folder", Path("/srv/blossom")),
    ("DATABASE_POOL_SIZE", "9", "database_pool_size", 9),
    ("BLOSSOM_MASTER_KEYS", f"2:{key(2)}, 1:{key(1)}", "master_keys", {2: b"\2" * 32, 1: b"\1" * 32}),
    ("BLOSSOM_URL", "https://blossom.example/", "app_url", "https://blossom.example"),
    ("LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
    ("MITTO_API_URL", "http://127.0.0.1:9/", "mitto_api_url", "http://127.0.0.1:9"),
    ("MITTO_API_KEY", " spaced ", "mitto_api_key", "spaced"),
    ("MITTO_TRAFFIC_ACCOUNT_ID", "abc", "mitto_traffic_account_id", "abc"),
    ("MITTO_BATCH_SIZE", "1000", "mitto_batch_size", 1000),
    ("MITTO_TIMEOUT_SECONDS", "2.5", "mitto_timeout_seconds", 2.5),
    ("MITTO_HMAC_SECRET", "new, old,", "mitto_hmac_secrets", ("new", "old")),
    ("MITTO_WEBHOOK_TOKEN", "one", "mitto_webhook_tokens", ("one",)),
    ("MITTO_TEXTS_PER_SECOND", "0", "mitto_texts_per_second", 0),
    ("SHOP_TEXTS_PER_SECOND", "7", "shop_texts_per_second", 7),
    ("SHOPIFY_API_VERSION", "2027-01", "shopify_api_version", "2027-01"),
    ("SHOPIFY_SCOPES", "read_orders, write_customers", "shopify_scopes", ("read_orders", "write_customers")),
    ("SHOPIFY_SHOP_URL", "http://127.0.0.1:9/shops/{shop}", "shopify_shop_url", "http://127.0.0.1:9/shops/{shop}"),
    ("SHOPIFY_ADMIN_URL", "http://admin.shopify.test:9/", "shopify_admin_url", "http://admin.shopify.test:9"),
    ("SHOPIFY_APP_BRIDGE_URL", "http://127.0.0.1:9/a.js", "shopify_app_bridge_url", "http://127.0.0.1:9/a.js"),
    ("SHOPIFY_TIMEOUT_SECONDS", "2", "shopify_timeout_seconds", 2.0),
    ("BLOSSOM_OPERATOR_SHOPS", "Us.myshopify.com,", "operator_shops", ("us.myshopify.com",)),
    ("BLOSSOM_LANE_SECONDS", "0.5", "lane_seconds", 0.5),
    ("BLOSSOM_LANES", "3", "lanes", 3),
    ("BLOSSOM_LANE_THREADS", "4", "lane_threads", 4),
    ("BLOSSOM_ATTEMPT_LEASE_SECONDS", "600", "attempt_lease_seconds", 600),
    ("BLOSSOM_UNCONFIRMED_HOURS", "2", "unconfirmed_hours", 2),
    ("BLOSSOM_STALLED_MINUTES", "3", "stalled_minutes", 3),
    ("BLOSSOM_RESERVATION_HOURS", "4", "reservation_hours", 4),
    ("BLOSSOM_MESSAGE_VALIDITY_HOURS", "5", "message_validity_hours", 5),
    ("BLOSSOM_MAX_BACKOFF_SECONDS", "6", "dispatch_max_backoff_seconds", 6),
]  # fmt: skip

REFUSED = [
    ("BLOSSOM_ENV", "prod"),
    ("DATABASE_URL", "mysql://h/d"),
    ("DATABASE_URL", "postgres"),
    ("REDIS_URL", "http://h"),
    ("DATABASE_POOL_SIZE", "0"),
    ("DATABASE_POOL_SIZE", "five"),
    ("BLOSSOM_MASTER_KEYS", "nonsense"),
    ("BLOSSOM_MASTER_KEYS", "1:c2hvcnQ="),
    ("BLOSSOM_MASTER_KEYS", f"x:{key(1)}"),
    ("BLOSSOM_MASTER_KEYS", f"1:{key(1)},1:{key(2)}"),
    ("BLOSSOM_URL", "blossom.example"),
    ("LOG_LEVEL", "debug"),
    ("MITTO_API_URL", "ftp://h"),
    ("MITTO_BATCH_SIZE", "0"),
    ("MITTO_BATCH_SIZE", "1001"),
    ("MITTO_TIMEOUT_SECONDS", "0"),
    ("MITTO_TIMEOUT_SECONDS", "nan"),
    ("MITTO_TIMEOUT_SECONDS", "inf"),
    ("MITTO_TIMEOUT_SECONDS", "soon"),
    ("MITTO_TEXTS_PER_SECOND", "-1"),
    ("SHOP_TEXTS_PER_SECOND", "1.5"),
    ("SHOPIFY_API_VERSION", "2026-11"),
    ("SHOPIFY_API_VERSION", "unstable"),
    ("SHOPIFY_SHOP_URL", "https://example.com"),
    ("SHOPIFY_SHOP_URL", "https://{shop}.{shop}"),
    ("SHOPIFY_SHOP_URL", "https://{shop}/{port}"),
    ("SHOPIFY_SHOP_URL", "{shop}"),
    ("SHOPIFY_ADMIN_URL", "admin.shopify.com"),
    ("SHOPIFY_APP_BRIDGE_URL", "//cdn.shopify.com/a.js"),
    ("SHOPIFY_TIMEOUT_SECONDS", "0"),
    ("SHOPIFY_API_KEY", "a key"),
    ("BLOSSOM_LANE_SECONDS", "3600"),
    ("BLOSSOM_LANES", "0"),
    ("BLOSSOM_LANE_THREADS", "0"),
    ("BLOSSOM_ATTEMPT_LEASE_SECONDS", "0"),
    ("BLOSSOM_UNCONFIRMED_HOURS", "0"),
    ("BLOSSOM_STALLED_MINUTES", "0"),
    ("BLOSSOM_RESERVATION_HOURS", "0"),
    ("BLOSSOM_MESSAGE_VALIDITY_HOURS", "0"),
    ("BLOSSOM_MAX_BACKOFF_SECONDS", "0"),
]


READ_TOGETHER = {"SHOPIFY_API_KEY": "client-id", "SHOPIFY_API_SECRET": "new, old"}
"""One alone is a contradiction."""


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.from_environment(environ)
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()[1:]]


def test_an_empty_environment_is_one_to_develop_in() -> None:
    settings = Config.from_environment({})
    assert settings == Config()
    assert settings.environment == "development"
    assert settings.database_url is None
    assert settings.redis_url is None


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert Config.from_environment({"DATABASE_URL": "", "MITTO_BATCH_SIZE": "  "}) == Config()


@pytest.mark.parametrize(("variable", "raw", "field", "value"), READ)
def test_reads(variable: str, raw: str, field: str, value: Any) -> None:
    read = getattr(Config.from_environment({variable: raw}), field)
    assert read == value
    assert type(read) is type(value)


def test_every_setting_is_tried_above() -> None:
    together = {"shopify_api_key", "shopify_api_secrets"}
    assert {field for _, _, field, _ in READ} | together == {field.name for field in fields(Config)}
    assert all(value != getattr(Config(), field) for _, _, field, value in READ)


@pytest.mark.parametrize(("variable", "raw"), REFUSED)
def test_refuses_and_names_the_variable(variable: str, raw: str) -> None:
    faults = faults_of({variable: raw})
    assert [fault.partition(":")[0] for fault in faults] == [variable]


def test_reads_the_client_id_and_the_secrets_of_shopify() -> None:
    settings = Config.from_environment(READ_TOGETHER)
    assert (settings.shopify_api_key, settings.shopify_api_secrets) == ("client-id", ("new", "old"))


@pytest.mark.parametrize("variable", READ_TOGETHER)
def test_shopify_is_configured_or_it_is_not(variable: str) -> None:
    assert "set both" in faults_of({variable: READ_TOGETHER[variable]})[0]


@pytest.mark.parametrize("variable", ["BLOSSOM_URL", "SHOPIFY_SHOP_URL", "SHOPIFY_ADMIN_URL", "SHOPIFY_APP_BRIDGE_URL"])
def test_production_takes_tokens_over_https_only(variable: str) -> None:
    environ = {**PRODUCTION, **READ_TOGETHER, "BLOSSOM_URL": "https://blossom.example"}
    assert Config.from_environment(environ)
    faults = faults_of({**environ, variable: "http://x.example/{shop}" if "SHOP_" in variable else "http://x.example"})
    assert [fault.partition(":")[0] for fault in faults] == [variable]


def test_the_first_master_key_is_the_current_one() -> None:
    keys = Config.from_environment({"BLOSSOM_MASTER_KEYS": f"3:{key(3)},1:{key(1)}"}).master_keys
    assert next(iter(keys)) == 3


def test_tells_all_faults_at_once() -> None:
    faults = faults_of({**PRODUCTION, "MITTO_API_KEY": "", "MITTO_BATCH_SIZE": "many", "LOG_LEVEL": "loud"})
    assert {fault.partition(":")[0] for fault in faults} == {"MITTO_API_KEY", "MITTO_BATCH_SIZE", "LOG_LEVEL"}


def test_production_starts_with_all_that_it_needs() -> None:
    assert Config.from_environment(PRODUCTION).environment == "production"


@pytest.mark.parametrize("variable", sorted(set(PRODUCTION) - {"BLOSSOM_ENV", "MITTO_HMAC_SECRET"}))
def test_production_demands(variable: str) -> None:
    without = {name: value for name, value in PRODUCTION.items() if name != variable}
    assert [fault.partition(":")[0] for fault in faults_of(without)] == [variable]
    assert Config.from_environment({**without, "BLOSSOM_ENV": "development"})


def test_production_demands_a_proof_of_receipts_and_either_will_do() -> None:
    without = {name: value for name, value in PRODUCTION.items() if name != "MITTO_HMAC_SECRET"}
    assert "forge receipts" in faults_of(without)[0]
    assert Config.from_environment({**without, "MITTO_WEBHOOK_TOKEN": "token"})


def test_a_lease_must_outlive_the_slowest_call() -> None:
    assert "BLOSSOM_ATTEMPT_LEASE_SECONDS" in faults_of({"MITTO_TIMEOUT_SECONDS": "15"})[0]
    assert "BLOSSOM_ATTEMPT_LEASE_SECONDS" in faults_of({"BLOSSOM_ATTEMPT_LEASE_SECONDS": "40"})[0]
    assert Config.from_environment({"MITTO_TIMEOUT_SECONDS": "15", "BLOSSOM_ATTEMPT_LEASE_SECONDS": "120"})


def test_shows_no_secret() -> None:
    environ = {**PRODUCTION, **READ_TOGETHER, "BLOSSOM_URL": "https://b.example", "MITTO_WEBHOOK_TOKEN": "hook-token"}
    shown = repr(Config.from_environment({**environ, "SHOPIFY_API_SECRET": "shpss_hush"}))
    for secret in ("pw@", "mitto-key", "hmac-secret", "hook-token", "shpss_hush", key(1), repr(b"\1" * 32)):
        assert secret not in shown


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "BLOSSOM_MASTER_KEYS", "BLOSSOM_URL"])
def test_no_fault_quotes_what_was_given(variable: str) -> None:
    assert "hush" not in "".join(faults_of({variable: "hush:hush@hush"}))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().log_level = "DEBUG"  # type: ignore[misc]  # that it can't be set is what is tried


def test_a_process_that_has_named_none_has_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_current", None)
    with pytest.raises(RuntimeError, match="no settings yet"):
        config.current()
    settings = Config()
    config.use(settings)
    assert config.current() is settings

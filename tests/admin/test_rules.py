"""Addresses and rights in the admin's frame."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blossom.admin import rules
from blossom.platform.access import SHOP_SCOPES
from blossom.shops import rules as shop_rules

APP = "https://app.example:8443"
NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize("path", ["/", "/settings", "/campaigns/7?shop=x.myshopify.com&a=%2F#top", "/session-notes"])
def test_a_page_of_ours_may_be_come_back_to(path: str) -> None:
    assert rules.is_reload_address(APP + path, APP)


@pytest.mark.parametrize(
    "given",
    [
        "", "/settings", "//evil.example/", "https://evil.example/", "http://app.example:8443/", APP,
        "https://app.example/", "https://app.example:84430/", "https://app.example:8443.evil.example/",
        "https://app.example:8443@evil.example/", "https://user@app.example:8443/", "javascript:alert(1)//",
        f"{APP}\\evil", f" {APP}/", f"{APP}/\n", f"{APP}/\x00", f"{APP}/ä", f"{APP}/a b", f"{APP}/{'a' * 5000}",
        f"{APP}/session/bounce", f"{APP}/session/bounce?shopify-reload=x", f"{APP}/auth?shop=x", f"{APP}/auth/callback",
        APP.upper() + "/", f"{APP}/x/../session/bounce?shopify-reload=x", f"{APP}/./auth?shop=x", f"{APP}/x/%2E./auth",
    ],
)  # fmt: skip
def test_nothing_else_may(given: str) -> None:
    assert not rules.is_reload_address(given, APP)


@given(st.one_of(st.text(), st.text().map(lambda tail: APP + tail), st.text().map(lambda tail: f"{APP}/{tail}")))
@example(f"{APP}/..//evil.example")
@example(f"{APP}//evil.example/")
def test_whatever_may_be_come_back_to_has_our_origin(given: str) -> None:
    if rules.is_reload_address(given, APP):
        parts = urlsplit(given)
        assert (parts.scheme, parts.netloc) == ("https", "app.example:8443")


@pytest.mark.parametrize(
    ("given", "has"),
    [
        (str(int(NOW.timestamp())), True),
        (str(int(NOW.timestamp()) - 29), True),
        (str(int(NOW.timestamp()) - 31), False),
        (str(int(NOW.timestamp()) + 5), False),
        (None, False), ("", False), ("-1", False), ("٣", False), ("1e9", False), ("9" * 40, False),
    ],
)  # fmt: skip
def test_a_page_has_bounced_only_a_moment_ago(given: str | None, has: bool) -> None:
    assert rules.has_bounced(given, NOW) is has
    if has:
        assert not rules.has_bounced(given, NOW + timedelta(minutes=1))


def test_a_pages_query_loses_what_spoke_of_one_request() -> None:
    given = [("shop", "x"), ("id_token", "t"), ("before", "7"), ("hmac", "h"), ("bounced", "1"), ("timestamp", "2")]
    assert rules.own_query(given) == [("shop", "x"), ("before", "7")]


def test_addresses_are_written_so_that_they_are_read_back_the_same() -> None:
    assert rules.address(APP, "/a b/ä", [("q", "x&y=z #")]) == f"{APP}/a%20b/%C3%A4?q=x%26y%3Dz+%23"
    assert rules.address(APP, "/", []) == f"{APP}/"


def test_the_admins_address_of_a_page() -> None:
    found = rules.in_admin("blue-shop.myshopify.com", "https://admin.shopify.com", "key", "/campaigns/7")
    assert found == "https://admin.shopify.com/store/blue-shop/apps/key/campaigns/7"


def test_only_the_admin_and_a_known_shop_may_frame() -> None:
    assert rules.ancestors(None, "https://admin.shopify.com/x") == ("https://admin.shopify.com",)
    assert rules.ancestors("a.myshopify.com", "http://admin.test:5001") == (
        "https://a.myshopify.com",
        "http://admin.test:5001",
    )


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ([], ["read_customers", "read_orders", "write_customers"]),
        (["write_customers"], ["read_orders"]),
        (["read_customers", "read_orders"], ["write_customers"]),
        (["write_customers", "read_orders", "write_themes"], []),
    ],
)
def test_to_write_includes_to_read(granted: list[str], missing: list[str]) -> None:
    assert rules.missing_scopes(granted, ["read_customers", "write_customers", "read_orders"]) == missing


@pytest.mark.parametrize(
    ("staff", "app", "may_send"),
    [
        (None, ["write_customers"], False),
        (["write_customers"], ["read_customers", "write_customers", "write_discounts"], True),
        (["read_customers"], ["read_customers", "write_customers"], False),
        ([], ["write_customers"], False),
        ([], ["read_customers"], False),
        (["read_customers"], ["read_customers"], True),
        (["write_orders"], ["write_customers"], False),
        ([], [], False),
    ],
)
def test_staff_who_may_only_look_at_shopify_only_look_here(
    staff: list[str] | None, app: list[str], may_send: bool
) -> None:
    rights = shop_rules.rights_of(staff, app)
    assert ("campaigns:send" in rights) is may_send
    assert ("shop:write" in rights) is may_send
    assert "campaigns:read" in rights
    assert rights <= SHOP_SCOPES


@given(st.text())
@example("a.b.c")
@example("a" * 5000 + ".b.c")
@example("ａ.b.c")
@example("a.b.c\n")
def test_what_looks_like_a_token_is_short_ascii(given: str) -> None:
    if rules.looks_like_token(given):
        assert given.isascii()
        assert given.isprintable()
        assert len(given) <= 4096
        assert given.count(".") == 2

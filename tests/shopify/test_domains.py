"""What may stand for a shop: the canonical domain and nothing that merely looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.shopify import domains


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ("ours.myshopify.com", "ours.myshopify.com"),
        ("OURS.MyShopify.com", "ours.myshopify.com"),
        ("a.myshopify.com", "a.myshopify.com"),
        ("0-1.myshopify.com", "0-1.myshopify.com"),
        ("a" * 60 + ".myshopify.com", "a" * 60 + ".myshopify.com"),
    ],
)
def test_a_shops_domain(given: str, domain: str) -> None:
    assert domains.shop_domain(given) == domain


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "ours",
        ".myshopify.com",
        "-ours.myshopify.com",
        "a" * 61 + ".myshopify.com",
        "a" * 1_000_000,
        "ours.myshopify.com.evil.example",
        "evil.example/ours.myshopify.com",
        "evil.example#.myshopify.com",
        "evil.example?.myshopify.com",
        "evil.example\\.myshopify.com",
        "user@ours.myshopify.com",
        "https://ours.myshopify.com",
        "ours.myshopify.com/",
        "ours.myshopify.com:443",
        " ours.myshopify.com",
        "ours.myshopify.com\n",
        "ours.myshopify.com;script-src *",
        "ours.myshopify.io",
        "sub.ours.myshopify.com",
        "οurs.myshopify.com",  # Greek omicron
        "ours.myshopify。com",
        "ſhop.myshopify.com",  # lower-cased by some to shop
        "İ.myshopify.com",
        "ours.myshopify.com\x00",
        "%6furs.myshopify.com",
        "ours_1.myshopify.com",
    ],
)
def test_is_no_shops_domain(given: str | None) -> None:
    assert domains.shop_domain(given) is None


@given(st.text())
def test_whatever_is_accepted_is_canonical(given: str) -> None:
    domain = domains.shop_domain(given + ".myshopify.com")
    assert domain is None or (domain == domains.shop_domain(domain) == domain.lower() and domain.isascii())

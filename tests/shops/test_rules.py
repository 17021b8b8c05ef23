from __future__ import annotations

from datetime import time

import pytest

from blossom.shops import rules


@pytest.mark.parametrize("sender", ["Ann", "Blossom24", "ELEVENCHARS", "3DShop", "+306912345678", "+14155550100"])
def test_a_sender_that_networks_accept(sender: str) -> None:
    assert rules.sender_fault(sender) is None


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "Ab",
        "TWELVECHARS1",
        "12345",
        "My Shop",
        "Ανθός",
        "Caf\u00e9",
        "+0691234567",
        "+123",
        "306912345678",
        "Ann\n",
        "+30 69",
    ],
)
def test_a_sender_that_they_refuse(sender: str) -> None:
    assert rules.sender_fault(sender)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"timezone": "Europe/Athens", "default_country": "GR", "name": "Ours"}, set()),
        ({"timezone": "Athens"}, {"timezone"}),
        ({"timezone": "../etc/passwd"}, {"timezone"}),
        ({"default_country": "gr"}, {"default_country"}),
        ({"default_country": "ZZ"}, {"default_country"}),
        ({"name": "  "}, {"name"}),
        ({"name": "a\0b"}, {"name"}),
        ({"daily_cap": None, "weekly_cap": 3}, set()),
        ({"daily_cap": 0}, {"daily_cap"}),
        ({"weekly_cap": 1001}, {"weekly_cap"}),
        ({"stop_keywords": ["AUS", "ARRET"]}, set()),
        ({"stop_keywords": ["x"]}, {"stop_keywords"}),
        ({"stop_keywords": ["ARRET", "Start"]}, {"stop_keywords"}),
        ({"stop_keywords": ["HELP"]}, {"stop_keywords"}),
        ({"stop_keywords": ["info!"]}, {"stop_keywords"}),
        ({"stop_keywords": ["έναρξη"]}, {"stop_keywords"}),
        ({"stop_keywords": ["Βοήθεια"]}, {"stop_keywords"}),
        ({"stop_keywords": ["!!!"]}, {"stop_keywords"}),
        ({"stop_keywords": ["word"] * 21}, {"stop_keywords"}),
        ({"id": 4, "domain": "x"}, {"id", "domain"}),
    ],
)
def test_each_setting_that_cannot_be_is_named(settings: dict[str, object], named: set[str]) -> None:
    assert set(rules.settings_faults(settings)) == named


def test_quiet_hours_end_at_another_time_than_they_begin() -> None:
    assert rules.quiet_hours_fault(time(9), time(9))
    assert rules.quiet_hours_fault(time(20), time(9)) is None
    assert rules.quiet_hours_fault(time(13), time(9)) is None
    assert rules.quiet_hours_fault(time(12, 59), time(9))
    assert rules.quiet_hours_fault(time(0), time(23, 59)), "a minute a day is no time to send in"


@pytest.mark.parametrize(
    ("a_day", "a_week", "fits"), [(1, 3, True), (3, 3, True), (4, 3, False), (None, 3, True), (4, None, True)]
)
def test_a_week_allows_no_less_than_a_day(a_day: int | None, a_week: int | None, fits: bool) -> None:
    assert (rules.caps_fault(a_day, a_week) is None) == fits


@pytest.mark.parametrize(("told", "kept"), [("EUR", "EUR"), ("eur", None), ("", None), (None, None), (7, None)])
def test_a_currency_is_three_capital_letters(told: object, kept: str | None) -> None:
    assert rules.currency_code(told) == kept


@pytest.mark.parametrize(
    "domain", ["Ours.myshopify.com", "ours.example.com", "ours.myshopify.com.evil.com", "-a.myshopify.com"]
)
def test_a_domain_that_is_no_shop_of_shopify(domain: str) -> None:
    assert rules.domain_fault(domain)

"""The figures of money, without a database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blossom.wallet import rules
from blossom.wallet.errors import InsufficientCredit


def price_list(prices: dict[str, int]) -> rules.PriceList:
    return rules.PriceList(
        id=1,
        shop_id=None,
        name="Standard",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        refund_failed=True,
        prices=prices,
    )


@pytest.mark.parametrize(
    ("country", "segments", "cost"),
    [
        ("GR", 1, 5),
        ("GR", 3, 15),
        ("gr", 2, 10),
        ("FR", 2, 24),
        (None, 1, 12),
        ("", 1, 12),
        ("*", 1, 12),
        ("GR", 0, 0),
    ],
)
def test_a_text_costs_its_segments_times_the_price_of_its_country(
    country: str | None, segments: int, cost: int
) -> None:
    assert price_list({"*": 12, "GR": 5}).credits(country, segments) == cost


def test_a_text_cannot_have_fewer_than_no_segments() -> None:
    with pytest.raises(ValueError, match="-1 segments"):
        price_list({"*": 12}).credits("GR", -1)


@pytest.mark.parametrize(
    ("prices", "faulty"),
    [
        ({"*": 1}, set()),
        ({"*": 1, "GR": 2, "US": 3}, set()),
        ({}, {"*"}),
        ({"GR": 2}, {"*"}),
        ({"*": 0}, {"*"}),
        ({"*": 1, "GR": -2}, {"GR"}),
        ({"*": 1, "gr": 2}, {"gr"}),
        ({"*": 1, "GRC": 2}, {"GRC"}),
        ({"*": 1, "ΕΛ": 2}, {"ΕΛ"}),
        ({"*": 1, "GR": True}, {"GR"}),
        ({"*": 1, "GR": 2.5}, {"GR"}),
    ],
)
def test_a_price_list_names_every_figure_that_cannot_be_used(prices: dict[str, int], faulty: set[str]) -> None:
    assert set(rules.faults_of_prices(prices)) == faulty


def test_a_price_list_without_a_price_for_all_other_countries_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="all other countries"):
        price_list({"GR": 5})


def test_available_is_what_is_not_reserved() -> None:
    assert rules.Balance(balance=1000, reserved=300).available == 700


def test_too_little_credit_says_how_much_is_missing() -> None:
    error = InsufficientCredit(needed=600, available=400)

    assert error.status == 402
    assert error.code == "insufficient_credit"
    assert error.details == {"needed": 600, "available": 400, "missing": 200}
    assert "200" in error.message

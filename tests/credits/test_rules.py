"""Months of a shop's calendar, and what is typed into the calculator."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blossom.credits import forms, rules
from blossom.credits.rules import Month
from blossom.wallet.rules import PriceList

PRICES = PriceList(1, None, "", datetime(2026, 1, 1, tzinfo=UTC), True, {"GR": 5, "*": 9})
GIVEN = {"text": "Hello", "people": "1,000", "country": "GR"}


def test_a_month_begins_where_the_shop_is() -> None:
    late = datetime(2026, 10, 31, 22, 30, tzinfo=UTC)
    assert Month.of(late, "Europe/Athens") == Month(2026, 11)
    assert Month.of(late, "UTC") == Month(2026, 10)
    assert Month(2026, 11).begins_at("Europe/Athens") == datetime(2026, 10, 31, 22, tzinfo=UTC)


def test_months_follow_each_other_over_the_years() -> None:
    assert Month(2026, 12).next() == Month(2027, 1)
    assert Month(2027, 1).before() == Month(2026, 12)
    assert Month.read(str(Month(2026, 3))) == Month(2026, 3)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "26-01", "٢٠٢٦-٠١", "9999-12", "2026-01-01", "2026-1"]
)
def test_what_is_no_month_is_none(text: str) -> None:
    assert Month.read(text) is None


@pytest.mark.parametrize(
    ("text", "country", "parts", "each"),
    [
        ("Hello", "GR", 1, 5),
        ("Hello", "FR", 1, 9),
        ("x" * 161, "GR", 2, 10),
        ("Γειά", "GR", 1, 5),
        ("ά" * 71, "FR", 2, 18),
    ],
)
def test_a_text_costs_its_parts_at_its_country_s_price(text: str, country: str, parts: int, each: int) -> None:
    cost = rules.cost_of(text, 1_000, country, PRICES)
    assert (cost.size.segments, cost.each, cost.credits) == (parts, each, 1_000 * each)


@pytest.mark.parametrize("people", ["1000", "1,000", "1.000", "1 000", "1\u202f000", "1'000", " 1000 "])
def test_people_are_counted_however_thousands_are_written(people: str) -> None:
    question = forms.read_question(GIVEN | {"people": people}, PRICES.prices)
    assert (question.people, dict(question.faults)) == (1_000, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("people", people) for people in ("", "0", "-5", "ten", "1e3", "²", "١٠", "10000001", "9" * 500)],
        *[("people", people) for people in ("1.5", "1,5", "10.00", "1.000,5", "1,000.000", "1,0000", ".500", "1 5")],
        *[("text", text) for text in ("", " \r\n", "x" * 2_001)],
        *[("country", country) for country in ("", "gr", "XX")],
    ],
)
def test_what_can_t_be_calculated_is_told_at_its_field(field: str, value: str) -> None:
    question = forms.read_question(GIVEN | {field: value}, PRICES.prices)
    assert set(question.faults) == {field}
    assert question.typed[field] == value

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from blossom.campaigns.forms import several
from blossom.campaigns.rules.ab_test import AbTest, Winner, letter_number
from blossom.messaging.rules.texts import Showing, best, people_of
from blossom.platform.errors import InvalidInput

WRITTEN: dict[str, Any] = {"texts": ["B"], "shares": [10, 10], "winner": "clicks", "after_minutes": 60}


@pytest.mark.parametrize(
    ("shares", "total", "people"),
    [
        ((10, 10), 1000, (100, 100)),
        ((10, 10), 1005, (101, 100)),
        ((10, 20, 30), 10, (1, 2, 3)),
        ((1, 1), 100, (1, 1)),
        ((50, 50), 7, (4, 3)),
        ((33, 33, 34), 100, (33, 33, 34)),
        ((25, 25, 25, 25), 10, (3, 2, 3, 2)),
        ((10, 10), 3, (1, 1)),  # of a few, each text has somebody
        ((10, 10), 2, (1, 1)),
        ((10, 10), 1, (1, 0)),
        ((10, 10), 0, (0, 0)),
        ((10, 15, 5, 7), 1_000_000, (100_000, 150_000, 50_000, 70_000)),
    ],
)
def test_an_audience_is_shared_out_to_the_person(shares: tuple[int, ...], total: int, people: tuple[int, ...]) -> None:
    assert people_of(shares, total) == people


def test_no_share_is_off_by_more_than_a_person_and_a_split_leaves_nobody() -> None:
    for total in range(20, 400):
        for shares in ((50, 50), (33, 33, 34), (10, 20), (7, 13, 29, 41), (25, 25, 25, 25)):
            found = people_of(shares, total)
            assert all(abs(people - total * share / 100) <= 1 for people, share in zip(found, shares, strict=True))
            assert sum(found) <= total
            assert sum(shares) < 100 or sum(found) == total


@pytest.mark.parametrize(
    ("showings", "winner"),
    [
        ([(100, 3), (100, 5)], 1),
        ([(100, 5), (100, 3)], 0),
        ([(100, 5), (100, 5)], 0),  # a tie: the earlier letter
        ([(100, 5), (50, 3)], 1),  # by share, not by number
        ([(300, 1), (100, 1), (300, 1)], 1),
        ([(3, 1), (300, 100), (6, 2)], 0),  # equal to the last digit
        ([(0, 0), (0, 0)], 0),
        ([(0, 0), (10, 0)], 0),
        ([(0, 0), (10, 1)], 1),
        ([(10, 1), (10, 1), (10, 2), (10, 2)], 2),
    ],
)
def test_the_highest_share_of_clicked_wins_and_of_equals_the_earlier_letter(
    showings: list[tuple[int, int]], winner: int
) -> None:
    assert best([Showing(left, clicked) for left, clicked in showings]) == winner


def test_a_test_is_kept_as_it_was_written() -> None:
    test = AbTest.from_json(WRITTEN)
    assert test == AbTest(("B",), (10, 10), Winner.CLICKS, timedelta(hours=1))
    assert (test.rest_share, test.letters, test.bodies("A")) == (80, ("A", "B"), ("A", "B"))
    assert test.to_json() == WRITTEN
    assert AbTest.from_json(test.to_json()) == test


@pytest.mark.parametrize(
    ("change", "winner", "after"),
    [
        ({"shares": [50, 50]}, None, None),  # nobody is left to get a winner
        ({"shares": [50, 50], "winner": None, "after_minutes": None}, None, None),
        ({"winner": "by_hand"}, Winner.BY_HAND, None),
        ({"winner": "by_hand", "after_minutes": None}, Winner.BY_HAND, None),
        ({"after_minutes": 30}, Winner.CLICKS, timedelta(minutes=30)),
        ({"after_minutes": 1440}, Winner.CLICKS, timedelta(hours=24)),
    ],
)
def test_what_has_no_meaning_is_dropped(change: dict[str, Any], winner: Winner | None, after: timedelta | None) -> None:
    test = AbTest.from_json(WRITTEN | change)
    assert (test.winner, test.after) == (winner, after)


@pytest.mark.parametrize(
    "change",
    [
        {"texts": []},
        {"texts": ["B", "C", "D", "E"], "shares": [10, 10, 10, 10, 10]},
        {"texts": [1]},
        {"texts": "B"},
        {"shares": [10]},
        {"shares": [10, 10, 10]},
        {"shares": [0, 10]},
        {"shares": [51, 10]},
        {"shares": [10, 10.0]},
        {"shares": [True, 10]},
        {"texts": ["B", "C"], "shares": [50, 50, 1]},
        {"winner": None},
        {"winner": "revenue"},
        {"winner": ["clicks"]},
        {"after_minutes": None},
        {"after_minutes": 29},
        {"after_minutes": 1441},
        {"after_minutes": 10**30},
        {"after_minutes": True},
        {"odd": 1},
    ],
)
def test_what_can_not_be_a_test_is_refused_with_one_fault(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        AbTest.from_json(WRITTEN | change)
    assert list(refused.value.details["fields"]) == ["ab_test"]


@pytest.mark.parametrize("given", [None, [], "B", 3])
def test_nothing_but_an_object_is_a_test(given: Any) -> None:
    with pytest.raises(InvalidInput):
        AbTest.from_json(given)


def test_a_letter_is_a_number() -> None:
    assert [letter_number(letter) for letter in ("A", "B", "C", "D", "E", "", "AB")] == [0, 1, 2, 3, None, None, None]


@pytest.mark.parametrize("minutes", [-(10**30), 10**30])
def test_a_number_that_no_clock_knows_is_refused_like_any_other(minutes: int) -> None:
    with pytest.raises(InvalidInput):
        AbTest.from_json({**WRITTEN, "after_minutes": minutes})


@pytest.mark.parametrize("typed", ["9" * 5000, "-60", "60 ", "\u0663\u0660", "29", "1441"])
def test_a_time_that_the_form_does_not_offer_is_the_usual_one(typed: str) -> None:
    assert several.read({"texts": "2", "after": typed}).after == several.USUAL_AFTER

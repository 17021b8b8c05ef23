"""What is a matter of attention, what is not, and how figures become pictures."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from blossom.home.rules import Facts, StepsTaken, Troubled, alerts, days_of, steps, trends
from blossom.home.rules.attention import MANY
from blossom.home.rules.trends import DAYS, HEIGHT
from blossom.platform import languages

QUIET: dict[str, Any] = {
    "failed": [], "out_of_credit": [], "with_failures": [], "unconfirmed": [], "refused_sender": None,
    "credits": 1_000, "spent": 300, "has_sent": True,
}  # fmt: skip
SALE = Troubled(7, "Sale", number=5, tried=100, why="Mitto doesn't accept our API key.")


def told(**facts: Any) -> list[tuple[str, str, str]]:
    """Kind, words and address of each."""
    return [(each.kind, languages.t(each.words), each.address) for each in alerts(Facts(**{**QUIET, **facts}))]


def test_nothing_is_said_where_nothing_is_the_matter() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("facts", "kind", "words", "address"),
    [
        ({"failed": [SALE]}, "failed", "“Sale” could not be sent.", "/campaigns/7"),
        ({"out_of_credit": [SALE]}, "out_of_credit", "“Sale” has stopped: credits are missing.", "/wallet"),
        ({"with_failures": [SALE]}, "failures", "5 of 100 texts of “Sale” failed.", "/campaigns/7"),
        ({"unconfirmed": [SALE]}, "unconfirmed", "Texts of “Sale” whose outcome nobody knows: 5.", "/campaigns/7"),
        ({"unread": 3}, "replies", "Unread replies: 3.", "/replies?show=unread"),
        ({"unread": MANY}, "replies", "Unread replies: 100 or more.", "/replies?show=unread"),
        ({"refused_sender": "Blue"}, "sender", "Mitto doesn't allow your sender name “Blue”.", "/settings"),
        ({"credits": 0}, "no_credit", "You have no credits left.", "/wallet"),
        ({"credits": 1_000, "spent": 30_000}, "low_credit", "Your credits run low: 1,000 are left.", "/wallet"),
    ],
)
def test_each_trouble_is_told_with_where_to_go(facts: dict[str, Any], kind: str, words: str, address: str) -> None:
    assert told(**facts) == [(kind, words, address)]


def test_a_few_dead_numbers_are_no_trouble() -> None:
    assert told(with_failures=[Troubled(7, "Sale", number=4, tried=100)]) == []


def test_who_has_never_sent_is_not_told_of_credits() -> None:
    assert told(credits=0, has_sent=False) == []


def test_the_worst_comes_first() -> None:
    everything = {name: [SALE] for name in ("failed", "out_of_credit", "with_failures", "unconfirmed")}
    kinds = [kind for kind, _, _ in told(**everything, refused_sender="Blue", credits=0)]
    assert kinds == ["failed", "out_of_credit", "sender", "unconfirmed", "failures", "no_credit"]


def test_days_without_anything_are_there_too() -> None:
    days = days_of(date(2026, 3, 2), {date(2026, 3, 1): {"sent": 8, "delivered": 6, "failed": 2, "credits": 40}})
    assert len(days) == DAYS
    assert (days[0].day, days[-1].day) == (date(2026, 2, 1), date(2026, 3, 2))
    assert (days[-2].sent, days[-1].sent) == (8, 0)


def test_trends_sum_up_and_draw_each_day() -> None:
    known = {
        date(2026, 3, 1): {"sent": 8, "delivered": 6},
        date(2026, 3, 2): {"sent": 2, "delivered": 2, "opt_outs": 1},
    }
    sent, delivered, opt_outs, credits = trends(days_of(date(2026, 3, 2), known))
    assert (sent.number, delivered.share, opt_outs.number, credits.number) == (10, 80.0, 1, 0)
    assert [bar.height for bar in sent.bars] == [HEIGHT, HEIGHT / 4]
    assert all(bar.y + bar.height == HEIGHT for trend in (sent, delivered, opt_outs) for bar in trend.bars)
    assert credits.bars == []


def test_a_share_of_nothing_is_none() -> None:
    assert trends(days_of(date(2026, 3, 2), {}))[1].share is None


def test_steps_are_ticked_one_by_one() -> None:
    taken = StepsTaken(contacts=True, consent=False, contact_line=True, credits=False, campaign=False)
    assert {step.key for step in steps(taken) if step.is_done} == {"contacts", "contact_line"}

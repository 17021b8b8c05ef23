"""The hour of a draft, as it was typed: kept whole, and a schedule only once it is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blossom.campaigns.errors import InvalidSchedule
from blossom.campaigns.rules import schedule
from blossom.campaigns.rules.plans import Plan, When

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ATHENS = "Europe/Athens"


def test_at_once_is_no_schedule() -> None:
    assert Plan().schedule(ATHENS, NOW) is None
    assert Plan(When.NOW, "2020-01-01", "10:00").schedule(ATHENS, NOW) is None, "what is not asked for is not judged"


def test_is_read_on_the_shops_clocks() -> None:
    planned = Plan(When.AT, "2026-12-01", "10:00").schedule(ATHENS, NOW)
    assert planned is not None
    assert planned.scheduled_at == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("kind", [When.AT, When.LOCAL])
@pytest.mark.parametrize(
    ("day", "time"),
    [("", ""), ("2026-12-01", ""), ("", "10:00"), ("2026-02-30", "10:00"), ("2026-12-01", "25:00"), ("tomorrow", "ten"),
     ("2026-12-1", "10:00"), ("２０２６-12-01", "10:00")],
)  # fmt: skip
def test_that_is_unfinished_is_none(kind: When, day: str, time: str) -> None:
    with pytest.raises(InvalidSchedule, match="Choose a day and a time"):
        Plan(kind, day, time).schedule(ATHENS, NOW)


@pytest.mark.parametrize("day", ["2020-01-01", "2026-11-21", "2029-01-01"])
def test_that_has_passed_or_is_too_far_is_none(day: str) -> None:
    with pytest.raises(InvalidSchedule):
        Plan(When.AT, day, "10:00").schedule(ATHENS, NOW)


@pytest.mark.parametrize("when", list(When))
def test_is_kept_as_it_was_typed(when: When) -> None:
    plan = Plan(when, "2026-12-0", "1")
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(None) == Plan()


@pytest.mark.parametrize("plan", [Plan(When.AT, "2026-12-01", "10:00"), Plan(When.LOCAL, "2026-12-01", "23:45")])
def test_of_a_schedule_is_what_one_would_have_typed(plan: Plan) -> None:
    planned = plan.schedule(ATHENS, NOW)
    assert planned is not None
    assert Plan.of_schedule(planned, ATHENS) == plan


def test_seconds_of_a_browser_are_left_out() -> None:
    planned = Plan(When.AT, "2026-12-01", "10:00:30").schedule(ATHENS, NOW)
    assert planned == schedule.at_moment(datetime(2026, 12, 1, 8, 0, tzinfo=UTC), ATHENS, NOW)
    assert planned.due_at - NOW < timedelta(days=10)

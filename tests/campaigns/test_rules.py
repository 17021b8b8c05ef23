from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from blossom.campaigns.errors import InvalidSchedule
from blossom.campaigns.rules import schedule, states
from blossom.campaigns.rules.states import Action, CampaignState

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

S = CampaignState
#                 draft  scheduled  sending  paused  completed  failed  cancelled
TABLE = {
    Action.EDIT: [S.DRAFT, S.SCHEDULED, "no", "no", "no", "no", "no"],
    Action.DELETE: ["gone", "gone", "no", "no", "no", "gone", "gone"],
    Action.SCHEDULE: [S.SCHEDULED, S.SCHEDULED, "no", "no", "no", "no", "no"],
    Action.UNSCHEDULE: ["no", S.DRAFT, "no", "no", "no", "no", "no"],
    Action.ENQUEUE: [S.SENDING, S.SENDING, "no", S.SENDING, "no", "no", "no"],
    Action.PAUSE: ["no", "no", S.PAUSED, "no", "no", "no", "no"],
    Action.RESUME: ["no", "no", "no", S.SENDING, "no", "no", "no"],
    Action.CANCEL: ["no", S.CANCELLED, S.CANCELLED, S.CANCELLED, "no", "no", "no"],
    Action.RETRY: ["no", "no", "no", "no", S.SENDING, S.SENDING, "no"],
    Action.CHOOSE_WINNER: ["no", "no", S.SENDING, S.PAUSED, "no", "no", "no"],
    Action.COMPLETE: ["no", "no", S.COMPLETED, S.COMPLETED, "no", "no", "no"],
    Action.FAIL: ["no", S.FAILED, S.FAILED, S.FAILED, "no", "no", "no"],
}
COLUMNS = [S.DRAFT, S.SCHEDULED, S.SENDING, S.PAUSED, S.COMPLETED, S.FAILED, S.CANCELLED]
CASES = [(action, state, TABLE[action][i]) for action in Action for i, state in enumerate(COLUMNS)]


@pytest.mark.parametrize(("action", "state", "leads_to"), CASES)
def test_what_may_be_done_in_which_state_and_where_it_leads(
    action: Action, state: CampaignState, leads_to: CampaignState | str
) -> None:
    assert states.may(action, state) == (leads_to != "no")
    if leads_to != "no":
        assert states.TRANSITIONS[action][state] == (None if leads_to == "gone" else leads_to)


def test_sent_is_read_as_completed_and_nothing_leads_to_it() -> None:
    assert states.shown("sent") is S.COMPLETED
    assert all(S.SENT not in steps and S.SENT not in steps.values() for steps in states.TRANSITIONS.values())


def test_what_left_even_in_part_is_kept() -> None:
    assert states.may_delete(S.FAILED, has_dispatch=False)
    assert not states.may_delete(S.FAILED, has_dispatch=True)
    assert not states.may_delete(S.CANCELLED, has_dispatch=True)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "wall", "moment"),
    [
        ("Europe/Athens", "2027-01-10T10:00", "2027-01-10T08:00+00:00"),
        ("Europe/Athens", "2027-07-10T10:00", "2027-07-10T07:00+00:00"),
        # Clocks go from 03:00 to 04:00: 03:30 is not there and means half an hour after the gap began.
        ("Europe/Athens", "2027-03-28T03:30", "2027-03-28T01:30+00:00"),
        ("Europe/Athens", "2027-03-28T04:00", "2027-03-28T01:00+00:00"),
        # Clocks go from 04:00 back to 03:00: 03:30 comes twice and means the first.
        ("Europe/Athens", "2027-10-31T03:30", "2027-10-31T00:30+00:00"),
        ("America/New_York", "2027-03-14T02:30", "2027-03-14T07:30+00:00"),
        ("America/New_York", "2027-11-07T01:30", "2027-11-07T05:30+00:00"),
        ("Australia/Lord_Howe", "2027-10-03T02:15", "2027-10-02T15:45+00:00"),  # a gap of half an hour
        ("Pacific/Kiritimati", "2027-01-01T00:00", "2026-12-31T10:00+00:00"),
    ],
)
def test_a_wall_time_on_a_zones_clocks(zone: str, wall: str, moment: str) -> None:
    assert schedule.moment_on(_at(wall), zone) == _at(moment)


def test_a_moment_without_an_offset_is_the_shops() -> None:
    plan = schedule.at_moment(_at("2026-11-20T15:00"), "Europe/Athens", NOW)
    assert plan.kind is schedule.ScheduleKind.AT
    assert plan.scheduled_at == plan.due_at == _at("2026-11-20T13:00+00:00")
    assert plan.local_at is None


def test_a_moment_with_an_offset_is_that_moment() -> None:
    moment = datetime(2026, 11, 20, 15, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert schedule.at_moment(moment, "Europe/Athens", NOW).scheduled_at == _at("2026-11-20T20:00+00:00")


def test_a_local_time_is_due_when_it_comes_first_anywhere() -> None:
    plan = schedule.at_local_time(_at("2026-12-01T10:00"), "Europe/Athens", NOW)
    assert plan.due_at == _at("2026-11-30T20:00+00:00")
    assert plan.due_at == schedule.moment_on(_at("2026-12-01T10:00"), "Pacific/Kiritimati")
    assert plan.local_at == _at("2026-12-01T10:00")
    assert plan.scheduled_at is None


def test_a_local_time_that_has_come_further_east_is_due_at_once() -> None:
    assert schedule.at_local_time(_at("2026-11-20T18:00"), "Europe/Athens", NOW).due_at == NOW


@pytest.mark.parametrize(
    ("at", "local", "code"),
    [
        ("2026-11-20T14:00", False, "schedule_in_past"),  # now, in Athens
        ("2026-11-20T11:59:59+00:00", False, "schedule_in_past"),
        ("2026-11-20T14:00", True, "schedule_in_past"),
        ("2026-11-21T14:00+02:00", True, "invalid_schedule"),
        ("2027-11-22T12:00", False, "schedule_too_far"),
        ("2027-11-22T12:00", True, "schedule_too_far"),
        ("9999-12-31T23:59:59-12:00", False, "schedule_too_far"),
        ("9999-12-31T23:59:59", True, "schedule_too_far"),
        ("0001-01-01T00:00:00+14:00", False, "schedule_in_past"),
        ("0001-01-01T00:00:00", True, "schedule_in_past"),
    ],
)
def test_a_time_at_which_nothing_can_be_planned(at: str, local: bool, code: str) -> None:
    plan = schedule.at_local_time if local else schedule.at_moment
    with pytest.raises(InvalidSchedule) as refused:
        plan(_at(at), "Europe/Athens", NOW)
    assert refused.value.code == code

"""When people may be texted: on their own clocks, by the shop's hours and their country's."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blossom.messaging.rules.country_hours import COUNTRY_RULES, easter, is_french_holiday
from blossom.messaging.rules.quiet_hours import QuietHours, local_moment, next_allowed, open_until, zone_of

USUAL = QuietHours()
OFF = QuietHours(on=False)
NEVER = QuietHours(time(7, 0), time(7, 0))
LUNCH = QuietHours(time(12, 0), time(13, 0))
UNTIL_MIDNIGHT = QuietHours(time(20, 0), time(0, 0))
FROM_MIDNIGHT = QuietHours(time(0, 0), time(9, 0))
BY_NIGHT_ONLY = QuietHours(time(9, 0), time(21, 0))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "zone", "country", "quiet", "allowed"),
    [
        # the shop's usual hours, 20:00–09:00, on the recipient's clocks
        ("2026-03-10T12:00", "Europe/Athens", "GR", USUAL, "2026-03-10T12:00"),
        ("2026-03-10T17:59:59", "Europe/Athens", "GR", USUAL, "2026-03-10T17:59:59"),
        ("2026-03-10T18:00", "Europe/Athens", "GR", USUAL, "2026-03-11T07:00"),
        ("2026-03-10T22:30", "Europe/Athens", "GR", USUAL, "2026-03-11T07:00"),  # past midnight there
        ("2026-03-11T06:59:59", "Europe/Athens", "GR", USUAL, "2026-03-11T07:00"),
        ("2026-03-11T07:00", "Europe/Athens", "GR", USUAL, "2026-03-11T07:00"),
        ("2026-03-10T18:00", "Asia/Tokyo", "JP", USUAL, "2026-03-11T00:00"),
        ("2026-03-10T12:00", "Asia/Kathmandu", "NP", USUAL, "2026-03-10T12:00"),  # 17:45
        ("2026-03-10T14:20", "Asia/Kathmandu", "NP", USUAL, "2026-03-11T03:15"),  # 20:05
        ("2026-03-10T23:00", "Pacific/Kiritimati", "KI", USUAL, "2026-03-10T23:00"),  # 13:00, fourteen hours ahead
        ("2026-03-10T12:00", "Pacific/Pago_Pago", "AS", USUAL, "2026-03-10T20:00"),
        # hours of other shapes
        ("2026-03-10T12:30", "UTC", "GR", LUNCH, "2026-03-10T13:00"),
        ("2026-03-10T11:59", "UTC", "GR", LUNCH, "2026-03-10T11:59"),
        ("2026-03-10T03:00", "UTC", "GR", LUNCH, "2026-03-10T03:00"),
        ("2026-03-10T21:00", "UTC", "GR", UNTIL_MIDNIGHT, "2026-03-11T00:00"),
        ("2026-03-10T02:00", "UTC", "GR", UNTIL_MIDNIGHT, "2026-03-10T02:00"),
        ("2026-03-10T02:00", "UTC", "GR", FROM_MIDNIGHT, "2026-03-10T09:00"),
        ("2026-03-10T23:59", "UTC", "GR", FROM_MIDNIGHT, "2026-03-10T23:59"),
        ("2026-03-10T03:00", "UTC", "GR", NEVER, "2026-03-10T03:00"),
        ("2026-03-10T03:00", "Europe/Paris", "FR", OFF, "2026-03-10T03:00"),
        # bad data never stops a send
        ("2026-03-10T21:00", "Nowhere/At_All", "GR", USUAL, "2026-03-11T09:00"),
        ("2026-03-10T21:00", "", "", USUAL, "2026-03-11T09:00"),
        ("2026-03-10T21:00", "../../etc/passwd", "ZZ", USUAL, "2026-03-11T09:00"),
        # clocks turned: 02:00 → 03:00 on 8 March, 02:00 → 01:00 on 1 November in New York
        ("2026-03-08T03:00", "America/New_York", "CA", USUAL, "2026-03-08T13:00"),
        ("2026-11-01T03:00", "America/New_York", "CA", USUAL, "2026-11-01T14:00"),
        ("2026-03-08T06:30", "America/New_York", "CA", QuietHours(time(23, 0), time(2, 30)), "2026-03-08T07:30"),
        ("2026-11-01T05:10", "America/New_York", "CA", QuietHours(time(23, 0), time(1, 30)), "2026-11-01T06:30"),
    ],
)
def test_the_first_moment_at_which_a_text_may_go(
    moment: str, zone: str, country: str, quiet: QuietHours, allowed: str
) -> None:
    assert next_allowed(utc(moment), zone, country, quiet) == utc(allowed)
    closes = open_until(utc(moment), zone, country, quiet)
    assert closes is None or closes > utc(allowed)


@pytest.mark.parametrize(
    ("country", "zone", "local", "allowed"),
    [
        ("FR", "Europe/Paris", "2026-11-20T09:30", "2026-11-20T10:00"),  # Friday
        ("FR", "Europe/Paris", "2026-11-20T20:00", "2026-11-21T10:00"),
        ("FR", "Europe/Paris", "2026-11-21T19:59", "2026-11-21T19:59"),
        ("FR", "Europe/Paris", "2026-11-21T20:00", "2026-11-23T10:00"),  # Saturday evening: on Monday
        ("FR", "Europe/Paris", "2026-11-22T12:00", "2026-11-23T10:00"),
        ("FR", "Europe/Paris", "2026-07-14T12:00", "2026-07-15T10:00"),
        ("FR", "Europe/Paris", "2026-04-06T12:00", "2026-04-07T10:00"),  # Easter Monday
        ("FR", "Europe/Paris", "2026-05-14T12:00", "2026-05-15T10:00"),  # Ascension
        ("FR", "Europe/Paris", "2026-05-25T12:00", "2026-05-26T10:00"),  # Whit Monday
        ("FR", "Europe/Paris", "2027-12-25T12:00", "2027-12-27T10:00"),  # Christmas on a Saturday
        ("RE", "Indian/Reunion", "2026-11-22T12:00", "2026-11-23T10:00"),
        ("BE", "Europe/Brussels", "2026-11-22T12:00", "2026-11-22T12:00"),
        ("US", "America/Los_Angeles", "2026-11-22T08:30", "2026-11-22T09:00"),
        ("US", "America/Los_Angeles", "2026-11-22T20:00", "2026-11-23T09:00"),
        ("AU", "Australia/Adelaide", "2026-11-22T20:30", "2026-11-23T09:00"),
        ("IN", "Asia/Kolkata", "2026-11-22T09:30", "2026-11-22T10:00"),
        ("IN", "Asia/Kolkata", "2026-11-22T20:59", "2026-11-22T20:59"),
        ("IN", "Asia/Kolkata", "2026-11-22T21:00", "2026-11-23T10:00"),
    ],
)
def test_a_countrys_rules_hold_where_the_shop_allows_more(country: str, zone: str, local: str, allowed: str) -> None:
    there = ZoneInfo(zone)
    found = next_allowed(datetime.fromisoformat(local).replace(tzinfo=there), zone, country, NEVER)
    assert found.astimezone(there).isoformat()[:16] == allowed
    assert found.tzinfo is UTC


def test_the_shops_hours_hold_where_the_country_allows_more() -> None:
    afternoon = QuietHours(time(17, 0), time(14, 0))
    assert next_allowed(utc("2026-11-20T11:00"), "Europe/Paris", "FR", afternoon) == utc("2026-11-20T13:00")
    assert next_allowed(utc("2026-11-20T17:00"), "Europe/Paris", "FR", afternoon) == utc("2026-11-21T13:00")


def test_hours_that_leave_nothing_of_the_countrys_give_way_to_them() -> None:
    assert next_allowed(utc("2026-11-20T23:00"), "Europe/Paris", "FR", BY_NIGHT_ONLY) == utc("2026-11-21T09:00")
    assert next_allowed(utc("2026-11-20T23:00"), "Europe/Athens", "GR", BY_NIGHT_ONLY) == utc("2026-11-20T23:00")


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (1818, "03-22"),
        (1961, "04-02"),
        (2024, "03-31"),
        (2025, "04-20"),
        (2026, "04-05"),
        (2027, "03-28"),
        (2038, "04-25"),
    ],
)
def test_easter(year: int, sunday: str) -> None:
    assert easter(year) == date.fromisoformat(f"{year}-{sunday}")


def test_france_has_eleven_holidays() -> None:
    year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    assert [f"{day:%m-%d}" for day in year if is_french_holiday(day)] == [
        "01-01", "04-06", "05-01", "05-08", "05-14", "05-25", "07-14", "08-15", "11-01", "11-11", "12-25",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "at", "moment"),
    [
        ("Europe/Athens", "2026-03-10T12:00", "2026-03-10T10:00"),
        ("Asia/Tokyo", "2026-03-10T00:30", "2026-03-09T15:30"),
        ("America/New_York", "2026-03-08T02:30", "2026-03-08T07:30"),  # does not exist: 03:30
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30"),  # comes twice: the first
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00"),  # a day that Samoa skipped: noon of the next
        ("Nowhere/At_All", "2026-03-10T12:00", "2026-03-10T12:00"),
    ],
)
def test_a_wall_time_in_each_zone(zone: str, at: str, moment: str) -> None:
    wall = datetime.fromisoformat(at)
    assert local_moment(wall.date(), wall.time(), zone) == utc(moment)


def test_a_zone_is_looked_up_once() -> None:
    assert zone_of("Europe/Athens") is zone_of("Europe/Athens")


ZONES = (
    "UTC", "Europe/Athens", "Europe/Paris", "America/New_York", "America/St_Johns", "Australia/Lord_Howe",
    "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Santiago", "Pacific/Apia", "Pacific/Chatham",
    "Asia/Kathmandu", "Antarctica/Troll", "nonsense",
)  # fmt: skip

FIRST_DAY = datetime(2009, 1, 1, tzinfo=UTC)
DAYS = 29 * 365


@cache
def days_of_turning(zone: str) -> list[datetime]:
    """The days (from midnight UTC) on which this zone's clocks are turned."""
    days = [FIRST_DAY + timedelta(days=number) for number in range(DAYS)]
    offsets = [day.astimezone(zone_of(zone)).utcoffset() for day in days]
    return [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]


@st.composite
def places(draw: st.DrawFn) -> tuple[datetime, str]:
    """A moment and a zone; half of the moments are close to where the zone turns its clocks."""
    zone = draw(st.sampled_from(ZONES))
    turns = days_of_turning(zone)
    day = draw(st.sampled_from(turns) if turns and draw(st.booleans()) else _any_day)
    return day + timedelta(seconds=draw(st.integers(-86_400, 2 * 86_400))), zone


_any_day = st.integers(0, DAYS).map(lambda number: FIRST_DAY + timedelta(days=number))
minutes = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
nights = st.builds(QuietHours, minutes, minutes)
turned = st.builds(  # quiet hours that begin or end just where clocks are turned
    QuietHours, st.sampled_from([time(0, 30), time(1, 30), time(2, 30)]), st.sampled_from([time(1, 45), time(9, 0)])
)
countries = st.sampled_from(["GR", "ZZ", *COUNTRY_RULES])


def is_allowed(moment: datetime, zone: str, country: str, quiet: QuietHours) -> bool:
    """The rule told again, on the wall clock that the recipient reads."""
    local = moment.astimezone(ZoneInfo("UTC") if zone == "nonsense" else ZoneInfo(zone))
    wall = local.time()
    if quiet.start < quiet.end:
        asleep = quiet.start <= wall < quiet.end
    else:
        asleep = quiet.start != quiet.end and (wall >= quiet.start or wall < quiet.end)
    rule = COUNTRY_RULES.get(country)
    if rule is None:
        return not asleep
    forbidden = not rule.earliest <= wall < rule.latest or local.weekday() in rule.closed_weekdays
    return not asleep and not forbidden and not rule.is_holiday(local.date())


def leaves_an_hour(country: str, quiet: QuietHours) -> bool:
    """Whether shop and country have some minute of an ordinary day in common."""
    ordinary = datetime(2026, 11, 20, tzinfo=UTC)
    return any(is_allowed(ordinary + timedelta(minutes=n), "UTC", country, quiet) for n in range(24 * 60))


@settings(max_examples=1500, deadline=None)
@given(places(), countries, st.one_of(nights, turned, st.just(USUAL)))
def test_whatever_the_hours_nobody_is_woken(place: tuple[datetime, str], country: str, quiet: QuietHours) -> None:
    moment, zone = place
    found = next_allowed(moment, zone, country, quiet)
    assert found >= moment
    assert next_allowed(found, zone, country, quiet) == found
    assert found - moment < timedelta(days=5)
    if not leaves_an_hour(country, quiet):
        quiet = NEVER
    assert is_allowed(found, zone, country, quiet)


@settings(max_examples=400, deadline=None)
@given(places(), countries, st.one_of(nights, st.just(USUAL)))
def test_nobody_waits_longer_than_need_be(place: tuple[datetime, str], country: str, quiet: QuietHours) -> None:
    """Between the moment and the one found all is quiet, but around the hour at which clocks are turned."""
    moment, zone = place
    found = next_allowed(moment, zone, country, quiet)
    if not leaves_an_hour(country, quiet):
        quiet = NEVER
    there = zone_of(zone)
    for step in range(1, 20):
        between = moment + (found - moment) * step / 20
        offsets = {(between + timedelta(hours=hours)).astimezone(there).utcoffset() for hours in (-26, 0, 26)}
        if between < found and len(offsets) == 1:
            assert not is_allowed(between, zone, country, quiet)

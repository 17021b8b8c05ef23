"""When a recipient may be texted: the shop's quiet hours, stricter rules of some countries, in the recipient's zone.

All functions are pure; moments are aware, answers are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True)
class QuietHours:
    """Local times between which nobody is texted; `start` > `end` spans midnight. `on=False`: the shop chose none,
    and then country rules don't hold either (a setting for tests and demonstrations that the merchant answers for)."""

    start: time = time(20, 0)
    end: time = time(9, 0)
    on: bool = True


@dataclass(frozen=True)
class CountryRule:
    """What a country's rules add: hours within which marketing texts may go, and days on which none may."""

    earliest: time
    latest: time
    closed_weekdays: frozenset[int] = frozenset()  # Monday is 0
    closed_days: frozenset[tuple[int, int]] = frozenset()  # (month, day), fixed public holidays


_FRANCE_HOLIDAYS = frozenset({(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)})

COUNTRY_RULES: dict[str, CountryRule] = {
    # France: 10:00–20:00, never on Sundays and public holidays (the carriers' charter).
    "FR": CountryRule(time(10, 0), time(20, 0), frozenset({6}), _FRANCE_HOLIDAYS),
    # United States: 8:00–21:00 federally (TCPA); several states (FL, OK, WA) end at 20:00: the stricter holds for all.
    "US": CountryRule(time(8, 0), time(20, 0)),
    # Australia: the industry's code allows 9:00–20:00.
    "AU": CountryRule(time(9, 0), time(20, 0)),
    # India: commercial texts between 10:00 and 21:00.
    "IN": CountryRule(time(10, 0), time(21, 0)),
}


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone called `name`; UTC when there is none by that name, so that bad data never stops a send."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def may_text_at(moment: datetime, zone: str, country: str, quiet: QuietHours) -> bool:
    """Whether a marketing text may reach this zone and country at `moment`."""
    return next_allowed(moment, zone, country, quiet) == moment


def next_allowed(moment: datetime, zone: str, country: str, quiet: QuietHours) -> datetime:
    """The first moment, `moment` itself or later, at which a text may go. UTC."""
    if not quiet.on:
        return moment
    local_zone = zone_of(zone)
    rule = COUNTRY_RULES.get(country)
    day = moment.astimezone(local_zone).date()
    for ahead in range(30):  # no rule closes a month
        for opens, closes in _open_hours(day + timedelta(days=ahead), local_zone, quiet, rule):
            if moment < closes:
                return max(moment, opens)
    raise AssertionError("some day of the next thirty is open")


def local_moment(day: date, at: time, zone: str) -> datetime:
    """`day` and `at` on this zone's clocks, in UTC. In a gap (clocks go forward): the moment after the gap, counted
    on; when the hour comes twice: its first time."""
    return datetime.combine(day, at, zone_of(zone)).astimezone(UTC)


def _open_hours(
    day: date, zone: ZoneInfo, quiet: QuietHours, rule: CountryRule | None
) -> list[tuple[datetime, datetime]]:
    """The spans of a local day in which a text may go, as UTC moments."""
    if rule and (day.weekday() in rule.closed_weekdays or (day.month, day.day) in rule.closed_days):
        return []
    midnight, end_of_day = time(0, 0), None
    if quiet.start == quiet.end:
        spans: list[tuple[time, time | None]] = [(midnight, end_of_day)]
    elif quiet.start > quiet.end:
        spans = [(quiet.end, quiet.start)]
    else:
        spans = [(midnight, quiet.start), (quiet.end, end_of_day)]
    open_hours = []
    for opens, closes in spans:
        if rule:
            opens = max(opens, rule.earliest)
            closes = rule.latest if closes is None else min(closes, rule.latest)
        begin = datetime.combine(day, opens, zone).astimezone(UTC)
        if closes is None:
            end = datetime.combine(day + timedelta(days=1), midnight, zone).astimezone(UTC)
        else:
            end = datetime.combine(day, closes, zone).astimezone(UTC)
        if begin < end:
            open_hours.append((begin, end))
    return open_hours

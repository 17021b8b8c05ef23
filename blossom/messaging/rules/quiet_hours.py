"""When a recipient may be texted: the shop's quiet hours, stricter rules of some countries, in the recipient's zone.

All functions are pure; moments are aware, answers are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from blossom.messaging.rules.country_hours import COUNTRY_RULES, CountryRule


@dataclass(frozen=True)
class QuietHours:
    """Local times between which nobody is texted; `start` > `end` spans midnight, `start` = `end` is no hour at all.
    `on=False`: the shop chose none, and then country rules don't hold either (a setting for tests and demonstrations
    that the merchant answers for)."""

    start: time = time(20, 0)
    end: time = time(9, 0)
    on: bool = True


_NO_HOURS_OF_ITS_OWN = QuietHours(time(0, 0), time(0, 0))

_DAYS_AHEAD = 15
"""No country's rules close so many days in a row."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone called `name`; UTC when there is none by that name, so that bad data never stops a send."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def next_allowed(moment: datetime, zone: str, country: str, quiet: QuietHours) -> datetime:
    """The first moment, `moment` itself or later, at which a text may go. UTC.

    When the shop's hours leave nothing of the country's (a shop that texts at night only), the country's hold alone.
    """
    span = _next_span(moment, zone, country, quiet)
    return moment.astimezone(UTC) if span is None else max(moment.astimezone(UTC), span[0])


def open_until(moment: datetime, zone: str, country: str, quiet: QuietHours) -> datetime | None:
    """Until when texts may go, if one may at `moment`; None when the hours never close. UTC."""
    span = _next_span(moment, zone, country, quiet)
    return None if span is None else span[1]


def _next_span(moment: datetime, zone: str, country: str, quiet: QuietHours) -> tuple[datetime, datetime] | None:
    """The span of open hours that `moment` is in, or the next one; None when there are no quiet hours."""
    moment = moment.astimezone(UTC)
    if not quiet.on:
        return None
    local_zone, rule = zone_of(zone), COUNTRY_RULES.get(country)
    for hours in (quiet, _NO_HOURS_OF_ITS_OWN):
        day = moment.astimezone(local_zone).date()
        for _ in range(_DAYS_AHEAD):
            for opens, closes in _open_hours(day, local_zone, hours, rule):
                if moment < closes:
                    return opens, closes
            day += timedelta(days=1)
    raise AssertionError("every country is open some day")


def open_minutes(day: date, zone: str, country: str, quiet: QuietHours) -> list[tuple[int, int]]:
    """The spans of a local day in which a text may go, in minutes on that zone's clocks (0 to 1440): to draw them."""
    if not quiet.on:
        return [(0, 1440)]
    local_zone, rule = zone_of(zone), COUNTRY_RULES.get(country)
    for hours in (quiet, _NO_HOURS_OF_ITS_OWN):
        spans = [
            (_minute(opens, day, local_zone), _minute(closes, day, local_zone))
            for opens, closes in _open_hours(day, local_zone, hours, rule)
        ]
        if spans or (rule and rule.is_closed(day)):
            return spans
    raise AssertionError("a country's rule leaves some hours of a day that it does not close")


def _minute(moment: datetime, day: date, zone: ZoneInfo) -> int:
    """On the clocks of `zone` that day; where the next one begins: 1440."""
    local = moment.astimezone(zone)
    return 1440 if local.date() > day else local.hour * 60 + local.minute


def local_moment(day: date, at: time, zone: str) -> datetime:
    """`day` and `at` on this zone's clocks, in UTC. In a gap (clocks go forward): the moment after the gap, counted
    on; when the hour comes twice: its first time."""
    return datetime.combine(day, at, zone_of(zone)).astimezone(UTC)


def _open_hours(
    day: date, zone: ZoneInfo, quiet: QuietHours, rule: CountryRule | None
) -> Iterator[tuple[datetime, datetime]]:
    """The spans of a local day in which a text may go, as UTC moments. None in a span: where the day begins or ends."""
    if rule and rule.is_closed(day):
        return
    spans: list[tuple[time | None, time | None]]
    if quiet.start == quiet.end:
        spans = [(None, None)]
    elif quiet.start > quiet.end:
        spans = [(quiet.end, quiet.start)]
    else:
        spans = [(None, quiet.start), (quiet.end, None)]
    for opens, closes in spans:
        if rule:
            opens = max(opens or rule.earliest, rule.earliest)
            closes = min(closes or rule.latest, rule.latest)
        begin = _begin(day, zone) if opens is None else max(_readings(day, opens, zone))
        end = _begin(day + timedelta(days=1), zone) if closes is None else min(_readings(day, closes, zone))
        if begin < end:
            yield begin, end


def _readings(day: date, at: time, zone: ZoneInfo) -> list[datetime]:
    """Both moments that a wall time can mean where clocks are turned (else one, twice). Taking the later to open and
    the earlier to close keeps quiet hours whole on those nights."""
    return [datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1)]


def _begin(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0, 0), zone).astimezone(UTC)

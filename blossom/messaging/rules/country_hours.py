"""Hours that some countries allow for marketing texts, where they are narrower than a shop's quiet hours might be.

They are chosen narrow, from what carriers, regulators and other senders publish (looked up in November 2026), and they
are no legal advice. A shop's own quiet hours hold beside them. A recipient's country is that of the number, so rules
of single states or regions can't be told apart: where those differ, the usual narrower one holds for the whole
country, and what is left out is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time, timedelta


def _none(day: date) -> bool:
    return False


@dataclass(frozen=True)
class CountryRule:
    """Local times between which marketing texts may go, and days on which none may."""

    earliest: time
    latest: time
    closed_weekdays: frozenset[int] = frozenset()  # Monday is 0
    is_holiday: Callable[[date], bool] = _none

    def is_closed(self, day: date) -> bool:
        """Whether no text may go on this local day."""
        return day.weekday() in self.closed_weekdays or self.is_holiday(day)


_FRENCH_FIXED = frozenset({(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)})
_FRENCH_AFTER_EASTER = frozenset(map(timedelta, (1, 39, 50)))  # Easter Monday, Ascension, Whit Monday


def is_french_holiday(day: date) -> bool:
    """Whether it is one of France's eleven public holidays (not those of Alsace and Moselle, or of a single island)."""
    return (day.month, day.day) in _FRENCH_FIXED or day - easter(day.year) in _FRENCH_AFTER_EASTER


def easter(year: int) -> date:
    """Easter Sunday of a Gregorian year (the "anonymous" algorithm, Nature, 1876)."""
    golden, century, of_century = year % 19, year // 100, year % 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


_FRENCH = CountryRule(time(10, 0), time(20, 0), frozenset({6}), is_french_holiday)

COUNTRY_RULES: dict[str, CountryRule] = {
    # France and its overseas departments. Carriers refuse marketing texts on Sundays, public holidays and at night;
    # the hours that senders name differ (from 8:00 or 8:30, until 20:00, 20:30 or 22:00), ours lie within all of them.
    **dict.fromkeys(("FR", "GP", "MQ", "GF", "RE", "YT"), _FRENCH),
    # United States: 8:00–21:00 at the recipient's place (47 CFR 64.1200(c)); Florida, Oklahoma, Washington and others
    # end at 20:00, Connecticut and Texas begin at 9:00. Left out: Rhode Island's shorter evenings, Texas' Sunday
    # mornings, and states that allow no sales calls on Sundays.
    "US": CountryRule(time(9, 0), time(20, 0)),
    # Australia: the Spam Act names no hours for texts. The weekday hours of the standard for telemarketing *calls*.
    "AU": CountryRule(time(9, 0), time(20, 0)),
    # India: the regulator bars commercial texts from 21:00 to 9:00; senders commonly begin at 10:00.
    "IN": CountryRule(time(10, 0), time(21, 0)),
}

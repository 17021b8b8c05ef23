"""Numbers, moments and sums of money as the readers of a locale write them; the data are Unicode's, by Babel. Pure.

`locale` is one of `languages.supported`. English is written as in Britain: a day before its month, and 24 hours.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers
from babel.numbers import NumberPattern

_FORMS = {"en": "en_GB"}


@cache
def forms(locale: str) -> Locale:
    """What Babel knows of the locale."""
    return Locale.parse(_FORMS.get(locale, locale.replace("-", "_")))


def number(value: float, locale: str) -> str:
    """`12,345`, with three decimals at most."""
    return numbers.format_decimal(value, locale=forms(locale))


def percent(value: float, locale: str) -> str:
    """`value` is of a hundred: 12.5 becomes `12.5%`. One decimal, but for none, for all, and for an `int`."""
    pattern = _whole_percents(locale) if isinstance(value, int) or value in (0, 100) else _percents(locale)
    return str(pattern.apply(value / 100, forms(locale)))


def money(minor: int, locale: str, currency: str | None = None) -> str:
    """`€1,234.50`: a sum in the shop's currency, or without it where we know of none; `minor` counts its hundredths."""
    if currency:
        return numbers.format_currency(Decimal(minor) / 100, currency, locale=forms(locale))
    return numbers.format_decimal(Decimal(minor) / 100, "#,##0.00", locale=forms(locale))


def day(at: datetime, zone: str, locale: str) -> str:
    """The day of that moment in that zone: `20 Nov 2026`."""
    return dates.format_skeleton("yMMMd", at, tzinfo=ZoneInfo(zone), locale=forms(locale))


def month(first_day: date, locale: str) -> str:
    """`November 2026`."""
    return dates.format_skeleton("yMMMM", first_day, locale=forms(locale))


def moment(at: datetime, zone: str, locale: str) -> str:
    """A moment as people of that zone read it: `20 Nov 2026, 21:14 (Europe/Athens)`."""
    return f"{day(at, zone, locale)}, {clock_time(at, zone)} ({zone})"


def clock_time(at: datetime, zone: str) -> str:
    """The time of day of that moment in that zone: `21:14`."""
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M}"


@cache
def city(zone: str, locale: str) -> str:
    """What people call the time zone: `Athens`."""
    return dates.get_timezone_location(ZoneInfo(zone), locale=forms(locale), return_city=True)


def country(code: str, locale: str) -> str:
    """The name of a country by its two letters; the letters where Unicode has no name for it."""
    return str(forms(locale).territories.get(code, code))


@cache
def _whole_percents(locale: str) -> NumberPattern:
    pattern: NumberPattern = forms(locale).percent_formats[None]
    return pattern


@cache
def _percents(locale: str) -> NumberPattern:
    pattern: NumberPattern = numbers.parse_pattern(_whole_percents(locale).pattern)
    pattern.frac_prec = (1, 1)
    return pattern

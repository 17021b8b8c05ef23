"""Dates in a text: a closed set of patterns, the same on every machine (strftime's are not)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

from blossom.platform.languages import noted

MAX_PATTERN = 40

_months = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "el": [
        "Ιανουαρίου",
        "Φεβρουαρίου",
        "Μαρτίου",
        "Απριλίου",
        "Μαΐου",
        "Ιουνίου",
        "Ιουλίου",
        "Αυγούστου",
        "Σεπτεμβρίου",
        "Οκτωβρίου",
        "Νοεμβρίου",
        "Δεκεμβρίου",
    ],
}
_days = {
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "el": ["Δευτέρα", "Τρίτη", "Τετάρτη", "Πέμπτη", "Παρασκευή", "Σάββατο", "Κυριακή"],
}

_dotted = frozenset(
    ["bg", "cs", "da", "de", "et", "fi", "hr", "lv", "nb", "no", "pl", "ro", "ru", "sk", "sl", "sr", "tr", "uk"]
)

_numbers: dict[str, Callable[[date], str]] = {
    "%d": lambda day: f"{day.day:02}",
    "%-d": lambda day: str(day.day),
    "%m": lambda day: f"{day.month:02}",
    "%-m": lambda day: str(day.month),
    "%Y": lambda day: f"{day.year:04}",
    "%y": lambda day: f"{day.year % 100:02}",
    "%H": lambda day: f"{day.hour:02}" if isinstance(day, datetime) else "00",
    "%M": lambda day: f"{day.minute:02}" if isinstance(day, datetime) else "00",
    "%%": lambda day: "%",
}
_names: dict[str, Callable[[date, str], str]] = {
    "%B": lambda day, language: _months[language][day.month - 1],
    "%b": lambda day, language: _months[language][day.month - 1][:3],
    "%A": lambda day, language: _days[language][day.weekday()],
    "%a": lambda day, language: _days[language][day.weekday()][:3],
}
_directive = re.compile(r"%-?.?", re.DOTALL)


def default_pattern(language: str) -> str:
    """Digits, in the GSM alphabet everywhere; English names its month, since 11/10 is two days there."""
    if language == "en":
        return "%-d %b %Y"
    return "%d.%m.%Y" if language in _dotted else "%d/%m/%Y"


def wrong_with(pattern: str, language: str) -> str | None:
    """What is wrong with a pattern that a merchant wrote, or None."""
    if not pattern.strip() or len(pattern) > MAX_PATTERN:
        return noted("takes a pattern of 1 to %(max_pattern)s characters", max_pattern=MAX_PATTERN)
    for directive in _directive.findall(pattern):
        if directive in _names and language not in _months:
            return noted(
                "knows the names of months and days (“%(directive)s”) in English and Greek only", directive=directive
            )
        if directive not in _names and directive not in _numbers:
            return noted(
                "does not know “%(directive)s”; it knows %(list)s",
                directive=directive,
                list=" ".join((*_numbers, *_names)),
            )
    return None


def format_date(day: date, pattern: str, language: str) -> str:
    """`day` as a checked `pattern` says. The caller gives it in the zone that the reader thinks in."""

    def written(match: re.Match[str]) -> str:
        directive = match.group()
        return _numbers[directive](day) if directive in _numbers else _names[directive](day, language)

    return _directive.sub(written, pattern)

"""The filters of a text: `money, date, default, titlecase, truncate, upper, lower, shortlink`.

Each is total: no argument and no value that passed `check` makes it raise or grow its text. A missing value passes
through all of them but `default`, so that `{{ first_name | titlecase | default: "friend" }}` works in either order.

`shortlink` has no function here: `grammar` puts a place for the short address where it stands (`short_links`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from liquid.undefined import is_undefined

from blossom.message_templates.rules import dates
from blossom.message_templates.rules.catalogue import VariableType
from blossom.message_templates.rules.values import Money
from blossom.platform import gsm
from blossom.platform.languages import noted

Argument = str | int | float
SHORTLINK = "shortlink"
_words = re.compile(r"[^\s\-]+")
# Symbols that are in the GSM alphabet; other currencies are written with their code.
_symbols = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_without_cents = frozenset({"JPY", "KRW", "ISK", "CLP", "VND", "HUF"})


def default(value: object, fallback: str) -> object:
    return fallback if is_undefined(value) else value


def titlecase(value: object) -> object:
    """MARIA and maria become Maria; a word of mixed case (McDonald) keeps it but for its first letter."""
    if is_undefined(value):
        return value
    return _words.sub(lambda match: _title_word(match.group()), str(value))


def _title_word(word: str) -> str:
    if word.isupper() or word.islower():
        word = word.lower()
        before, mark, after = word.partition("'")
        if mark and len(before) == 1 and len(after) > 1:  # O'Neil, D'Angelo; but not Maria's
            return before.upper() + mark + after[0].upper() + after[1:]
    return word[0].upper() + word[1:]


def upper(value: object) -> object:
    """In capitals of the GSM alphabet where it has them (`gsm.capitals`)."""
    return value if is_undefined(value) else gsm.capitals(str(value))


def lower(value: object) -> object:
    return value if is_undefined(value) else str(value).lower()


def truncate(value: object, length: int, ending: str = "...") -> object:
    """At most `length` characters, `ending` among them. Never cut within an emoji's sequence or before an accent."""
    if is_undefined(value):
        return value
    text = str(value)
    if len(text) <= length:
        return text
    end = max(0, length - len(ending))
    while end and (_holds_on(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[:end].rstrip() + ending


def _holds_on(char: str) -> bool:
    """Does this character belong to the one before it?"""
    return char in "\u200d\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff" or unicodedata.combining(char) > 0


def money(value: object, language: str) -> object:
    """€49.90 in English, 49,90 € elsewhere; currencies without a sign in GSM-7 by code (49,90 PLN)."""
    if not isinstance(value, Money):
        return value
    places = Decimal(1) if value.currency in _without_cents else Decimal("0.01")
    amount = f"{value.quantize(places, ROUND_HALF_UP):,}"
    sign = _symbols.get(value.currency)
    if language == "en":
        return f"{sign}{amount}" if sign else f"{amount} {value.currency}"
    amount = amount.translate(str.maketrans(",.", ".,"))
    return f"{amount} {sign or value.currency}"


def format_date(value: object, language: str, pattern: str | None = None) -> object:
    """A date as `pattern` says (`dates`), else as the language writes it: 25 Nov 2026, 25/11/2026, 25.11.2026."""
    if not isinstance(value, date):
        return value
    return dates.format_date(value, pattern or dates.default_pattern(language), language)


@dataclass(frozen=True, slots=True)
class Filter:
    """`takes`: types it can follow. `check`: what is wrong with these arguments, or None."""

    takes: frozenset[VariableType]
    gives: VariableType
    check: Callable[[Sequence[Argument], str], str | None]
    usage: str


def _no_arguments(arguments: Sequence[Argument], language: str) -> str | None:
    return noted("takes nothing after it") if arguments else None


def _one_text(arguments: Sequence[Argument], language: str) -> str | None:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        return noted("needs one text in quotes")
    return None if arguments[0].strip() else noted("needs a text that is not empty")


def _length_and_ending(arguments: Sequence[Argument], language: str) -> str | None:
    if not 1 <= len(arguments) <= 2 or type(arguments[0]) is not int or not 1 <= arguments[0] <= 200:
        return noted("needs a length from 1 to 200")
    ending = arguments[1] if len(arguments) == 2 else "..."
    if not isinstance(ending, str):
        return noted("needs its ending in quotes")
    return None if len(ending) < arguments[0] else noted("needs a length greater than its ending's")


def _date_pattern(arguments: Sequence[Argument], language: str) -> str | None:
    if not arguments:
        return None
    if len(arguments) > 1 or not isinstance(arguments[0], str):
        return noted("takes one pattern in quotes")
    return dates.wrong_with(arguments[0], language)


_any_text = frozenset({VariableType.TEXT})
FILTERS: dict[str, Filter] = {
    "default": Filter(
        frozenset({VariableType.TEXT, VariableType.URL}), VariableType.TEXT, _one_text, 'default: "friend"'
    ),
    "titlecase": Filter(_any_text, VariableType.TEXT, _no_arguments, "titlecase"),
    "upper": Filter(_any_text, VariableType.TEXT, _no_arguments, "upper"),
    "lower": Filter(_any_text, VariableType.TEXT, _no_arguments, "lower"),
    "truncate": Filter(_any_text, VariableType.TEXT, _length_and_ending, "truncate: 20"),
    "money": Filter(frozenset({VariableType.MONEY}), VariableType.TEXT, _no_arguments, "money"),
    "date": Filter(frozenset({VariableType.DATE}), VariableType.TEXT, _date_pattern, 'date: "%d/%m"'),
    SHORTLINK: Filter(frozenset({VariableType.URL}), VariableType.URL, _no_arguments, SHORTLINK),
}


def functions(language: str) -> dict[str, Callable[..., object]]:
    """The filters as python-liquid calls them, for one language."""
    return {
        "default": default,
        "titlecase": titlecase,
        "upper": upper,
        "lower": lower,
        "truncate": truncate,
        "money": lambda value: money(value, language),
        "date": lambda value, pattern=None: format_date(value, language, pattern),
    }

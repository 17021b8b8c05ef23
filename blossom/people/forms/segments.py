"""The builder of segments, as a browser sends it: `name`, `match`; of each rule `field-0`, `operator-0`, `value-0`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from blossom.people.rules.segments import MOST_RULES, Draft, Row
from blossom.platform import languages
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted
from blossom.segments import forms as segments
from blossom.segments.rules import OPERATORS, Field, Match, Question

_LONGEST = 4_000
_WHOLE = re.compile(r"[0-9]{1,9}")
_MONEY = re.compile(r"([0-9]{1,11})(?:[.,]([0-9]{1,2}))?")
_ROW = re.compile(r"field-([0-9]{1,3})")
_SECONDS = re.compile(r"[0-9]{1,10}")
_COMMAS = re.compile(r"[,;\n]")


GIVEN_UP_AFTER = timedelta(seconds=60)
"""A page that waits so long for a count says that it doesn't come."""


@dataclass(frozen=True)
class CountAsked:
    """`exactly`: everybody is to be looked at; `again`: though they just were. `since`: when the page began to wait for
    that, `waits`: that it did before now, `is_late`: so long ago that it has waited long enough."""

    exactly: bool
    again: bool
    since: datetime
    waits: bool
    is_late: bool


def read_count(given: Mapping[str, str], now: datetime) -> CountAsked:
    """How a count is asked for beside the rules. Of a beginning that can't be read now is taken."""
    exactly, began = given.get("exactly") == "yes", given.get("since", "")
    waits = exactly and _SECONDS.fullmatch(began) is not None
    since = datetime.fromtimestamp(int(began), UTC) if waits else now
    return CountAsked(exactly, given.get("again") == "yes", since, waits, now - since > GIVEN_UP_AFTER)


def read_draft(given: Mapping[str, str]) -> Draft:
    """What was typed, rule by rule. A comparison that a rule's field doesn't know becomes its first."""
    numbers = sorted(int(found[1]) for name in given if (found := _ROW.fullmatch(name)))
    rows = [_row(given, number) for number in numbers[:MOST_RULES]]
    match = given.get("match", "")
    name = given.get("name", "")[:500]
    return Draft(name, Match(match) if match in set(Match) else Match.ALL, rows or [Row()])


def change(draft: Draft, deed: str) -> Draft:
    """With a rule more (`add`), or without one (`remove-2`)."""
    rows = list(draft.rows)
    kind, _, number = deed.partition("-")
    if kind == "add" and len(rows) < MOST_RULES:
        rows.append(Row())
    elif kind == "remove" and is_number(number) and len(rows) > 1:
        del rows[min(int(number[:3]), len(rows) - 1)]
    return replace(draft, rows=rows)


def is_number(place: str) -> bool:
    """Whether it is the number of a rule, as a button of the builder names it; `²` is a digit, and none of ours."""
    return place.isascii() and place.isdigit()


def read_question(draft: Draft, zone: str) -> tuple[Question | None, Draft]:
    """The question that the rules ask; None, and each rule with its fault, where one can't be read."""
    rows, conditions = [], []
    for row in draft.rows:
        try:
            value = _value(row, zone)
        except _Fault as fault:
            rows.append(replace(row, fault=fault.words))
            continue
        rows.append(replace(row, fault=None))
        conditions.append({"field": row.field.value, "operator": row.operator, "value": value})
    read = replace(draft, rows=rows)
    if len(conditions) < len(rows):
        return None, read
    rules = {"match": draft.match.value, "conditions": conditions}
    try:
        return segments.read_segment({"name": "-", "rules": rules})[1], read
    except InvalidInput as refused:
        return None, replace(read, rows=_with_faults(rows, refused.details["fields"]))


def read_name(draft: Draft) -> tuple[str, Draft]:
    """The segment's name, and the draft with what is wrong with it."""
    name = " ".join(draft.name.split())
    if not name:
        return name, replace(draft, faults={"name": noted("Give it a name.")})
    if len(name) > _LONGEST_NAME:
        return name, replace(
            draft, faults={"name": noted("A name has %(most)s characters at most.", most=_LONGEST_NAME)}
        )
    return name, draft


_LONGEST_NAME = 120


class _Fault(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def _row(given: Mapping[str, str], number: int) -> Row:
    field_name = given.get(f"field-{number}", "")
    field = Field(field_name) if field_name in set(Field) else Field.COUNTRY
    operator = given.get(f"operator-{number}", "")
    known = OPERATORS[field]
    value = given.get(f"value-{number}", "")[:_LONGEST]
    # Another field was chosen: what was typed for the former one would be nonsense now.
    fits = operator in known and given.get(f"was-{number}", field.value) == field.value
    return Row(field, operator if operator in known else known[0], value if fits else "")


def _value(row: Row, zone: str) -> Any:
    match row.field:
        case Field.COUNTRY:
            return [_country(name) for name in _several(row.value, noted("Name a country."))]
        case Field.TAGS:
            return _several(row.value, noted("Name a tag."))
        case Field.TOTAL_SPENT:
            return _amount(row.value)
        case Field.CREATED:
            return _day(row.value, zone)
        case _:
            if not _WHOLE.fullmatch(row.value.strip()):
                raise _Fault(noted("Type a whole number."))
            return int(row.value)


def _several(typed: str, nothing: str) -> list[str]:
    found = list(dict.fromkeys(filter(None, (each.strip() for each in _COMMAS.split(typed)))))
    if not found:
        raise _Fault(nothing)
    return found


def _country(typed: str) -> str:
    for locale in (languages.reader(), languages.SOURCE):
        code = _country_names(locale).get(_folded(typed))
        if code is not None:
            return code
    raise _Fault(noted("“%(name)s” is no country that we know. Its two letters do as well.", name=typed[:60]))


@cache
def _country_names(locale: str) -> dict[str, str]:
    """Folded names, and the two letters, of each country."""
    known = languages.countries(locale)
    return {_folded(name): code for code, name, _ in known} | {_folded(code): code for code, _, _ in known}


def _folded(name: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    return " ".join(bare.casefold().replace("ς", "σ").split())


def _amount(typed: str) -> int:
    """In hundredths. Read by its digits: of `1e999990`, which is a number too, the whole would take half a minute."""
    found = _MONEY.fullmatch("".join(typed.split()))
    if found is None:
        raise _Fault(noted("Type an amount, such as 49.90."))
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def _day(typed: str, zone: str) -> str:
    try:
        day = date.fromisoformat(typed.strip())
        return datetime.combine(day, time(), ZoneInfo(zone)).isoformat()
    except (ValueError, OverflowError):
        raise _Fault(noted("Choose a day.")) from None


def _with_faults(rows: list[Row], faults: Mapping[str, str]) -> list[Row]:
    """What only the stored form's bounds refuse (too many tags, one too long)."""
    found = list(rows)
    for path in faults:
        place = re.search(r"conditions\.([0-9]+)", path)
        number = min(int(place[1]), len(rows) - 1) if place else 0
        found[number] = replace(found[number], fault=noted("This is too much, or too long, for one rule."))
    return found

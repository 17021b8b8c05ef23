"""Segments in a merchant's words: what may be asked, how it is compared, and a stored question as sentences. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from blossom.people.rules import wording
from blossom.platform import languages, localised
from blossom.platform.languages import Noted, noted
from blossom.segments.rules import OPERATORS, Condition, Field, Match, Question

FIELD_WORDS = {
    Field.COUNTRY: noted("Country"),
    Field.TAGS: noted("Tags"),
    Field.TOTAL_SPENT: noted("Amount spent"),
    Field.ORDERS: noted("Number of orders"),
    Field.CREATED: noted("Contact since"),
    Field.CONSENT_AGE: noted("Days since they agreed to texts"),
}
"""Each question that `segments.rules` knows, and no other."""

OPERATOR_WORDS = {
    (Field.COUNTRY, "in"): noted("is one of"),
    (Field.COUNTRY, "not_in"): noted("is none of"),
    (Field.TAGS, "any"): noted("have any of"),
    (Field.TAGS, "all"): noted("have all of"),
    (Field.TAGS, "none"): noted("have none of"),
    (Field.TOTAL_SPENT, "at_least"): noted("at least"),
    (Field.TOTAL_SPENT, "at_most"): noted("at most"),
    (Field.ORDERS, "at_least"): noted("at least"),
    (Field.ORDERS, "at_most"): noted("at most"),
    (Field.CREATED, "after"): noted("on or after"),
    (Field.CREATED, "before"): noted("before"),
    (Field.CONSENT_AGE, "at_least"): noted("at least"),
    (Field.CONSENT_AGE, "at_most"): noted("at most"),
}

HINTS = {
    Field.COUNTRY: noted("Names or two letters, with commas between them: Greece, DE"),
    Field.TAGS: noted("With commas between them. Capitals count, as they do at Shopify."),
    Field.TOTAL_SPENT: noted("In your store's currency."),
    Field.ORDERS: noted("A whole number."),
    Field.CREATED: noted("The day on which they came to your contacts."),
    Field.CONSENT_AGE: noted("A whole number. Only people who are opted in have such days."),
}

MATCH_WORDS = {Match.ALL: noted("all of these"), Match.ANY: noted("any of these")}

MOST_RULES = 20
"""Of one segment (segments.forms)."""


@dataclass(frozen=True)
class Row:
    """A rule of the builder as it was typed. `fault`: what is wrong with its value."""

    field: Field = Field.COUNTRY
    operator: str = OPERATORS[Field.COUNTRY][0]
    value: str = ""
    fault: str | None = None

    @property
    def operators(self) -> tuple[str, ...]:
        return OPERATORS[self.field]


@dataclass(frozen=True)
class Draft:
    """A segment as it was typed. `faults`: by the name of the field that is not in a row."""

    name: str = ""
    match: Match = Match.ALL
    rows: Sequence[Row] = (Row(),)
    faults: dict[str, str] = field(default_factory=dict)


def key_of(draft: Draft) -> str:
    """Of what the draft asks: the same for the same rules."""
    return f"{zlib.crc32(repr((draft.match, [(row.field, row.operator, row.value) for row in draft.rows])).encode()):x}"


def draft_of(name: str, question: Question, zone: str) -> Draft:
    """A stored segment as the builder shows it, in the reader's language."""
    rows = [Row(each.field, each.operator, typed(each, zone)) for each in question.conditions]
    return Draft(name, question.match, rows)


def typed(condition: Condition, zone: str) -> str:
    """A condition's value as it would be typed."""
    value = condition.value
    match condition.field:
        case Field.COUNTRY:
            return ", ".join(wording.country_name(code) or code for code in value)
        case Field.TAGS:
            return ", ".join(value)
        case Field.TOTAL_SPENT:
            amount = Decimal(value) / 100
            return f"{amount:.2f}" if value % 100 else str(value // 100)
        case Field.CREATED:
            return datetime.fromisoformat(value).astimezone(ZoneInfo(zone)).date().isoformat()
        case _:
            return str(value)


def sentences(stored: dict[str, Any], zone: str) -> list[Noted]:
    """What a stored question asks, a sentence a condition."""
    return [
        noted(
            "%(field)s: %(compared)s %(value)s",
            field=FIELD_WORDS[each.field],
            compared=OPERATOR_WORDS[each.field, each.operator],
            value=_told(each, zone),
        )
        for each in Question.from_json(stored).conditions
    ]


def _told(condition: Condition, zone: str) -> str:
    if condition.field is Field.CREATED:
        return localised.day(datetime.fromisoformat(condition.value), zone, languages.reader())
    return typed(condition, zone)


def about(people: int) -> int:
    """A number that was estimated, as far as it can be meant: its first two digits."""
    digits = len(str(people)) - 2
    return people if digits <= 0 else round(people, -digits)

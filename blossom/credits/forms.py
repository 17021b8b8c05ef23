"""The cost calculator's fields, as a browser sends them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from blossom.message_templates.rules.markup import MAX_SOURCE
from blossom.platform.languages import noted

MOST_PEOPLE = 10_000_000
_WHOLE = re.compile(r"[0-9]+|[0-9]{1,3}([\s.,'\u2019])[0-9]{3}(?:\1[0-9]{3})*")
"""As any locale groups its thousands. With other marks it may be no whole number: 1.5 is not 15."""


@dataclass(frozen=True)
class Question:
    """What was typed, and what it comes to; with `faults`, by field, it comes to nothing."""

    typed: Mapping[str, str]
    text: str = ""
    people: int = 0
    country: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)


def read_question(given: Mapping[str, str], countries: Collection[str]) -> Question:
    """Read the fields. `countries`: those that there is a price for."""
    typed = {name: given.get(name, "") for name in ("text", "people", "country")}
    faults: dict[str, str] = {}
    text = typed["text"].replace("\r\n", "\n")
    if not text.strip():
        faults["text"] = noted("must have a word at least")
    elif len(text) > MAX_SOURCE:
        faults["text"] = noted("may have %(most)s characters at most", most=MAX_SOURCE)
    typed_number = typed["people"].strip()
    digits = re.sub("[^0-9]", "", typed_number) if _WHOLE.fullmatch(typed_number) else ""
    people = int(digits) if digits and len(digits) < 10 else 0
    if not 1 <= people <= MOST_PEOPLE:
        faults["people"] = noted("must be a whole number from 1 to %(most)s", most=MOST_PEOPLE)
    if typed["country"] not in countries:
        faults["country"] = noted("must be one of the list")
    if faults:
        return Question(typed, faults=faults)
    return Question(typed, text, people, typed["country"])

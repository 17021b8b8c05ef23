"""The search field, and the choices in the list's address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blossom.consent.rules import State
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.people.rules import Mark, read_mark
from blossom.platform import ids
from blossom.platform.languages import joined, noted

NOT_BY_NAME = noted(
    "Names are kept encrypted, so nobody can be found by theirs. Type a whole phone number, or a whole e-mail address."
)
_LONGEST = 320  # characters of an e-mail address


@dataclass(frozen=True)
class Search:
    """What was typed, and what it is: a number in E.164, or an address; or what is wrong with it."""

    typed: str
    phone: str | None = None
    email: str | None = None
    fault: str | None = None


def read_search(given: Mapping[str, str], default_country: str) -> Search:
    """Read the field. A number without country code is one of `default_country`."""
    typed = given.get("query", "")[:_LONGEST].strip()
    if not typed:
        return Search(typed, fault=noted("Type a phone number, or an e-mail address."))
    if "@" in typed:
        return Search(typed, email=typed)
    if not any(character.isdigit() for character in typed):
        return Search(typed, fault=NOT_BY_NAME)
    try:
        return Search(typed, phone=normalise_phone(typed, default_country).e164)
    except PhoneRefused as refused:
        return Search(typed, fault=joined(*filter(None, (refused.message, refused.actionable))))


def read_number(given: Mapping[str, str], default_country: str) -> Search:
    """The same of a field that asks for a number only."""
    asked = read_search(given, default_country)
    return Search(asked.typed, asked.phone, fault=None if asked.phone else asked.fault or noted("Type a phone number."))


@dataclass(frozen=True)
class Choice:
    """Which list, and after which row. `segment`: of the people of this segment only."""

    state: State | None = None
    after: Mark | None = None
    segment: int | None = None


def read_choice(given: Mapping[str, str]) -> Choice | None:
    """The list that an address names; None for an address that names none."""
    state, after, segment = given.get("state", ""), given.get("after"), given.get("segment", "")
    if state and state not in set(State):
        return None
    mark = read_mark(after) if after is not None else None
    if after is not None and mark is None:
        return None
    segment_id = ids.read_id(segment)
    if segment and segment_id is None:
        return None
    return Choice(State(state) if state else None, mark, segment_id)

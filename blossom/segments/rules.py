"""What a segment may ask, and what an audience is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted


class Kind(StrEnum):
    RULES = "rules"  # a question, answered anew each time
    STATIC = "static"  # a list of contacts
    SHOPIFY = "shopify"  # a segment of Shopify's; its members as they were read there


class ReadingState(StrEnum):
    """How the reading of a Shopify segment's members stands. What was read before stands until a reading has ended."""

    RESTING = "resting"
    WANTED = "wanted"  # it shall be read, from its beginning
    READING = "reading"  # some pages were read
    FAILED = "failed"  # given up; `fault` says why, and it may be wanted again


OPEN_READINGS = (ReadingState.WANTED, ReadingState.READING)

ACCEPTED_AGE = timedelta(minutes=5)
"""A campaign's audience is fixed with members whose reading ended no longer ago; else they are read anew first.
(`messaging.service.freshness` knows one exception.)"""


@dataclass(frozen=True)
class Reading:
    """How a segment of Shopify's stands here (`models.ShopifySegment` says what each field is)."""

    segment_id: int
    name: str
    gone_at: datetime | None
    members: int | None
    known: int | None
    read_at: datetime | None
    state: ReadingState
    wanted_at: datetime | None
    expected: int | None
    read_so_far: int
    fault: str | None

    @property
    def is_open(self) -> bool:
        """Whether it is being read, or about to be."""
        return self.state in OPEN_READINGS

    @property
    def strangers(self) -> int:
        """Its members who are no contacts here."""
        return max(0, (self.members or 0) - (self.known or 0))

    def is_fresh(self, now: datetime) -> bool:
        """Whether a campaign's audience may be fixed with the members as they are here."""
        return self.read_at is not None and self.read_at >= now - ACCEPTED_AGE


class Match(StrEnum):
    ALL = "all"
    ANY = "any"


class Field(StrEnum):
    """What can be asked about. Each compiles to a condition on a column that exists."""

    COUNTRY = "country"
    TAGS = "tags"
    TOTAL_SPENT = "total_spent"  # minor units of the shop's currency
    ORDERS = "orders"
    CREATED = "created"  # when the contact came to us
    CONSENT_AGE = "consent_age"  # days since the person opted in


OPERATORS: dict[Field, tuple[str, ...]] = {
    Field.COUNTRY: ("in", "not_in"),
    Field.TAGS: ("any", "all", "none"),
    Field.TOTAL_SPENT: ("at_least", "at_most"),
    Field.ORDERS: ("at_least", "at_most"),
    Field.CREATED: ("after", "before"),
    Field.CONSENT_AGE: ("at_least", "at_most"),
}


@dataclass(frozen=True)
class Condition:
    """`value` is a list of str (country, tags), an int (amounts, counts, days) or an ISO moment with its offset."""

    field: Field
    operator: str
    value: Any

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field.value, "operator": self.operator, "value": self.value}


@dataclass(frozen=True)
class Question:
    """The conditions of a segment, all or any of which must hold. Never empty: `forms` refuses that."""

    match: Match
    conditions: tuple[Condition, ...]

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Question:
        """From what `to_json` gave and the database kept; what a person sends goes through `forms`."""
        conditions = (Condition(Field(c["field"]), c["operator"], c["value"]) for c in stored["conditions"])
        return cls(Match(stored["match"]), tuple(conditions))

    def to_json(self) -> dict[str, Any]:
        return {"match": self.match.value, "conditions": [c.to_json() for c in self.conditions]}


@dataclass(frozen=True)
class Audience:
    """Whom a campaign is for: everybody, or whoever is in any of the segments; without those in `exclude`.

    JSON: `{"all": true}` or `{"segments": [1, 2]}`, each with `"exclude": [3]` if wanted.
    """

    everybody: bool = False
    segments: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Audience:
        """Raises `InvalidInput` that names what is wrong, under "audience"."""
        if not isinstance(value, dict):
            raise _wrong(noted('must be {"all": true} or {"segments": [ids]}'))
        unknown = set(value) - {"all", "segments", "exclude"}
        if unknown:
            raise _wrong(
                noted("has fields that mean nothing: %(list)s", list=", ".join(sorted(map(str, unknown)))[:100])
            )
        everybody = value.get("all", False)
        if not isinstance(everybody, bool):
            raise _wrong(noted('"all" must be true or false'))
        segments, exclude = _ids(value, "segments"), _ids(value, "exclude")
        if everybody and segments:
            raise _wrong(noted('names both "all" and "segments": choose one'))
        if not everybody and not segments:
            raise _wrong(noted('names nobody: give {"all": true} or at least one segment'))
        return cls(everybody, segments, exclude)

    def to_json(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {"all": True} if self.everybody else {"segments": list(self.segments)}
        return chosen | ({"exclude": list(self.exclude)} if self.exclude else {})

    @property
    def named(self) -> frozenset[int]:
        """The ids of all segments that it speaks of."""
        return frozenset(self.segments) | frozenset(self.exclude)


MOST_SEGMENTS = 100


def _ids(value: dict[str, Any], name: str) -> tuple[int, ...]:
    ids = value.get(name, [])
    if not isinstance(ids, list) or not all(type(i) is int and 0 < i < 2**63 for i in ids):
        raise _wrong(noted('"%(name)s" must be a list of segment ids', name=name))
    if len(ids) > MOST_SEGMENTS:
        raise _wrong(
            noted('"%(name)s" names more than %(most_segments)s segments', name=name, most_segments=MOST_SEGMENTS)
        )
    return tuple(dict.fromkeys(ids))


def _wrong(what: str) -> InvalidInput:
    return InvalidInput({"audience": noted("The audience %(what)s.", what=what)})

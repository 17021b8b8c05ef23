"""The compose page's form, as a browser sends it. Hardly anything is refused: a draft may be unfinished."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from blossom.campaigns.forms import several as texts
from blossom.campaigns.forms.several import Several
from blossom.campaigns.rules.plans import LONGEST_TYPED, Plan, When
from blossom.campaigns.rules.states import Priority
from blossom.platform import ids
from blossom.platform.api import one_visible_line
from blossom.platform.languages import noted
from blossom.segments.rules import MOST_SEGMENTS, Audience

LONGEST_NAME = 200
MOST_PHONES = 10

_Choice = TypeVar("_Choice", Priority, When)
_BETWEEN_PHONES = re.compile(r"[,;\n]")


@dataclass(frozen=True)
class ComposeForm:
    """What was typed, and what it comes to. `several`: the texts. `who`: "everybody", "segments", or "" while nothing
    is chosen. `trying`: the number of the text that is to be tried.

    `person`: whose text to show; `as_example`: nobody's. `person_phone`: a number that was typed for that. `page`,
    `turn`, `version`: which page saves (`service.drafting.Save`), None and 0 for a form without them. `over`: the
    version of somebody else's that is to be written over. `faults`: field → what is wrong.
    """

    name: str
    several: Several
    who: str
    include: tuple[int, ...]
    exclude: tuple[int, ...]
    priority: Priority
    plan: Plan
    phones: str
    trying: int
    person: int | None
    as_example: bool
    person_phone: str
    page: UUID | None
    turn: int
    version: int | None
    over: int | None
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """The one text, or text A."""
        return self.several.bodies[0]

    @property
    def audience(self) -> Audience | None:
        """None: nobody chosen yet."""
        if self.who == "everybody":
            return Audience(everybody=True, exclude=self.exclude)
        if self.who == "segments" and self.include:
            return Audience(segments=self.include, exclude=self.exclude)
        return None

    @property
    def numbers(self) -> list[str]:
        """Those to try the text on, as they were typed."""
        return [phone for each in _BETWEEN_PHONES.split(self.phones) if (phone := each.strip())]


def read(fields: Mapping[str, Sequence[str]]) -> ComposeForm:
    """Read the form: the values of each field."""
    given = {name: values[0] for name, values in fields.items() if values}
    name, several = " ".join(given.get("name", "").split()), texts.read(given)
    faults = dict(several.faults)
    if len(name) > LONGEST_NAME:
        faults["name"] = noted("The name may have %(most)s characters.", most=LONGEST_NAME)
    elif name:
        try:
            one_visible_line(name)
        except ValueError:
            faults["name"] = noted("The name must be one line that can be read.")
    person = given.get("person", "")
    return ComposeForm(
        name=name,
        several=several,
        who=given.get("who", "") if given.get("who") in ("everybody", "segments") else "",
        include=_ids(fields.get("include", ())),
        exclude=_ids(fields.get("exclude", ())),
        priority=_one_of(Priority, given.get("priority"), Priority.NORMAL),
        plan=Plan(
            _one_of(When, given.get("when"), When.NOW),
            given.get("day", "").strip()[:LONGEST_TYPED],
            given.get("time", "").strip()[:LONGEST_TYPED],
        ),
        phones=given.get("phones", "")[:500],
        trying=int(given["try"]) if given.get("try") in ("1", "2", "3") else 0,
        person=ids.read_id(person),
        as_example=person == "example",
        person_phone=given.get("person_phone", "").strip()[:40],
        page=_uuid(given.get("page")),
        turn=_count(given.get("turn")) or 0,
        version=_count(given.get("version")),
        over=_count(given.get("over")),
        faults=faults,
    )


def _ids(values: Sequence[str]) -> tuple[int, ...]:
    found = (ids.read_id(value) for value in values)
    return tuple(dict.fromkeys(each for each in found if each is not None))[:MOST_SEGMENTS]


def _count(value: str | None) -> int | None:
    """One that fits an integer column."""
    number = ids.read_id(value or "")
    return number if number is not None and number < 2**31 else None


def _uuid(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None


def _one_of(choices: type[_Choice], value: str | None, otherwise: _Choice) -> _Choice:
    return choices(value) if value in list(choices) else otherwise

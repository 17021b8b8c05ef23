"""An audience, counted once: how many people of each kind it holds, told apart by all that decides what they get.

The census knows no text: whoever changes a text, or the hour, sums the same census again (`preview.of_census`), without
reading anybody. A million people are some thousand groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, false, func, literal, select

from blossom.consent import rules as consent
from blossom.consent.models import Consent
from blossom.messaging.queries import estimate
from blossom.messaging.rules.caps import Caps
from blossom.platform import db
from blossom.platform.db import session
from blossom.segments import queries as segments
from blossom.segments.rules import Audience


class Group(NamedTuple):
    """Alike people. `country`: of their numbers ("ZZ": of none). Sizes as `platform.gsm.signed_size` has them.
    `someone`: the contact of theirs that has the lowest id."""

    zone: str
    country: str
    first_name_size: int
    last_name_size: int
    people: int
    someone: int


@dataclass(frozen=True)
class Census:
    """`groups`: those who would get the text. `left_out`: reason → people of the audience who get nothing."""

    at: datetime
    groups: tuple[Group, ...]
    left_out: dict[str, int]

    @property
    def recipients(self) -> int:
        return sum(group.people for group in self.groups)

    def places(self) -> Counter[tuple[str, str]]:
        """(Zone, country) → recipients."""
        found: Counter[tuple[str, str]] = Counter()
        for group in self.groups:
            found[group.zone, group.country] += group.people
        return found

    def to_json(self) -> dict[str, Any]:
        return {"at": self.at.isoformat(), "groups": [list(group) for group in self.groups], "left_out": self.left_out}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Census:
        groups = tuple(Group(*group) for group in stored["groups"])
        return cls(datetime.fromisoformat(stored["at"]), groups, stored["left_out"])


def take(shop_id: int, audience: Audience, caps: Caps, *, now: datetime, planned: datetime) -> Census:
    """Count the audience as it is `now`; who has had as many texts as the caps allow is told for `planned`.

    One statement, which reads the whole audience. Raises `NotFound` for a segment that is not there.
    """
    people = segments.audience_select(shop_id, audience).subquery("people")
    state = func.coalesce(Consent.state, literal(consent.State.NEVER_SUBSCRIBED.value))
    without = estimate.capped(shop_id, caps, planned)
    capped = false() if without is None else func.coalesce(people.c.phone_hash.in_(without), false())
    each = (
        select(
            people.c.phone_hash.is_(None).label("without_phone"),
            state.label("consent"),
            capped.label("capped"),
            people.c.zone,
            func.coalesce(people.c.phone_country, "ZZ").label("country"),
            people.c.first_name_size,
            people.c.last_name_size,
            people.c.contact_id,
        )
        .select_from(people)
        .outerjoin(Consent, and_(Consent.shop_id == shop_id, Consent.phone_hash == people.c.phone_hash))
        .subquery("each")
    )
    alike = [column for column in each.c if column.name != "contact_id"]
    db.use_memory(estimate.MEGABYTES)
    rows = session.execute(select(*alike, func.count(), func.min(each.c.contact_id)).group_by(*alike))
    return _sorted_out(now, (tuple(row) for row in rows))


def _sorted_out(now: datetime, rows: Iterable[tuple[Any, ...]]) -> Census:
    left_out: Counter[str] = Counter()
    groups = []
    for without_phone, consent_state, capped, *alike in rows:
        reason = estimate.reason_to_leave_out(without_phone, consent_state) or ("capped" if capped else None)
        group = Group(*alike)
        if reason:
            left_out[reason] += group.people
        else:
            groups.append(group)
    return Census(now, tuple(sorted(groups, key=lambda group: group.someone)), dict(left_out))

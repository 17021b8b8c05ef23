"""Segments with who is in them. A small shop's people are counted; a large one's are estimated from a sample, so that a
count while one types costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    column,
    exists,
    false,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.consent.models import Consent
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.contacts.models import Contact
from blossom.messaging.models import Dispatch
from blossom.people.queries.listing import ON_A_PAGE, Listing, Row, with_consent
from blossom.people.rules import Mark
from blossom.people.rules.segments import about
from blossom.platform.db import session
from blossom.segments import queries as segments
from blossom.segments.models import Segment, SegmentMember
from blossom.segments.rules import Question

COUNTED = 5_000
"""Contacts of a shop that are counted one by one; of more than that, a sample of `PROBES` times `IN_A_PROBE` is."""

PROBES, IN_A_PROBE = 50, 20
SHOWN = 5
MEMBERS_COUNTED = 10_000


@dataclass(frozen=True)
class Census:
    """Whom a question meets: `people`, of whom `opted_in` may get marketing; `some` of them, to see who they are.

    `is_exact`: counted, rather than estimated from a sample. `at`: when everybody of a large shop was; None: now.
    """

    people: int
    opted_in: int
    is_exact: bool
    some: Sequence[Row]
    at: datetime | None = None


@dataclass(frozen=True)
class Count:
    """How many a question met, everybody looked at; and the ids of the newest of them."""

    people: int
    opted_in: int
    some: Sequence[int]
    at: datetime

    def to_json(self) -> dict[str, Any]:
        return {"people": self.people, "opted_in": self.opted_in, "some": self.some, "at": self.at.isoformat()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Count:
        return cls(stored["people"], stored["opted_in"], stored["some"], datetime.fromisoformat(stored["at"]))


def count_exactly(shop_id: int, question: Question, now: datetime) -> Count:
    """Read all of the shop's people, which takes about a second of a million."""
    met = segments.met_by(question)
    people, opted_in = session.execute(_counts(shop_id, met)).one()
    newest = select(Contact.id).where(Contact.shop_id == shop_id, met).order_by(Contact.id.desc()).limit(SHOWN)
    return Count(people, opted_in, list(session.scalars(newest)), now)


def census_of(shop_id: int, count: Count) -> Census:
    """The same as a page shows it."""
    some = select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_(count.some)).order_by(Contact.id.desc())
    return Census(count.people, count.opted_in, True, with_consent(shop_id, session.scalars(some).all()), count.at)


def is_large(shop_id: int) -> bool:
    """Whether the shop has so many people that a page reads a sample of them."""
    return contacts.has_more_than(shop_id, COUNTED)


def census(shop_id: int, question: Question) -> Census:
    """Who meets the question now: of a large shop's people as far as a sample tells, as quick for a million as for ten
    thousand."""
    met = segments.met_by(question)
    in_all, counted = contacts.roughly(shop_id)
    if counted and in_all <= COUNTED:
        people, opted_in = session.execute(_counts(shop_id, met)).one()
        newest = select(Contact).where(Contact.shop_id == shop_id, met).order_by(Contact.id.desc()).limit(SHOWN)
        return Census(people, opted_in, True, with_consent(shop_id, session.scalars(newest).all()))
    counts, found = _sampled(shop_id, met)
    looked_at, people, opted_in = counts
    share = in_all / looked_at if looked_at else 0.0
    return Census(about(round(people * share)), about(round(opted_in * share)), False, with_consent(shop_id, found))


def _counts(shop_id: int, met: ColumnElement[bool]) -> Select[int, int]:
    return (
        select(func.count(), func.count(Consent.phone_hash))
        .select_from(Contact)
        .outerjoin(Consent, _AGREED)
        .where(Contact.shop_id == shop_id, met)
    )


def _sampled(shop_id: int, met: ColumnElement[bool]) -> tuple[tuple[int, int, int], Sequence[Contact]]:
    """How many were looked at, how many of them meet it, how many of those are opted in; and the newest of them."""
    parts = _PARTS.bindparams(shop=shop_id, parts=PROBES)
    part = parts.columns(column("first", BigInteger), column("until", BigInteger)).subquery("part")
    place = tuple_(Contact.shop_id, Contact.id)  # so that no other index is taken, by which other shops' are passed
    probe = (
        select(Contact.id, Contact.phone_hash, met.label("met"))
        .where(place >= tuple_(shop_id, part.c.first), place < tuple_(shop_id, part.c.until))
        .order_by(Contact.shop_id, Contact.id)
        .limit(IN_A_PROBE)
        .lateral("probe")
    )
    has_agreed = exists().where(
        Consent.shop_id == shop_id, Consent.phone_hash == probe.c.phone_hash, Consent.state == State.OPTED_IN.value
    )
    # Only of those who meet it is consent looked up: a sample of people is spread over the whole table.
    looked_at = (
        select(probe.c.id, probe.c.met, case((probe.c.met, has_agreed), else_=false()).label("agreed"))
        .select_from(part.join(probe, true()))
        .subquery()
    )
    newest_first = func.array_agg(aggregate_order_by(looked_at.c.id, looked_at.c.id.desc())).filter(looked_at.c.met)
    ids: ColumnElement[Any] = type_coerce(newest_first, ARRAY(BigInteger))
    row = session.execute(
        select(
            func.count(), func.count().filter(looked_at.c.met), func.count().filter(looked_at.c.agreed), ids[1:SHOWN]
        )
    ).one()
    newest = select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_(row[3] or []))
    return (row[0], row[1], row[2]), session.scalars(newest.order_by(Contact.id.desc())).all()


_AGREED = and_(
    Consent.shop_id == Contact.shop_id,
    Consent.phone_hash == Contact.phone_hash,
    Consent.state == State.OPTED_IN.value,
)
_PARTS = text(
    """
    SELECT lowest + (highest - lowest) * n / CAST(:parts AS bigint) AS first,
           lowest + (highest - lowest) * (n + 1) / CAST(:parts AS bigint) + CAST(n + 1 = :parts AS integer) AS until
    FROM (
        SELECT (SELECT id FROM contacts WHERE shop_id = :shop ORDER BY id LIMIT 1) AS lowest,
               (SELECT id FROM contacts WHERE shop_id = :shop ORDER BY id DESC LIMIT 1) AS highest
        OFFSET 0
    ) AS ends, generate_series(0, CAST(:parts AS bigint) - 1) AS n
    """
)


@dataclass(frozen=True)
class Usage:
    """Campaigns that have not been sent yet and name the segment: (id, name); a few, if there are many. Of those on
    their way, the ones whose people are still to be read: while they are prepared, or were paused before that."""

    campaigns: Sequence[tuple[int, str]]


def usage(shop_id: int, segment_id: int, limit: int = 10) -> Usage:
    """Who would miss the segment."""
    named = or_(
        *(Campaign.audience.contains({part: [segment_id]}) for part in ("segments", "exclude")),
    )
    states = [CampaignState.DRAFT.value, CampaignState.SCHEDULED.value]
    unread = select(Dispatch.id).where(
        Dispatch.shop_id == shop_id, Dispatch.finished_at.is_(None), Dispatch.prepared_at.is_(None)
    )
    rows = session.execute(
        select(Campaign.id, Campaign.name)
        .where(
            Campaign.shop_id == shop_id,
            or_(Campaign.stored_state.in_(states), Campaign.dispatch_id.in_(unread)),
            named,
        )
        .order_by(Campaign.id.desc())
        .limit(limit)
    )
    return Usage([(row.id, row.name) for row in rows])


def members(shop_id: int, segment_id: int, after: Mark | None = None) -> Listing:
    """The people of a static list, the newest contacts first."""
    query = (
        select(Contact)
        .join(SegmentMember, and_(SegmentMember.shop_id == Contact.shop_id, SegmentMember.contact_id == Contact.id))
        .where(SegmentMember.shop_id == shop_id, SegmentMember.segment_id == segment_id)
        .order_by(SegmentMember.contact_id.desc())
        .limit(ON_A_PAGE + 1)
    )
    if after is not None:
        query = query.where(SegmentMember.contact_id < after.contact_id)
    found = session.scalars(query).all()
    rows = with_consent(shop_id, found[:ON_A_PAGE])
    return Listing(rows, Mark(found[ON_A_PAGE - 1].id) if len(found) > ON_A_PAGE else None)


def member_counts(shop_id: int, segment_ids: Sequence[int]) -> dict[int, int]:
    """How many are on each of these lists; `MEMBERS_COUNTED` + 1 where there are more than that."""
    rows = session.execute(_MEMBERS, {"shop": shop_id, "ids": list(segment_ids), "most": MEMBERS_COUNTED + 1})
    return {row.segment_id: row.people for row in rows}


# In order, so that each list is read where it stands in the key: else, with one long list about, the table is.
_MEMBERS = text(
    """
    SELECT asked.segment_id, (
        SELECT count(*) FROM (
            SELECT 1 FROM segment_members
            WHERE shop_id = :shop AND segment_id = asked.segment_id ORDER BY contact_id LIMIT :most
        ) AS first_of_them
    ) AS people
    FROM unnest(CAST(:ids AS bigint[])) AS asked(segment_id)
    """
)


@dataclass(frozen=True)
class Lists:
    """The shop's static lists, and which of them somebody is on."""

    every: Sequence[Segment]
    on: set[int]


def lists_of(shop_id: int, contact_id: int) -> Lists:
    """The lists of a person."""
    return Lists(segments.lists(shop_id), segments.lists_of(shop_id, contact_id))


def listed(shop_id: int, before_id: int | None = None) -> tuple[Sequence[Segment], int | None]:
    """A page of the shop's segments, the newest first, and the id after which the next one begins."""
    found = segments.segments(shop_id, before_id=before_id, limit=ON_A_PAGE + 1)
    shown = found[:ON_A_PAGE]
    return shown, shown[-1].id if len(found) > ON_A_PAGE else None

"""Segments with who is in them. A small shop's people are counted; a large one's are estimated from a sample, so that a
count while one types costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Select, and_, column, func, or_, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.consent.models import Consent
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.contacts.models import Contact
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
    """Whom a question meets now: `people`, of whom `opted_in` may get marketing; `some` of them, to see who they are.

    `is_exact`: counted, rather than estimated from a sample.
    """

    people: int
    opted_in: int
    is_exact: bool
    some: Sequence[Row]


def census(shop_id: int, question: Question, *, exactly: bool = False) -> Census:
    """Who meets the question. `exactly`: count them, however long it takes."""
    met = segments.met_by(question)
    in_all, counted = contacts.roughly(shop_id)
    is_large = not counted or in_all > COUNTED
    if exactly or not is_large:
        people, opted_in = session.execute(_counts(shop_id, met)).one()
        newest = select(Contact).where(Contact.shop_id == shop_id, met).order_by(Contact.id.desc()).limit(SHOWN)
        # A large shop's few may be anywhere: with their number known, the newest are not worth a second search.
        some = _sampled(shop_id, met)[1] if is_large else session.scalars(newest).all()
        return Census(people, opted_in, True, with_consent(shop_id, some))
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
    values = {"shop": shop_id, "probes": PROBES, "each": IN_A_PROBE}
    picked = _PROBES.bindparams(**values).columns(column("id", BigInteger)).subquery("picked")
    looked_at = (
        select(Contact.id, met.label("met"), Consent.phone_hash.is_not(None).label("agreed"))
        .select_from(picked)
        .join(Contact, and_(Contact.shop_id == shop_id, Contact.id == picked.c.id))
        .outerjoin(Consent, _AGREED)
        .subquery()
    )
    ids = func.array_agg(aggregate_order_by(looked_at.c.id, looked_at.c.id.desc())).filter(looked_at.c.met)
    row = session.execute(
        select(
            func.count(),
            func.count().filter(looked_at.c.met),
            func.count().filter(looked_at.c.met & looked_at.c.agreed),
            ids,
        ).select_from(looked_at)
    ).one()
    newest = select(Contact).where(Contact.shop_id == shop_id, Contact.id.in_((row[3] or [])[:SHOWN]))
    return (row[0], row[1], row[2]), session.scalars(newest.order_by(Contact.id.desc())).all()


_AGREED = and_(
    Consent.shop_id == Contact.shop_id,
    Consent.phone_hash == Contact.phone_hash,
    Consent.state == State.OPTED_IN.value,
)
_PROBES = text(
    """
    SELECT DISTINCT picked.id FROM (
        SELECT (SELECT id FROM contacts WHERE shop_id = :shop ORDER BY id LIMIT 1) AS lowest,
               (SELECT id FROM contacts WHERE shop_id = :shop ORDER BY id DESC LIMIT 1) AS highest
    ) AS ends, generate_series(0, CAST(:probes AS bigint) - 1) AS n CROSS JOIN LATERAL (
        SELECT id FROM contacts
        WHERE shop_id = :shop AND id >= ends.lowest + (ends.highest - ends.lowest) * n / CAST(:probes AS bigint)
        ORDER BY id LIMIT :each OFFSET 0
    ) AS picked
    """
)


@dataclass(frozen=True)
class Usage:
    """Campaigns that have not been sent yet and name the segment: (id, name); a few, if there are many."""

    campaigns: Sequence[tuple[int, str]]


def usage(shop_id: int, segment_id: int, limit: int = 10) -> Usage:
    """Who would miss the segment."""
    named = or_(
        *(Campaign.audience.contains({part: [segment_id]}) for part in ("segments", "exclude")),
    )
    states = [CampaignState.DRAFT.value, CampaignState.SCHEDULED.value]
    rows = session.execute(
        select(Campaign.id, Campaign.name)
        .where(Campaign.shop_id == shop_id, Campaign.stored_state.in_(states), named)
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

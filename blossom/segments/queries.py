"""Segments as SQL: who is in them, how many, and the audience of a campaign as one statement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    LargeBinary,
    Select,
    Text,
    and_,
    column,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from blossom.contacts.models import Contact
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.segments.models import Segment, SegmentMember, ShopifySegment
from blossom.segments.rules import Audience, Condition, Field, Kind, Match, Question, Reading, ReadingState

# Consent stands above segments, so its models can't be imported; the question how long somebody has agreed needs no
# more of it than these columns, which belong to its documented contract (consent/queries.py).
_consents = table(
    "consents",
    column("shop_id", BigInteger),
    column("phone_hash", LargeBinary),
    column("state", Text),
    column("changed_at", DateTime(timezone=True)),
)


def segment(shop_id: int, segment_id: int) -> Segment:
    """Raises `NotFound`."""
    found = session.scalar(select(Segment).where(Segment.shop_id == shop_id, Segment.id == segment_id))
    if found is None:
        raise NotFound("segment")
    return found


def segments(
    shop_id: int, before_id: int | None = None, limit: int = 50, *, kind: Kind | None = None, offset: int = 0
) -> Sequence[Segment]:
    """The newest first, of one kind if that is given; `before_id` is the last id of the page before."""
    query = select(Segment).where(Segment.shop_id == shop_id).order_by(Segment.id.desc()).offset(offset).limit(limit)
    if before_id is not None:
        query = query.where(Segment.id < before_id)
    if kind is not None:
        query = query.where(Segment.kind == kind)
    return session.scalars(query).all()


def count_segments(shop_id: int, kind: Kind | None = None) -> int:
    """How many there are, of one kind if that is given."""
    query = select(func.count()).select_from(Segment).where(Segment.shop_id == shop_id)
    return session.scalar(query if kind is None else query.where(Segment.kind == kind)) or 0


def audience_select(shop_id: int, audience: Audience) -> Select[*tuple[Any, ...]]:
    """Everybody whom `audience` names, each once, as a statement to insert from.

    Columns: contact_id, phone_hash, phone_sealed, phone_country, country, zone, first_name_size, last_name_size.
    `phone_country` (of the number) decides the price, `country` is where the person lives. A contact without a phone
    comes with `phone_hash` NULL, so that who snapshots can say that they were left out. Consent is not asked here.
    Reads contacts once; a contact in several segments is one row. Raises `NotFound` for a segment that is not there.
    """
    named = _named(shop_id, audience.named)
    chosen = true() if audience.everybody else or_(false(), *(_is_in(named[i]) for i in audience.segments))
    return select(
        Contact.id.label("contact_id"),
        Contact.phone_hash,
        Contact.phone_sealed,
        Contact.phone_country,
        Contact.country,
        Contact.zone,
        Contact.first_name_size,
        Contact.last_name_size,
    ).where(Contact.shop_id == shop_id, chosen, *(~_is_in(named[i]) for i in audience.exclude))


def count(shop_id: int, audience: Audience) -> int:
    """How many contacts the audience has now, whatever their consent."""
    return session.scalar(select(func.count()).select_from(audience_select(shop_id, audience).subquery())) or 0


def count_question(shop_id: int, question: Question) -> int:
    """How many contacts meet a question that is not stored yet: the live count while it is written."""
    met = select(func.count()).select_from(Contact).where(Contact.shop_id == shop_id, _meets(question))
    return session.scalar(met) or 0


def met_by(question: Question) -> ColumnElement[bool]:
    """The condition on `contacts` that those who meet the question meet. The shop is not in it."""
    return _meets(question)


def is_in(one: Segment) -> ColumnElement[bool]:
    """The condition on `contacts` that the people of a segment meet. The shop is not in it."""
    return _is_in(one)


def lists(shop_id: int, limit: int = 200) -> Sequence[Segment]:
    """The shop's static lists, by name."""
    query = select(Segment).where(Segment.shop_id == shop_id, Segment.kind == Kind.STATIC).order_by(Segment.name)
    return session.scalars(query.limit(limit)).all()


def lists_of(shop_id: int, contact_id: int) -> set[int]:
    """The ids of the static lists that a contact is on."""
    query = select(SegmentMember.segment_id).where(
        SegmentMember.shop_id == shop_id, SegmentMember.contact_id == contact_id
    )
    return set(session.scalars(query))


def readings(shop_id: int, segment_ids: Collection[int], *, hold: bool = False) -> dict[int, Reading]:
    """How those of these segments that are Shopify's stand, by their ids here.

    `hold`: their members stay as they are until the transaction ends.
    """
    if not segment_ids:
        return {}
    query = (
        select(ShopifySegment, Segment.name)
        .join(Segment, and_(Segment.shop_id == ShopifySegment.shop_id, Segment.id == ShopifySegment.segment_id))
        .where(ShopifySegment.shop_id == shop_id, ShopifySegment.segment_id.in_(segment_ids))
        .order_by(ShopifySegment.segment_id)
        .execution_options(populate_existing=True)
    )
    if hold:
        query = query.with_for_update(read=True, of=ShopifySegment)
    return {row.segment_id: _reading(row, name) for row, name in session.execute(query)}


def _reading(row: ShopifySegment, name: str) -> Reading:
    return Reading(
        segment_id=row.segment_id,
        name=name,
        gone_at=row.gone_at,
        members=row.members,
        known=row.known,
        read_at=row.read_at,
        state=ReadingState(row.state),
        wanted_at=row.wanted_at,
        expected=row.expected,
        read_so_far=row.read_so_far,
        fault=row.fault,
    )


def _named(shop_id: int, ids: Collection[int]) -> dict[int, Segment]:
    if not ids:
        return {}
    found = {s.id: s for s in session.scalars(select(Segment).where(Segment.shop_id == shop_id, Segment.id.in_(ids)))}
    if len(found) < len(ids):
        raise NotFound("segment")
    return found


def _is_in(one: Segment) -> ColumnElement[bool]:
    if one.kind != Kind.RULES:
        return exists().where(
            SegmentMember.shop_id == one.shop_id,
            SegmentMember.segment_id == one.id,
            SegmentMember.contact_id == Contact.id,
        )
    assert one.rules is not None, "the table's check holds this"
    return _meets(Question.from_json(one.rules))


def _meets(question: Question) -> ColumnElement[bool]:
    parts = [_COMPILERS[condition.field](condition) for condition in question.conditions]
    return and_(true(), *parts) if question.match is Match.ALL else or_(false(), *parts)


def _country(condition: Condition) -> ColumnElement[bool]:
    # A contact of no known country is in none, and so meets every "not in".
    inside = func.coalesce(Contact.country.in_(condition.value), false())
    return inside if condition.operator == "in" else ~inside


def _tags(condition: Condition) -> ColumnElement[bool]:
    tags = literal(condition.value, ARRAY(Text))
    if condition.operator == "all":
        all_of: ColumnElement[bool] = Contact.tags.contains(tags)
        return all_of
    any_of: ColumnElement[bool] = Contact.tags.overlap(tags)
    return any_of if condition.operator == "any" else ~any_of


def _amount(of: Any) -> Callable[[Condition], ColumnElement[bool]]:
    def compile_(condition: Condition) -> ColumnElement[bool]:
        bound = literal(condition.value, BigInteger)
        met: ColumnElement[bool] = of >= bound if condition.operator == "at_least" else of <= bound
        return met

    return compile_


def _created(condition: Condition) -> ColumnElement[bool]:
    moment = datetime.fromisoformat(condition.value)
    return Contact.created_at > moment if condition.operator == "after" else Contact.created_at < moment


def _consent_age(condition: Condition) -> ColumnElement[bool]:
    moment = clock.now() - timedelta(days=min(condition.value, _OLDEST_DAYS))
    since = _consents.c.changed_at
    return exists().where(
        _consents.c.shop_id == Contact.shop_id,
        _consents.c.phone_hash == Contact.phone_hash,
        _consents.c.state == "opted_in",
        since <= moment if condition.operator == "at_least" else since >= moment,
    )


_OLDEST_DAYS = 36_500
"""A century: further back than any consent, and still a date."""

_COMPILERS: dict[Field, Callable[[Condition], ColumnElement[bool]]] = {
    Field.COUNTRY: _country,
    Field.TAGS: _tags,
    Field.TOTAL_SPENT: _amount(Contact.total_spent_minor),
    Field.ORDERS: _amount(Contact.orders_count),
    Field.CREATED: _created,
    Field.CONSENT_AGE: _consent_age,
}

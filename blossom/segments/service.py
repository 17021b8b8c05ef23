"""Making, changing and dropping segments, and filling static lists."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from blossom.contacts.models import Contact
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted
from blossom.segments import queries
from blossom.segments.models import Segment, SegmentMember
from blossom.segments.rules import Kind, Question


def create_segment(shop_id: int, name: str, question: Question | None = None) -> Segment:
    """A segment that asks `question`, or a static list without one. Raises `BlossomError` when the name is taken."""
    now = clock.now()
    made = Segment(
        shop_id=shop_id,
        name=name,
        kind=Kind.STATIC if question is None else Kind.RULES,
        rules=None if question is None else question.to_json(),
        created_at=now,
        updated_at=now,
    )
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise _name_taken() from None
    return made


def change_segment(shop_id: int, segment_id: int, name: str, question: Question | None) -> Segment:
    """Rename it, and give it another question; a list stays a list and a question a question."""
    found = queries.segment(shop_id, segment_id)
    if found.kind == Kind.SHOPIFY:
        raise _shopifys()
    if (question is None) != (found.kind == Kind.STATIC):
        raise BlossomError(
            noted("A static list can't become a question, nor a question a list."),
            code="segment_kind_fixed",
            status=409,
            actionable=noted("Make a new segment of the other kind."),
        )
    try:
        with session.begin_nested():
            found.name = name
            found.rules = None if question is None else question.to_json()
            found.updated_at = clock.now()
    except IntegrityError:
        raise _name_taken() from None
    return found


def delete_segment(shop_id: int, segment_id: int) -> None:
    """Drop it and its members. Audiences that were fixed before are not touched. One of Shopify's goes only when it is
    gone there: else it would come back."""
    found = queries.segment(shop_id, segment_id)
    if found.kind == Kind.SHOPIFY and not queries.readings(shop_id, [segment_id])[segment_id].gone_at:
        raise _shopifys()
    session.delete(found)
    session.flush()


def add_members(shop_id: int, segment_id: int, contact_ids: Collection[int]) -> int:
    """Put contacts of this shop on a static list; strangers' ids are passed over. How many are new on it."""
    found = _static(shop_id, segment_id)
    chosen = select(literal(shop_id), literal(found.id), Contact.id, literal(clock.now())).where(
        Contact.shop_id == shop_id, Contact.id.in_(contact_ids)
    )
    added = session.scalars(
        insert(SegmentMember)
        .from_select(["shop_id", "segment_id", "contact_id", "added_at"], chosen)
        .on_conflict_do_nothing()
        .returning(SegmentMember.contact_id)
    ).all()
    return len(added)


def remove_members(shop_id: int, segment_id: int, contact_ids: Collection[int]) -> int:
    """Take contacts off a static list. How many were on it."""
    found = _static(shop_id, segment_id)
    removed = session.scalars(
        delete(SegmentMember)
        .where(
            SegmentMember.shop_id == shop_id,
            SegmentMember.segment_id == found.id,
            SegmentMember.contact_id.in_(contact_ids),
        )
        .returning(SegmentMember.contact_id)
    ).all()
    return len(removed)


def _static(shop_id: int, segment_id: int) -> Segment:
    found = queries.segment(shop_id, segment_id)
    if found.kind != Kind.STATIC:
        raise BlossomError(
            noted("This segment is a question; who is in it follows from its rules."),
            code="segment_is_no_list",
            status=409,
            actionable=noted("Change its rules, or make a static list."),
        )
    return found


def _shopifys() -> BlossomError:
    return BlossomError(
        noted("This segment is Shopify's."),
        code="segment_is_shopifys",
        status=409,
        actionable=noted("Change or delete it at Shopify; it follows here."),
    )


def _name_taken() -> BlossomError:
    return BlossomError(
        noted("Another segment has this name."),
        code="segment_name_taken",
        status=409,
        actionable=noted("Choose another name, or change that segment."),
    )

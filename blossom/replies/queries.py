"""Reading what people texted: a page at a time, by an index, however many there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from blossom.platform.db import session
from blossom.replies.models import InboundText
from blossom.replies.rules import Kept

COUNTED = 100
"""Unread texts are counted up to here: each is read for it."""


def texts(shop_id: int, kept: Kept = Kept.ALL, before_id: int | None = None, limit: int = 50) -> Sequence[InboundText]:
    """What people texted to the shop, the newest first; `before_id` is the last id of the page before.

    `phone` and `text` of each are opened as they are read.
    """
    query = select(InboundText).where(InboundText.shop_id == shop_id).order_by(InboundText.id.desc()).limit(limit)
    if kept is not Kept.ALL:
        query = query.where(InboundText.keyword.is_(None))
    if kept is Kept.UNREAD:
        query = query.where(InboundText.read_at.is_(None))
    if before_id is not None:
        query = query.where(InboundText.id < before_id)
    return session.scalars(query).all()


def texts_of(shop_id: int, phone_hash: bytes, before_id: int | None = None, limit: int = 50) -> Sequence[InboundText]:
    """The same of one phone."""
    query = (
        select(InboundText)
        .where(InboundText.shop_id == shop_id, InboundText.phone_hash == phone_hash)
        .order_by(InboundText.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(InboundText.id < before_id)
    return session.scalars(query).all()


def unread(shop_id: int) -> int:
    """How many texts beside keywords nobody has read, `COUNTED` at most."""
    some = (
        select(InboundText.id)
        .where(InboundText.shop_id == shop_id, InboundText.keyword.is_(None), InboundText.read_at.is_(None))
        .limit(COUNTED)
    )
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0

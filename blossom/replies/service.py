"""Saying of texts that they were read."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.sql.elements import ColumnElement

from blossom.platform import clock, db
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.replies.models import InboundText

MOST = 20_000
"""So many are marked by one call, the newest first: about what a click can wait for."""


def mark(shop_id: int, text_id: int, *, is_read: bool) -> InboundText:
    """Say of one that it was read, or was not; the text. Raises `NotFound`. Said twice, the first moment stays."""
    found = session.scalars(
        select(InboundText).where(InboundText.shop_id == shop_id, InboundText.id == text_id).with_for_update()
    ).one_or_none()
    if found is None:
        raise NotFound("text")
    found.read_at = (found.read_at or clock.now()) if is_read else None
    session.flush()
    return found


def mark_all(shop_id: int, up_to: int) -> int:
    """Say of all up to this one, which are those that somebody has seen, that they were read; how many were not yet.
    Of more than `MOST` the rest stays unread."""
    return _mark(shop_id, InboundText.id <= up_to)


def mark_all_of(shop_id: int, phone_hash: bytes) -> int:
    """The same of all of one phone's."""
    return _mark(shop_id, InboundText.phone_hash == phone_hash)


def _mark(shop_id: int, *which: ColumnElement[bool]) -> int:
    unread = (
        select(InboundText.id)
        .where(InboundText.shop_id == shop_id, InboundText.keyword.is_(None), InboundText.read_at.is_(None), *which)
        .order_by(InboundText.id.desc())
        .limit(MOST)
    )
    return db.rows_changed(
        update(InboundText)
        .where(InboundText.shop_id == shop_id, InboundText.id.in_(unread), InboundText.read_at.is_(None))
        .values(read_at=clock.now())
        .execution_options(synchronize_session=False)
    )

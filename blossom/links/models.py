"""Tables of short links. Of a code there is none: it names message and link by itself (`rules.codes`)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, SmallInteger, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.db import Base


class LinkTarget(Base):
    """A long address in the text of a dispatch, by its place among them: a few rows for a million texts."""

    __tablename__ = "link_targets"
    __table_args__ = (
        UniqueConstraint("shop_id", "dispatch_id", "number"),
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        CheckConstraint("number BETWEEN 1 AND 63", "number"),
    )

    dispatch_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    address: Mapped[str] = mapped_column(Text)


def _target() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["shop_id", "dispatch_id", "number"],
        ["link_targets.shop_id", "link_targets.dispatch_id", "link_targets.number"],
    )


class LinkClick(Base):
    """A link that somebody has opened: written with the first click, counted up by the others.

    Ids of messages are ranges by dispatch, so the key finds a message's clicks and a dispatch's. The index finds them
    for a shop that is forgotten, and for each target that goes then.
    """

    __tablename__ = "link_clicks"
    __table_args__ = (_target(), Index(None, "shop_id", "dispatch_id"))

    message_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    dispatch_id: Mapped[int]
    first_at: Mapped[datetime]
    clicks: Mapped[int] = mapped_column(Integer)


class LinkCount(Base):
    """The clicks of a dispatch's link, summed in some rows (`shard`), so that those who click at once don't all wait
    for one. `opened`: recipients who did; `clicks`: how often in all; `people`: recipients who opened this one before
    any other link of theirs, so that its sum over several links counts each person once."""

    __tablename__ = "link_counts"
    __table_args__ = (_target(), Index(None, "shop_id", "dispatch_id"))

    dispatch_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    opened: Mapped[int] = mapped_column(Integer)
    clicks: Mapped[int]
    people: Mapped[int] = mapped_column(Integer, default=0)

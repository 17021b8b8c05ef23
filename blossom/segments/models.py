"""Segments: a stored question over contacts, a list of them, or a segment of Shopify's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.db import Base
from blossom.segments import rules

_OPEN = f"state IN ({', '.join(repr(state.value) for state in rules.OPEN_READINGS)})"


def _count() -> Mapped[int]:
    return mapped_column(Integer, default=0, server_default=text("0"))


class Segment(Base):
    """`kind` "rules": contacts who meet `rules` when asked. `kind` "static": the members, and no rules. `kind`
    "shopify": the members, as they were read at Shopify (`ShopifySegment`); its name is the one it has there."""

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        Index(
            "uq_segments_shop_id_name_ours",
            "shop_id",
            "name",
            unique=True,
            postgresql_where=text("kind <> 'shopify'"),
        ),
        CheckConstraint(f"kind IN ({', '.join(repr(k.value) for k in rules.Kind)})", "kind"),
        CheckConstraint("(kind = 'rules') = (rules IS NOT NULL)", "rules"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    rules: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # segments.forms.RulesForm
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SegmentMember(Base):
    """A contact in a static list, or in a segment of Shopify's."""

    __tablename__ = "segment_members"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "segment_id"], ["segments.shop_id", "segments.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="CASCADE"),
        Index(None, "shop_id", "contact_id"),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[int] = mapped_column(primary_key=True)
    added_at: Mapped[datetime]


class ShopifySegment(Base):
    """What is known of a segment of Shopify's beside its name.

    `members`: customers in it at Shopify when they were read last, which ended at `read_at`; `known`: those of them who
    are contacts here. `gone_at`: it was found to be deleted there. The rest is how the next reading stands: each worker
    that takes it up counts `turn` up, and writes only while it is the last one who did; `read_so_far` of about
    `expected` members are in `shopify_segment_pages`, and `cursor` is where the next page begins.
    """

    __tablename__ = "shopify_segments"
    __table_args__ = (
        UniqueConstraint("shop_id", "shopify_id"),
        ForeignKeyConstraint(["shop_id", "segment_id"], ["segments.shop_id", "segments.id"], ondelete="CASCADE"),
        CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in rules.ReadingState)})", "state"),
        CheckConstraint(f"({_OPEN}) = (next_try_at IS NOT NULL)", "next_try_at"),
        CheckConstraint("(read_at IS NULL) = (members IS NULL) AND (read_at IS NULL) = (known IS NULL)", "read_at"),
        Index("ix_shopify_segments_due", "next_try_at", postgresql_where=text(_OPEN)),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    shopify_id: Mapped[int]
    gone_at: Mapped[datetime | None]
    members: Mapped[int | None] = mapped_column(Integer)
    known: Mapped[int | None] = mapped_column(Integer)
    read_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(Text, default=rules.ReadingState.RESTING.value, server_default=text("'resting'"))
    wanted_at: Mapped[datetime | None]
    cursor: Mapped[str | None] = mapped_column(Text)
    expected: Mapped[int | None] = mapped_column(Integer)
    read_so_far: Mapped[int] = _count()
    tries: Mapped[int] = _count()
    begun_anew: Mapped[int] = _count()  # by faults at a late page, since it was wanted
    turn: Mapped[int] = _count()
    next_try_at: Mapped[datetime | None]
    in_hand_until: Mapped[datetime | None]
    fault: Mapped[str | None] = mapped_column(Text)  # a code of `shopify.errors`, or the name of a fault of ours


class ShopifySegmentPage(Base):
    """A member of a reading that has not ended: nobody sees them before all are there."""

    __tablename__ = "shopify_segment_pages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "segment_id"],
            ["shopify_segments.shop_id", "shopify_segments.segment_id"],
            ondelete="CASCADE",
        ),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    segment_id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # the number at Shopify


class ShopifySegmentList(Base):
    """When a shop's segments were listed at Shopify, and when they are listed next."""

    __tablename__ = "shopify_segment_lists"
    __table_args__ = (Index("ix_shopify_segment_lists_due", "next_try_at"),)

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    listed_at: Mapped[datetime | None]
    next_try_at: Mapped[datetime]
    in_hand_until: Mapped[datetime | None]
    tries: Mapped[int] = _count()
    turn: Mapped[int] = _count()
    fault: Mapped[str | None] = mapped_column(Text)

"""Segments: a stored question over contacts, or a list of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.db import Base
from blossom.segments import rules


class Segment(Base):
    """`kind` "rules": contacts who meet `rules` when asked. `kind` "static": the members, and no rules."""

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "name"),
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
    """A contact in a static list."""

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

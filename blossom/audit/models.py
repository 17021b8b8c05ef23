"""The trail of deeds: one row a deed, no personal data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.db import Base


class AuditEntry(Base):
    """`actor` did `action` to the subject. `details` never holds a phone, a name or a text."""

    __tablename__ = "audit_entries"
    __table_args__ = (UniqueConstraint("shop_id", "id"),)  # serves the listing, newest first

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(Text)  # "staff:17", "api_key:3", "shopper", "system"
    action: Mapped[str] = mapped_column(Text)  # domain.deed_in_the_past: "campaigns.enqueued"
    subject_type: Mapped[str | None] = mapped_column(Text)
    subject_id: Mapped[int | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))

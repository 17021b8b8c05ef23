"""The saved texts of a shop."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform.db import Base

_triggers = ", ".join(f"'{trigger}'" for trigger in Trigger)


class MessageTemplate(Base):
    """A text to start from. What is sent is a copy of it, so that changing it changes no campaign."""

    __tablename__ = "message_templates"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "name_key"),
        CheckConstraint(f"trigger IN ({_triggers})", "trigger"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    name: Mapped[str] = mapped_column(Text)
    # The name as it is compared, folded in Python: the database's lower() knows ASCII only in some locales.
    name_key: Mapped[str] = mapped_column(Text)
    trigger: Mapped[str] = mapped_column(Text)  # rules.catalogue.Trigger
    body: Mapped[str] = mapped_column(Text)  # Liquid, line breaks as LF; compiles for its trigger
    language: Mapped[str] = mapped_column(Text)  # as "en" or "el-GR": how money and dates are written
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

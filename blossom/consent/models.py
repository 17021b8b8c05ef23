"""Consent by phone, so that an opt-out outlives the contact, and the events that led to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.consent import rules
from blossom.platform.db import Base


def _one_of(column: str, values: type[rules.State] | type[rules.Source]) -> str:
    return f"{column} IN ({', '.join(repr(v.value) for v in values)})"


class Consent(Base):
    """The state of one phone in one shop: the `to_state` of its last event. No row means never subscribed."""

    __tablename__ = "consents"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="SET NULL (contact_id)"
        ),
        # For the ON DELETE SET NULL, which would otherwise read the whole table for each contact that goes.
        Index(None, "shop_id", "contact_id"),
        CheckConstraint(_one_of("state", rules.State), "state"),
        CheckConstraint(_one_of("source", rules.Source), "source"),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]  # when the last event happened (not when we heard of it)
    source: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int | None]


class ConsentEvent(Base):
    """One change of consent. A trigger refuses to edit or remove it.

    `contact_id` is a note and no foreign key: setting it to NULL when the contact goes would be an edit.
    """

    __tablename__ = "consent_events"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        Index(None, "shop_id", "phone_hash", "id"),
        Index("ix_consent_events_opted_out", "shop_id", "occurred_at", postgresql_where=text("to_state = 'opted_out'")),
        CheckConstraint(_one_of("from_state", rules.State), "from_state"),
        CheckConstraint(_one_of("to_state", rules.State), "to_state"),
        CheckConstraint(_one_of("source", rules.Source), "source"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_hash: Mapped[bytes]
    contact_id: Mapped[int | None]
    from_state: Mapped[str] = mapped_column(Text)
    to_state: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    wording: Mapped[str | None] = mapped_column(Text)  # what the person read when they agreed
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str | None] = mapped_column(Text)  # who did it when not the person: a member of staff, an API key
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))

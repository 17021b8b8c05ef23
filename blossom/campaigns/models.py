"""The table of campaigns. What was sent for one is messaging's: `dispatch_id` names it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    DateTime,
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

from blossom.campaigns.rules import states
from blossom.campaigns.rules.schedule import ScheduleKind
from blossom.platform.db import Base


def _one_of(column: str, values: type[states.CampaignState] | type[states.Priority] | type[ScheduleKind]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class Campaign(Base):
    """A text planned for an audience. Read `state`; `stored_state` may hold the old word `sent`."""

    __tablename__ = "campaigns"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        Index("ix_campaigns_dispatch_id", "dispatch_id", unique=True, postgresql_where=text("dispatch_id IS NOT NULL")),
        Index("ix_campaigns_due", "due_at", postgresql_where=text("state = 'scheduled'")),
        Index("ix_campaigns_open", "id", postgresql_where=text("state IN ('sending', 'paused')")),
        CheckConstraint(_one_of("state", states.CampaignState), "state"),
        CheckConstraint(_one_of("priority", states.Priority), "priority"),
        CheckConstraint(_one_of("schedule_kind", ScheduleKind), "schedule_kind"),
        CheckConstraint(
            "(schedule_kind IS NOT DISTINCT FROM 'at') = (scheduled_at IS NOT NULL)"
            " AND (schedule_kind IS NOT DISTINCT FROM 'local') = (local_at IS NOT NULL)"
            " AND (schedule_kind IS NULL) = (due_at IS NULL)",
            "schedule",
        ),
        CheckConstraint("state <> 'scheduled' OR schedule_kind IS NOT NULL", "scheduled"),
        CheckConstraint(
            "state = 'sent' OR (state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", "finished"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    name: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)  # Liquid
    audience: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # segments.rules.Audience
    stored_state: Mapped[str] = mapped_column("state", Text, default=states.CampaignState.DRAFT)
    priority: Mapped[str] = mapped_column(Text, default=states.Priority.NORMAL)
    schedule_kind: Mapped[str | None] = mapped_column(Text)
    scheduled_at: Mapped[datetime | None]
    local_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=False))  # wall time of each recipient
    due_at: Mapped[datetime | None]  # when the clock enqueues it
    dispatch_id: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    failure_code: Mapped[str | None] = mapped_column(Text)
    failure_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(Integer, default=1)  # counts the merchant's changes

    @property
    def state(self) -> states.CampaignState:
        return states.shown(self.stored_state)

"""The table of campaigns. What was sent for one is messaging's: `dispatch_id` names it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
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


MARKS = r"[\u0300-\u036f]"
LETTERS = ("ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩς", "αβγδεζηθικλμνξοπρστυφχψωσ")
"""`lower` knows Greek only where the database's locale does; with these it is known everywhere."""

_BARE = f"lower(regexp_replace(normalize(name, NFD), '{MARKS}', '', 'g'))"
_NAME_KEY = f"translate({_BARE}, '{LETTERS[0]}', '{LETTERS[1]}')"


class Campaign(Base):
    """A text planned for an audience. Read `state`; `stored_state` may hold the old word `sent`."""

    __tablename__ = "campaigns"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        Index("ix_campaigns_dispatch_id", "dispatch_id", unique=True, postgresql_where=text("dispatch_id IS NOT NULL")),
        Index("ix_campaigns_due", "due_at", postgresql_where=text("state = 'scheduled'")),
        Index(
            "ix_campaigns_begun_on",
            "shop_id",
            "begun_on",
            unique=True,
            postgresql_where=text("begun_on IS NOT NULL"),
        ),
        Index("ix_campaigns_open", "id", postgresql_where=text("state IN ('sending', 'paused')")),
        # The merchant's list, filtered, sorted and searched (queries/pages.py).
        Index("ix_campaigns_state", "shop_id", "state", "id"),
        Index("ix_campaigns_name", "shop_id", "name_key", "id"),
        Index("ix_campaigns_changed", "shop_id", "updated_at", "id"),
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
    # What a name is found and sorted by: lower case, without accents, each sigma the same.
    name_key: Mapped[str] = mapped_column(Text, Computed(_NAME_KEY, persisted=True))
    body: Mapped[str] = mapped_column(Text)  # Liquid
    audience: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # segments.rules.Audience
    ab_test: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # rules.ab_test.AbTest
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
    # Of the compose page: the hour chosen for a draft (rules.plans.Plan), as it was typed; the page (a number of its
    # own each time it is loaded) that began the draft, and the one that saved it last, as its how manieth save.
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    begun_on: Mapped[UUID | None]
    saved_on: Mapped[UUID | None]
    saved_turn: Mapped[int | None] = mapped_column(Integer)

    @property
    def state(self) -> states.CampaignState:
        return states.shown(self.stored_state)


def _of_campaign() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["shop_id", "campaign_id"], ["campaigns.shop_id", "campaigns.id"], ondelete="CASCADE")


class CampaignTally(Base):
    """A large campaign's figures, counted over its messages by a job (`rules.tally.Tally`).

    `standing`: the dispatch's counts (`rules.tally.standing`) when it was counted; others since mean that it is old.
    `wanted_at`: when a page last asked for it to be counted, so that a thousand looks make one job.
    """

    __tablename__ = "campaign_tallies"
    __table_args__ = (
        _of_campaign(),
        CheckConstraint(
            "(counted_at IS NULL) = (figures IS NULL) AND (counted_at IS NULL) = (standing IS NULL)", "counted"
        ),
    )

    campaign_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    wanted_at: Mapped[datetime]
    counted_at: Mapped[datetime | None]
    standing: Mapped[list[int] | None] = mapped_column(JSONB(none_as_null=True))
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class StatusRefresh(Base):
    """The merchant's last question to the provider after a campaign's texts. `ended_at` None: a job has it in hand
    since `begun_at`, or will. `asked` texts, of which `changed` have a final word now; `trouble`: the code of what
    ended it early."""

    __tablename__ = "status_refreshes"
    __table_args__ = (
        _of_campaign(),
        Index("ix_status_refreshes_open", "asked_at", postgresql_where=text("ended_at IS NULL")),
    )

    campaign_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    actor: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    asked: Mapped[int] = mapped_column(Integer, default=0)
    changed: Mapped[int] = mapped_column(Integer, default=0)
    trouble: Mapped[str | None] = mapped_column(Text)


class Yes(Base):
    """A merchant's yes to the question of `service.confirming`, in a shop too large to be counted while they wait.

    `mark`, `credits_free`: of the question as it was shown. `refused_at` None: a job counts everybody once more, and
    does `deed` if the question is still the same; else nothing was done, and the merchant is asked again.
    """

    __tablename__ = "campaign_yeses"
    __table_args__ = (
        _of_campaign(),
        Index("ix_campaign_yeses_open", "said_at", postgresql_where=text("refused_at IS NULL")),
    )

    campaign_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    deed: Mapped[str] = mapped_column(Text)
    mark: Mapped[str] = mapped_column(Text)
    credits_free: Mapped[int]
    actor: Mapped[str] = mapped_column(Text)
    said_at: Mapped[datetime]
    refused_at: Mapped[datetime | None]

"""Tables of what keeps customers and contacts in step. No name, number or address stands here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.customers.rules import OPEN_STATES, ImportState
from blossom.platform.db import Base

_OPEN = f"state IN ({', '.join(repr(state.value) for state in OPEN_STATES)})"


def _count() -> Mapped[int]:
    return mapped_column(Integer, default=0, server_default=text("0"))


class CustomerImport(Base):
    """One import of all customers by a bulk operation of Shopify's; one at a time a shop.

    `lines_read` grows with each chunk's commit, and is where the next worker goes on in the same file. Each worker
    that takes it up counts `turn` up, and writes only while it is the last one who did.
    """

    __tablename__ = "customer_imports"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        Index("uq_customer_imports_open", "shop_id", unique=True, postgresql_where=text(_OPEN)),
        Index("ix_customer_imports_due", "next_try_at", postgresql_where=text(_OPEN)),
        CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in ImportState)})", "state"),
        CheckConstraint(f"({_OPEN}) = (next_try_at IS NOT NULL)", "next_try_at"),
        CheckConstraint(f"({_OPEN}) = (finished_at IS NULL)", "finished_at"),
        CheckConstraint("state IN ('asked', 'failed') OR operation IS NOT NULL", "operation"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    state: Mapped[str] = mapped_column(Text)
    operation: Mapped[str | None] = mapped_column(Text)  # the bulk operation's id at Shopify
    beginning_at: Mapped[datetime | None]  # Shopify was, or was about to be, asked to begin; its answer may be lost
    export_began_at: Mapped[datetime | None]  # what changed at Shopify after this may not be in the file
    exports: Mapped[int] = _count()  # that were begun for this import
    lines_total: Mapped[int | None] = mapped_column(Integer)
    lines_read: Mapped[int] = _count()
    created: Mapped[int] = _count()
    updated: Mapped[int] = _count()
    unchanged: Mapped[int] = _count()
    older: Mapped[int] = _count()
    without_phone: Mapped[int] = _count()
    refused: Mapped[int] = _count()
    refused_by_code: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    tries: Mapped[int] = _count()  # failures in a row
    turn: Mapped[int] = _count()
    next_try_at: Mapped[datetime | None]
    in_hand_until: Mapped[datetime | None]
    fault: Mapped[str | None] = mapped_column(Text)  # a code of `shopify.errors`, or the name of a fault of ours
    asked_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class CustomerGone(Base):
    """A customer who went while an import or a comparison was reading, and whom it may still name; until it ends."""

    __tablename__ = "customers_gone"

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    customer: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # the number at Shopify


class CustomerComparison(Base):
    """How far a shop's contacts are known to be in step, and when they are compared next; from its first import on.

    `in_step_until` grows with each page's commit: whatever changed at Shopify before it has been looked at.
    """

    __tablename__ = "customer_comparisons"
    __table_args__ = (Index("ix_customer_comparisons_due", "next_try_at"),)

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    in_step_until: Mapped[datetime]
    next_try_at: Mapped[datetime]
    in_hand_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    looked_at: Mapped[int] = _count()  # customers, by the last comparison or the one that runs
    found: Mapped[int] = _count()  # of them, those whose contact was not as it should have been
    asked_up_to: Mapped[int] = mapped_column(
        default=0, server_default=text("0")
    )  # a customer's number; 0: from the first
    asked: Mapped[int] = _count()  # by the same comparison: customers of whom Shopify was asked whether they are there
    gone: Mapped[int] = _count()  # of them, those who are not
    tries: Mapped[int] = _count()
    turn: Mapped[int] = _count()
    fault: Mapped[str | None] = mapped_column(Text)

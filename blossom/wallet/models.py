"""Tables of money. The migration adds the triggers that keep them true; docs/money.md says which invariants hold.

Rows are read and written by the statements in `service` and `queries`, which hand out the dataclasses of `rules`:
a trigger changes `wallets` and `reservations` behind the ORM's back, so an ORM object would go stale.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Interval,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.db import Base


class WalletRow(Base):
    """A shop's sums. Written by triggers only: balance = Σ ledger, reserved = Σ outstanding of reservations."""

    __tablename__ = "wallets"
    __table_args__ = (CheckConstraint("reserved >= 0 AND balance >= reserved", "never_overdrawn"),)

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column(server_default="0")
    reserved: Mapped[int] = mapped_column(server_default="0")


class ReservationRow(Base):
    """Credits held. `captured` (and, for an overdraw, `amount`) grow by ledger entries only; `released` by closing."""

    __tablename__ = "reservations"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "reference"),
        CheckConstraint("amount > 0", "amount"),
        CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= amount", "within_amount"),
        CheckConstraint("state IN ('open', 'closed')", "state"),
        CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", "closed_at"),
        CheckConstraint("state = 'open' OR captured + released = amount", "closed_is_settled"),
        # The sweeper's question. Few are open at a time; `expires_at` itself is not indexed, so that a capture, which
        # moves it, stays a HOT update.
        Index("ix_reservations_open", "shop_id", "id", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("wallets.shop_id"))
    reference: Mapped[str] = mapped_column(Text)
    amount: Mapped[int]
    captured: Mapped[int] = mapped_column(server_default="0")
    released: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(Text, server_default="open")
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    idle_limit: Mapped[timedelta] = mapped_column(Interval)  # each use moves expires_at to at least this much later
    closed_at: Mapped[datetime | None]


class EntryRow(Base):
    """The ledger: rows are added, never changed, never removed."""

    __tablename__ = "wallet_entries"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "kind", "reference"),
        ForeignKeyConstraint(["shop_id", "reservation_id"], ["reservations.shop_id", "reservations.id"]),
        CheckConstraint(
            "(kind IN ('top_up', 'refund') AND amount > 0) OR (kind IN ('capture', 'reversal') AND amount < 0)"
            " OR (kind = 'adjustment' AND amount <> 0)",
            "kind_and_sign",
        ),
        CheckConstraint("(kind = 'capture') = (reservation_id IS NOT NULL)", "capture_has_reservation"),
        Index("ix_wallet_entries_at", "shop_id", "at"),  # what was spent in these days
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("wallets.shop_id"))
    kind: Mapped[str] = mapped_column(Text)
    amount: Mapped[int]
    at: Mapped[datetime]
    reservation_id: Mapped[int | None]
    # Messaging's dispatch. No foreign key: messaging stands above the wallet, and the ledger outlives what it paid for.
    dispatch_id: Mapped[int | None]
    reference: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    balance_after: Mapped[int]  # filled by a trigger


class PriceListRow(Base):
    """A dated price list. Only its name and its end may change; two lists of one owner never overlap in time."""

    __tablename__ = "price_lists"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        CheckConstraint("valid_to IS NULL OR valid_to > valid_from", "valid_to"),
        ExcludeConstraint(
            # A range of one number instead of `shop_id WITH =`, which would need the btree_gist extension.
            (text("int8range(coalesce(shop_id, 0), coalesce(shop_id, 0), '[]')"), "&&"),
            (text("tstzrange(valid_from, valid_to)"), "&&"),
            name="ex_price_lists_one_at_a_time",
            using="gist",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("shops.id"))  # NULL: the installation's own
    name: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime | None]
    refund_failed: Mapped[bool]
    # Prices may be added by the transaction that makes the list and by no later one: what is pinned never changes.
    made_in: Mapped[int] = mapped_column(server_default=text("(pg_current_xact_id()::text::bigint)"))


class PriceRow(Base):
    """Credits a segment to one country of a list, or to all others (`*`)."""

    __tablename__ = "prices"
    __table_args__ = (
        CheckConstraint(r"country ~ '^([A-Z]{2}|\*)$'", "country"),
        CheckConstraint("credits_per_segment > 0", "credits_per_segment"),
    )

    price_list_id: Mapped[int] = mapped_column(ForeignKey("price_lists.id"), primary_key=True)
    country: Mapped[str] = mapped_column(Text, primary_key=True)
    credits_per_segment: Mapped[int] = mapped_column(Integer)

"""Imports of Shopify's customers, how far each shop was compared with them, and consent that Shopify is owed.

Revision: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"

STATES = "('asked', 'exporting', 'reading', 'completed', 'failed')"
OPEN = "state IN ('asked', 'exporting', 'reading')"


def _moment(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    op.create_table(
        "customer_imports",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("operation", sa.Text),
        _moment("beginning_at"),
        _moment("export_began_at"),
        sa.Column("lines_total", sa.Integer),
        *map(_count, ("exports", "lines_read", "created", "updated", "unchanged", "older", "without_phone", "refused")),
        sa.Column("refused_by_code", JSONB, nullable=False, server_default=sa.text("'{}'")),
        _count("tries"),
        _count("turn"),
        _moment("next_try_at"),
        _moment("in_hand_until"),
        sa.Column("fault", sa.Text),
        _moment("asked_at", nullable=False),
        _moment("finished_at"),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint(f"state IN {STATES}", "state"),
        sa.CheckConstraint(f"({OPEN}) = (next_try_at IS NOT NULL)", "next_try_at"),
        sa.CheckConstraint(f"({OPEN}) = (finished_at IS NULL)", "finished_at"),
        sa.CheckConstraint("state IN ('asked', 'failed') OR operation IS NOT NULL", "operation"),
    )
    op.create_index(
        "uq_customer_imports_open", "customer_imports", ["shop_id"], unique=True, postgresql_where=sa.text(OPEN)
    )
    op.create_index("ix_customer_imports_due", "customer_imports", ["next_try_at"], postgresql_where=sa.text(OPEN))
    op.create_table(
        "customers_gone",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), primary_key=True),
        sa.Column("customer", sa.BigInteger, primary_key=True),
    )

    op.create_table(
        "customer_comparisons",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), primary_key=True),
        _moment("in_step_until", nullable=False),
        _moment("next_try_at", nullable=False),
        _moment("in_hand_until"),
        _moment("finished_at"),
        *map(_count, ("looked_at", "found", "tries", "turn")),
        sa.Column("fault", sa.Text),
    )
    op.create_index("ix_customer_comparisons_due", "customer_comparisons", ["next_try_at"])
    op.create_table(
        "consent_pushes",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_hash", sa.LargeBinary, nullable=False),
        _count("revision"),
        _count("tries"),
        _moment("owed_since", nullable=False),
        _moment("next_try_at"),
        _moment("in_hand_until"),
        _moment("settled_at"),
        sa.Column("told", sa.Text),
        sa.Column("fault", sa.Text),
        sa.Column("refusal_sealed", sa.LargeBinary),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "phone_hash"),
        sa.CheckConstraint("next_try_at IS NOT NULL OR settled_at IS NOT NULL", "settled"),
    )
    op.create_index(
        "ix_consent_pushes_owed",
        "consent_pushes",
        ["next_try_at"],
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("consent_pushes")
    op.drop_table("customer_comparisons")
    op.drop_table("customers_gone")
    op.drop_table("customer_imports")

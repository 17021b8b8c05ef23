"""Shops of Shopify: their access, and the staff members who act for them.

Revision: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "installations",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False, unique=True),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("scopes_changed_at", sa.DateTime(timezone=True)),
        sa.Column("access_token_sealed", sa.LargeBinary),
        sa.Column("access_expires_at", sa.DateTime(timezone=True)),
        sa.Column("refresh_token_sealed", sa.LargeBinary),
        sa.Column("refresh_expires_at", sa.DateTime(timezone=True)),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("claim", sa.Uuid),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("access_lost_at", sa.DateTime(timezone=True)),
        sa.Column("granted_at", sa.DateTime(timezone=True)),
        sa.Column("described_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint("(claim IS NULL) = (claimed_until IS NULL)", "claim"),
        sa.CheckConstraint("access_token_sealed IS NOT NULL OR refresh_token_sealed IS NULL", "tokens"),
    )
    op.create_index(
        "ix_installations_refresh_expires_at",
        "installations",
        ["refresh_expires_at"],
        postgresql_where=sa.text("refresh_token_sealed IS NOT NULL"),
    )
    op.create_table(
        "staff_members",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("shopify_user_id", sa.BigInteger, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text)),
        sa.Column("scopes_read_at", sa.DateTime(timezone=True)),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "shopify_user_id"),
        sa.CheckConstraint("(scopes IS NULL) = (scopes_read_at IS NULL)", "scopes"),
    )


def downgrade() -> None:
    op.drop_table("staff_members")
    op.drop_table("installations")

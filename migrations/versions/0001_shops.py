"""Shops, their keys, their API keys, and the turns of periodic jobs.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "shops",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("domain", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("default_country", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("contact_line", sa.Text, nullable=False),
        sa.Column("opt_out_text", sa.Text, nullable=False),
        sa.Column("stop_keywords", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("quiet_hours_on", sa.Boolean, nullable=False),
        sa.Column("quiet_from", sa.Time, nullable=False),
        sa.Column("quiet_until", sa.Time, nullable=False),
        sa.Column("daily_cap", sa.SmallInteger),
        sa.Column("weekly_cap", sa.SmallInteger),
        sa.Column("traffic_account_id", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uninstalled_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("daily_cap IS NULL OR daily_cap > 0", "daily_cap"),
        sa.CheckConstraint("weekly_cap IS NULL OR weekly_cap > 0", "weekly_cap"),
    )
    op.create_table(
        "shop_keys",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("use", sa.Text, nullable=False),
        sa.Column("master_key_id", sa.BigInteger, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("use IN ('data', 'lookup')", "use"),
    )
    op.create_index("ix_shop_keys_shop_id", "shop_keys", ["shop_id"])
    op.create_index(
        "uq_shop_keys_lookup", "shop_keys", ["shop_id"], unique=True, postgresql_where=sa.text("use = 'lookup'")
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("shop_id", "id"),
    )
    op.create_table(
        "periodic_turns",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("periodic_turns")
    op.drop_table("api_keys")
    op.drop_table("shop_keys")
    op.drop_table("shops")

"""Shopify's own segments: a third kind of `segments`, whose members are read from Shopify.

Names are the merchant's there, and may be those of segments here: only ours stay unique.

Revision: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"

_OPEN = "state IN ('wanted', 'reading')"
_NUMBER = sa.text("0")


def upgrade() -> None:
    op.drop_constraint("ck_segments_kind", "segments")
    op.create_check_constraint("kind", "segments", "kind IN ('rules', 'static', 'shopify')")
    op.create_index(
        "uq_segments_shop_id_name_ours",
        "segments",
        ["shop_id", "name"],
        unique=True,
        postgresql_where=sa.text("kind <> 'shopify'"),
    )
    op.drop_constraint("uq_segments_shop_id_name", "segments")
    op.create_table(
        "shopify_segments",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("segment_id", sa.BigInteger, nullable=False),
        sa.Column("shopify_id", sa.BigInteger, nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True)),
        sa.Column("members", sa.Integer),
        sa.Column("known", sa.Integer),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'resting'")),
        sa.Column("wanted_at", sa.DateTime(timezone=True)),
        sa.Column("cursor", sa.Text),
        sa.Column("expected", sa.Integer),
        sa.Column("read_so_far", sa.Integer, nullable=False, server_default=_NUMBER),
        sa.Column("tries", sa.Integer, nullable=False, server_default=_NUMBER),
        sa.Column("turn", sa.Integer, nullable=False, server_default=_NUMBER),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("in_hand_until", sa.DateTime(timezone=True)),
        sa.Column("fault", sa.Text),
        sa.PrimaryKeyConstraint("shop_id", "segment_id"),
        sa.UniqueConstraint("shop_id", "shopify_id"),
        sa.ForeignKeyConstraint(["shop_id", "segment_id"], ["segments.shop_id", "segments.id"], ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('resting', 'wanted', 'reading', 'failed')", "state"),
        sa.CheckConstraint(f"({_OPEN}) = (next_try_at IS NOT NULL)", "next_try_at"),
        sa.CheckConstraint("(read_at IS NULL) = (members IS NULL) AND (read_at IS NULL) = (known IS NULL)", "read_at"),
    )
    op.create_index("ix_shopify_segments_due", "shopify_segments", ["next_try_at"], postgresql_where=sa.text(_OPEN))
    op.create_table(
        "shopify_segment_pages",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("segment_id", sa.BigInteger, nullable=False),
        sa.Column("customer", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "segment_id", "customer"),
        sa.ForeignKeyConstraint(
            ["shop_id", "segment_id"], ["shopify_segments.shop_id", "shopify_segments.segment_id"], ondelete="CASCADE"
        ),
    )
    op.create_table(
        "shopify_segment_lists",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), primary_key=True),
        sa.Column("listed_at", sa.DateTime(timezone=True)),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_hand_until", sa.DateTime(timezone=True)),
        sa.Column("tries", sa.Integer, nullable=False, server_default=_NUMBER),
        sa.Column("turn", sa.Integer, nullable=False, server_default=_NUMBER),
        sa.Column("fault", sa.Text),
    )
    op.create_index("ix_shopify_segment_lists_due", "shopify_segment_lists", ["next_try_at"])


def downgrade() -> None:
    op.drop_table("shopify_segment_lists")
    op.drop_table("shopify_segment_pages")
    op.drop_table("shopify_segments")
    op.execute("DELETE FROM segments WHERE kind = 'shopify'")
    op.create_unique_constraint("uq_segments_shop_id_name", "segments", ["shop_id", "name"])
    op.drop_index("uq_segments_shop_id_name_ours", "segments")
    op.drop_constraint("ck_segments_kind", "segments")
    op.create_check_constraint("kind", "segments", "kind IN ('rules', 'static')")

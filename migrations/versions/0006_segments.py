"""Segments and the members of static lists.

Revision: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("rules", JSONB),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "name"),
        sa.CheckConstraint("kind IN ('rules', 'static')", "kind"),
        sa.CheckConstraint("(kind = 'rules') = (rules IS NOT NULL)", "rules"),
    )
    op.create_table(
        "segment_members",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("segment_id", sa.BigInteger, nullable=False),
        sa.Column("contact_id", sa.BigInteger, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "segment_id", "contact_id"),
        sa.ForeignKeyConstraint(["shop_id", "segment_id"], ["segments.shop_id", "segments.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_segment_members_shop_id_contact_id", "segment_members", ["shop_id", "contact_id"])


def downgrade() -> None:
    op.drop_table("segment_members")
    op.drop_table("segments")

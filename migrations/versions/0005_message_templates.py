"""The saved texts of a shop.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "message_templates",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "name_key"),
        sa.CheckConstraint(
            "trigger IN ('campaign', 'abandoned_checkout', 'order', 'fulfillment', 'welcome', 'back_in_stock')",
            "trigger",
        ),
    )


def downgrade() -> None:
    op.drop_table("message_templates")

"""Shopify's webhooks, each stored once; and since when a contact is what Shopify said.

Revision: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "shopify_webhooks",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("webhook_id", sa.Text, nullable=False, unique=True),
        sa.Column("event_id", sa.Text),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("shop_domain", sa.Text, nullable=False),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id")),
        sa.Column("api_version", sa.Text),
        sa.Column("triggered_at", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload_sealed", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("in_hand_until", sa.DateTime(timezone=True)),
        sa.Column("fault", sa.Text),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('new', 'done', 'ignored', 'owed', 'dead')", "state"),
        sa.CheckConstraint("(state = 'new') = (next_try_at IS NOT NULL)", "next_try_at"),
        sa.CheckConstraint("(state = 'new') = (ended_at IS NULL)", "ended_at"),
        sa.CheckConstraint("state = 'new' OR in_hand_until IS NULL", "in_hand_until"),
        sa.CheckConstraint("state <> 'new' OR (shop_id IS NOT NULL AND payload_sealed IS NOT NULL)", "payload"),
    )
    op.create_index(
        "ix_shopify_webhooks_new", "shopify_webhooks", ["next_try_at", "id"], postgresql_where=sa.text("state = 'new'")
    )
    op.create_index(
        "ix_shopify_webhooks_in_hand",
        "shopify_webhooks",
        ["shop_id"],
        postgresql_where=sa.text("in_hand_until IS NOT NULL"),
    )
    op.create_index(
        "ix_shopify_webhooks_open",
        "shopify_webhooks",
        ["state", "id"],
        postgresql_where=sa.text("state IN ('dead', 'owed')"),
    )
    op.create_index(
        "ix_shopify_webhooks_ended",
        "shopify_webhooks",
        ["ended_at"],
        postgresql_where=sa.text("state IN ('done', 'ignored')"),
    )
    op.create_index(
        "ix_shopify_webhooks_kept",
        "shopify_webhooks",
        ["ended_at"],
        postgresql_where=sa.text("state IN ('done', 'ignored') AND payload_sealed IS NOT NULL"),
    )
    op.create_index("ix_shopify_webhooks_shop_id_id", "shopify_webhooks", ["shop_id", "id"])
    op.add_column("contacts", sa.Column("shopify_updated_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("contacts", "shopify_updated_at")
    op.drop_table("shopify_webhooks")

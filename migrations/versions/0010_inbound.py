"""Texts that people sent to shops.

Revision: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "inbound_texts",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary, nullable=False),
        sa.Column("phone_hash", sa.LargeBinary, nullable=False),
        sa.Column("text_sealed", sa.LargeBinary, nullable=False),
        sa.Column("identity_hash", sa.LargeBinary, nullable=False),
        sa.Column("keyword", sa.Text),
        sa.Column("contact_id", sa.BigInteger),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True)),
        sa.Column("answer_dispatch_id", sa.BigInteger),
        sa.Column("unanswered", sa.Text),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "identity_hash"),
        sa.ForeignKeyConstraint(
            ["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="SET NULL (contact_id)"
        ),
        sa.ForeignKeyConstraint(["shop_id", "answer_dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        sa.CheckConstraint("keyword IN ('stop', 'start', 'help')", "keyword"),
        sa.CheckConstraint("answer_dispatch_id IS NULL OR unanswered IS NULL", "answer"),
    )
    op.create_index("ix_inbound_texts_shop_id_contact_id", "inbound_texts", ["shop_id", "contact_id"])
    op.create_index(
        "ix_inbound_texts_unhandled", "inbound_texts", ["received_at"], postgresql_where=sa.text("handled_at IS NULL")
    )
    op.create_index(
        "ix_inbound_texts_answered",
        "inbound_texts",
        ["shop_id", "phone_hash", "handled_at"],
        postgresql_where=sa.text("answer_dispatch_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("inbound_texts")

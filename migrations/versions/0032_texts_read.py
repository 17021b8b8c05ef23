"""What people text beside keywords is shown to the merchant: which of it was read, and by what it is found.

Revision: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("inbound_texts", sa.Column("read_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_inbound_texts_replies", "inbound_texts", ["shop_id", "id"], postgresql_where=sa.text("keyword IS NULL")
    )
    op.create_index(
        "ix_inbound_texts_unread",
        "inbound_texts",
        ["shop_id", "id"],
        postgresql_where=sa.text("keyword IS NULL AND read_at IS NULL"),
    )
    # One phone's texts in their order; it serves all that the shorter one did.
    op.create_index("ix_inbound_texts_shop_id_phone_hash_id", "inbound_texts", ["shop_id", "phone_hash", "id"])
    op.drop_index("ix_inbound_texts_shop_id_phone_hash", "inbound_texts")


def downgrade() -> None:
    op.create_index("ix_inbound_texts_shop_id_phone_hash", "inbound_texts", ["shop_id", "phone_hash"])
    for name in ("shop_id_phone_hash_id", "unread", "replies"):
        op.drop_index(f"ix_inbound_texts_{name}", "inbound_texts")
    op.drop_column("inbound_texts", "read_at")

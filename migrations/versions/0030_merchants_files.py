"""Files of customers that a merchant sends from their browser: in parts, sealed, for as long as they are needed;
imports that only count; and refused lines, kept sealed for a while so that they can be corrected.

Revision: 0030
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0030"
down_revision = "0029"

_STATES = ("receiving", "received", "checking", "checked", "importing", "completed", "failed")


def upgrade() -> None:
    op.add_column("contact_imports", sa.Column("dry_run", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("import_refusals", sa.Column("cells_sealed", sa.LargeBinary))
    op.create_table(
        "uploads",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("uploaded_by", sa.Text, nullable=False),
        sa.Column("encoding", sa.Text),
        sa.Column("header", JSONB),
        sa.Column("sample_sealed", sa.LargeBinary),
        sa.Column("mapping", JSONB),
        sa.Column("everybody_agreed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("check_id", sa.BigInteger),
        sa.Column("import_id", sa.BigInteger),
        sa.Column("attested_by", sa.Text),
        sa.Column("attested_wording", sa.Text),
        sa.Column("fault", sa.Text),
        sa.Column("fault_details", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("in_hand_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("shop_id", "id"),
        sa.ForeignKeyConstraint(
            ["shop_id", "check_id"],
            ["contact_imports.shop_id", "contact_imports.id"],
            name="fk_uploads_check",
            ondelete="SET NULL (check_id)",
        ),
        sa.ForeignKeyConstraint(
            ["shop_id", "import_id"],
            ["contact_imports.shop_id", "contact_imports.id"],
            name="fk_uploads_import",
            ondelete="SET NULL (import_id)",
        ),
        sa.CheckConstraint(f"state IN ({', '.join(map(repr, _STATES))})", "state"),
        sa.CheckConstraint("(state IN ('checking', 'importing')) = (next_try_at IS NOT NULL)", "next_try_at"),
        sa.CheckConstraint("state NOT IN ('checking', 'checked', 'importing', 'completed') OR mapping IS NOT NULL",
                           "mapping"),
    )  # fmt: skip
    op.create_index("ix_uploads_due", "uploads", ["next_try_at"], postgresql_where=sa.text("next_try_at IS NOT NULL"))
    op.create_index(
        "ix_uploads_expiring", "uploads", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    # For the ON DELETE SET NULL of each, which would otherwise read the whole table.
    op.create_index("ix_uploads_check", "uploads", ["shop_id", "check_id"])
    op.create_index("ix_uploads_import", "uploads", ["shop_id", "import_id"])
    op.create_table(
        "upload_parts",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("upload_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("shop_id", "upload_id", "number"),
        sa.ForeignKeyConstraint(["shop_id", "upload_id"], ["uploads.shop_id", "uploads.id"], ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("upload_parts")
    op.drop_table("uploads")
    op.drop_column("import_refusals", "cells_sealed")
    op.drop_column("contact_imports", "dry_run")

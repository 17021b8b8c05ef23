"""Contacts, their imports, and the lines that were refused.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "contacts",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary),
        sa.Column("phone_hash", sa.LargeBinary),
        sa.Column("phone_country", sa.Text),
        sa.Column("email_sealed", sa.LargeBinary),
        sa.Column("email_hash", sa.LargeBinary),
        sa.Column("first_name_sealed", sa.LargeBinary),
        sa.Column("last_name_sealed", sa.LargeBinary),
        sa.Column("first_name_size", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_name_size", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("country", sa.Text),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("zone_is_own", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("locale", sa.Text),
        sa.Column("tags", sa.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("total_spent_minor", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("orders_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("shopify_customer_id", sa.BigInteger),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "phone_hash"),
        sa.UniqueConstraint("shop_id", "shopify_customer_id"),
        sa.CheckConstraint("(phone_sealed IS NULL) = (phone_hash IS NULL)", "phone"),
        sa.CheckConstraint("(email_sealed IS NULL) = (email_hash IS NULL)", "email"),
    )
    op.create_index("ix_contacts_shop_id_email_hash", "contacts", ["shop_id", "email_hash"])
    op.create_index("ix_contacts_tags", "contacts", ["tags"], postgresql_using="gin")
    op.create_table(
        "contact_imports",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("file_digest", sa.LargeBinary, nullable=False),
        sa.Column("mapping", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rows_total", sa.Integer, nullable=False),
        sa.Column("rows_read", sa.Integer, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("updated", sa.Integer, nullable=False),
        sa.Column("unchanged", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        sa.Column("refused_by_code", JSONB, nullable=False),
        sa.Column("tallies", JSONB, nullable=False),
        sa.Column("attested_by", sa.Text),
        sa.Column("attested_wording", sa.Text),
        sa.Column("attested_at", sa.DateTime(timezone=True)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("fault", sa.Text),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint("state IN ('running', 'completed', 'failed')", "state"),
    )
    op.create_index(
        "ix_contact_imports_open",
        "contact_imports",
        ["shop_id", "file_digest"],
        postgresql_where=sa.text("state <> 'completed'"),
    )
    op.create_table(
        "import_refusals",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("import_id", sa.BigInteger, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("column", sa.Text),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.ForeignKeyConstraint(
            ["shop_id", "import_id"], ["contact_imports.shop_id", "contact_imports.id"], ondelete="CASCADE"
        ),
    )
    op.create_index("ix_import_refusals_shop_id_import_id_id", "import_refusals", ["shop_id", "import_id", "id"])
    op.create_table(
        "contact_import_keys",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("import_id", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "import_id", "key"),
        sa.ForeignKeyConstraint(
            ["shop_id", "import_id"], ["contact_imports.shop_id", "contact_imports.id"], ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("contact_import_keys")
    op.drop_table("import_refusals")
    op.drop_table("contact_imports")
    op.drop_table("contacts")

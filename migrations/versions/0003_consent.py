"""Consents and their events, which the database itself keeps from being edited.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

STATES = "('never_subscribed', 'pending', 'opted_in', 'opted_out')"
SOURCES = "('checkout', 'storefront', 'keyword', 'import', 'api', 'shopify', 'merchant')"


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_hash", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("contact_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("shop_id", "phone_hash"),
        sa.ForeignKeyConstraint(
            ["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="SET NULL (contact_id)"
        ),
        sa.CheckConstraint(f"state IN {STATES}", "state"),
        sa.CheckConstraint(f"source IN {SOURCES}", "source"),
    )
    op.create_index("ix_consents_shop_id_contact_id", "consents", ["shop_id", "contact_id"])
    op.create_table(
        "consent_events",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_hash", sa.LargeBinary, nullable=False),
        sa.Column("contact_id", sa.BigInteger),
        sa.Column("from_state", sa.Text, nullable=False),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wording", sa.Text),
        sa.Column("ip", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("details", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint(f"from_state IN {STATES}", "from_state"),
        sa.CheckConstraint(f"to_state IN {STATES}", "to_state"),
        sa.CheckConstraint(f"source IN {SOURCES}", "source"),
    )
    op.create_index("ix_consent_events_shop_id_phone_hash_id", "consent_events", ["shop_id", "phone_hash", "id"])
    op.create_index(
        "ix_consent_events_opted_out",
        "consent_events",
        ["shop_id", "occurred_at"],
        postgresql_where=sa.text("to_state = 'opted_out'"),
    )
    op.execute(
        """
        CREATE FUNCTION refuse_to_edit_consent_events() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'consent events are never edited or removed' USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_consent_events()
        """
    )


def downgrade() -> None:
    op.drop_table("consent_events")
    op.execute("DROP FUNCTION refuse_to_edit_consent_events()")
    op.drop_table("consents")

"""Forgetting people and shops: what is still to be forgotten, what a person asked to see, and where both reach.

A message may lose its number; a consent event may lose where its person sat, and an event of a shop that is forgotten
may go. Everything else about events stays refused, and so does that, unless the transaction says what it is about
(`blossom.erasing`).

Revision: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("customer", sa.BigInteger),
        sa.Column("phone_hashes", ARRAY(sa.LargeBinary)),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
    )
    op.create_table(
        "data_exports",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("customer", sa.BigInteger),
        sa.Column("phone_hashes", ARRAY(sa.LargeBinary), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True)),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
    )
    op.create_index("ix_data_exports_expires_at", "data_exports", ["expires_at"])
    op.create_index("ix_inbound_texts_shop_id_phone_hash", "inbound_texts", ["shop_id", "phone_hash"])
    op.alter_column("messages", "phone_sealed", nullable=True)
    op.execute("DROP TRIGGER consent_events_stay ON consent_events")
    op.execute(
        """
        CREATE OR REPLACE FUNCTION refuse_to_edit_consent_events() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = TG_ARGV[0] AND current_setting('blossom.erasing', true) = TG_ARGV[1] THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION 'consent events are never edited or removed' USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_events_stay
        BEFORE UPDATE OF id, shop_id, phone_hash, from_state, to_state, source, occurred_at, recorded_at, wording, actor
        OR TRUNCATE ON consent_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_consent_events()
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_events_forget BEFORE UPDATE ON consent_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_consent_events('UPDATE', 'person')
        """
    )
    op.execute(
        """
        CREATE TRIGGER consent_events_go BEFORE DELETE ON consent_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_consent_events('DELETE', 'shop')
        """
    )


def downgrade() -> None:
    for name in ("consent_events_go", "consent_events_forget", "consent_events_stay"):
        op.execute(f"DROP TRIGGER {name} ON consent_events")
    op.execute(
        """
        CREATE OR REPLACE FUNCTION refuse_to_edit_consent_events() RETURNS trigger LANGUAGE plpgsql AS $$
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
    op.execute("UPDATE messages SET phone_sealed = '' WHERE phone_sealed IS NULL")
    op.alter_column("messages", "phone_sealed", nullable=False)
    op.drop_index("ix_inbound_texts_shop_id_phone_hash", "inbound_texts")
    op.drop_table("data_exports")
    op.drop_table("erasures")

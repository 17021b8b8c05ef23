"""How shops ask for consent, and the forms that shoppers send. A dispatch may be the text that asks to confirm.

Revision: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"

OUTCOMES = (
    "('opted_in', 'asked', 'confirmed', 'lapsed', 'already', 'opted_out_stands', 'asked_before', 'no_credit', "
    "'not_textable', 'too_late', 'shop_left')"
)
KINDS = "('campaign', 'test', 'automation', 'reply', 'stop_reply')"
KINDS_NOW = "('campaign', 'test', 'automation', 'reply', 'stop_reply', 'confirmation')"


def upgrade() -> None:
    op.create_table(
        "consent_settings",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), primary_key=True),
        sa.Column("double_opt_in", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("in_theme", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("wordings", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("privacy_url", sa.Text),
    )
    op.create_table(
        "opt_in_requests",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("form_hash", sa.LargeBinary, nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary),
        sa.Column("phone_hash", sa.LargeBinary, nullable=False),
        sa.Column("phone_country", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("path_prefix", sa.Text, nullable=False),
        sa.Column("wording", sa.Text, nullable=False),
        sa.Column("ip", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        sa.Column("code_hash", sa.LargeBinary),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("dispatch_id", sa.BigInteger),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "form_hash"),
        sa.UniqueConstraint("shop_id", "code_hash"),
        sa.ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        sa.CheckConstraint(f"outcome IN {OUTCOMES}", "outcome"),
        sa.CheckConstraint("(outcome IS NULL OR outcome = 'asked') = (phone_sealed IS NOT NULL)", "phone_while_open"),
        sa.CheckConstraint("outcome <> 'asked' OR (code_hash IS NOT NULL AND expires_at IS NOT NULL)", "code"),
    )
    op.create_index(
        "ix_opt_in_requests_shop_id_phone_hash_asked_at", "opt_in_requests", ["shop_id", "phone_hash", "asked_at"]
    )
    for name, column, condition in (
        ("new", "requested_at", "outcome IS NULL"),
        ("asked", "expires_at", "outcome = 'asked'"),
        ("settled", "requested_at", "outcome <> 'asked'"),
        ("texted", "dispatch_id", "dispatch_id IS NOT NULL"),
    ):
        op.create_index(f"ix_opt_in_requests_{name}", "opt_in_requests", [column], postgresql_where=sa.text(condition))
    _allow_kinds(KINDS_NOW)


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint("kind", "dispatches", type_="check")
    op.create_check_constraint("kind", "dispatches", f"kind IN {kinds}")


def downgrade() -> None:
    op.execute("UPDATE dispatches SET kind = 'reply' WHERE kind = 'confirmation'")
    _allow_kinds(KINDS)
    op.drop_table("opt_in_requests")
    op.drop_table("consent_settings")

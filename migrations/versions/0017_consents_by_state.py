"""Consent by state, the latest change first: what a merchant's list of contacts is filtered by.

Revision: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_index("ix_consents_state", "consents", ["shop_id", "state", "changed_at", "phone_hash"])


def downgrade() -> None:
    op.drop_index("ix_consents_state", "consents")

"""How many confirmations a shop has asked strangers for of late, counted before each: an index, and an outcome.

Revision: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

OUTCOMES = (
    "('opted_in', 'asked', 'confirmed', 'lapsed', 'already', 'opted_out_stands', 'asked_before', 'no_credit', "
    "'not_textable', 'too_late', 'shop_left')"
)
OUTCOMES_NOW = OUTCOMES.replace("'asked_before', ", "'asked_before', 'too_many_asked', ")


def upgrade() -> None:
    _allow_outcomes(OUTCOMES_NOW)
    op.create_index(
        "ix_opt_in_requests_asked_at",
        "opt_in_requests",
        ["shop_id", "asked_at"],
        postgresql_where=sa.text("asked_at IS NOT NULL"),
    )


def _allow_outcomes(outcomes: str) -> None:
    op.drop_constraint("outcome", "opt_in_requests", type_="check")
    op.create_check_constraint("outcome", "opt_in_requests", f"outcome IN {outcomes}")


def downgrade() -> None:
    op.drop_index("ix_opt_in_requests_asked_at", "opt_in_requests")
    op.execute("UPDATE opt_in_requests SET outcome = 'asked_before' WHERE outcome = 'too_many_asked'")
    _allow_outcomes(OUTCOMES)

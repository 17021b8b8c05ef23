"""Dispatches by when they ended: the operator's page reads those of the last day, among years of them.

Revision: 0037
"""

from __future__ import annotations

from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.create_index("ix_dispatches_finished", "dispatches", ["finished_at"])


def downgrade() -> None:
    op.drop_index("ix_dispatches_finished", "dispatches")

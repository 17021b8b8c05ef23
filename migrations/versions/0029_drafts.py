"""What the compose page keeps of a draft beside its text: the hour that was chosen, from which page it was begun, and
which page saved it last, and as its how manieth save. A page that heard no answer saves again, and finds its own work
rather than a stranger's; a save that comes late, behind a newer one of the same page, changes nothing.

Revision: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("plan", JSONB))
    op.add_column("campaigns", sa.Column("begun_on", sa.Uuid))
    op.add_column("campaigns", sa.Column("saved_on", sa.Uuid))
    op.add_column("campaigns", sa.Column("saved_turn", sa.Integer))
    op.create_index(
        "ix_campaigns_begun_on",
        "campaigns",
        ["shop_id", "begun_on"],
        unique=True,
        postgresql_where=sa.text("begun_on IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_campaigns_begun_on", table_name="campaigns")
    for name in ("saved_turn", "saved_on", "begun_on", "plan"):
        op.drop_column("campaigns", name)

"""The shop's own numbers, on which texts are tried.

Revision: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.create_table(
        "trial_numbers",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
    )


def downgrade() -> None:
    op.drop_table("trial_numbers")

"""How far a shop's comparison has asked Shopify whether its customers are still there.

Revision: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column(
        "customer_comparisons",
        sa.Column("asked_up_to", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    for name in ("asked", "gone"):
        column = sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))
        op.add_column("customer_comparisons", column)


def downgrade() -> None:
    for name in ("gone", "asked", "asked_up_to"):
        op.drop_column("customer_comparisons", name)

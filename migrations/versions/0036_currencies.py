"""In which currency a shop's customers spend, as Shopify tells: a sum without one says nothing.

Revision: 0036
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.add_column("shops", sa.Column("currency", sa.Text))


def downgrade() -> None:
    op.drop_column("shops", "currency")

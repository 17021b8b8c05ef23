"""How often the reading of a segment of Shopify's has begun anew: one that fails at a late page each time comes to an
end.

Revision: 0038
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("shopify_segments", sa.Column("begun_anew", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("shopify_segments", "begun_anew")

"""How urgent it is that Shopify is told of a phone's consent, and what is owed by shop: a worker looks at the first of
each shop and urgency, however much one shop owes.

What an older version notes meanwhile, and what it left, goes with what people did themselves (1), oldest first.

Revision: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_OWED = sa.text("next_try_at IS NOT NULL")


def upgrade() -> None:
    urgency = sa.Column("urgency", sa.SmallInteger, nullable=False, server_default=sa.text("1"))
    op.add_column("consent_pushes", urgency)
    op.create_check_constraint("urgency", "consent_pushes", "urgency BETWEEN 0 AND 3")
    columns = ["shop_id", "urgency", "next_try_at"]
    op.create_index("ix_consent_pushes_by_shop", "consent_pushes", columns, postgresql_where=_OWED)
    op.drop_index("ix_consent_pushes_owed", "consent_pushes")


def downgrade() -> None:
    op.create_index("ix_consent_pushes_owed", "consent_pushes", ["next_try_at"], postgresql_where=_OWED)
    op.drop_index("ix_consent_pushes_by_shop", "consent_pushes")
    op.drop_column("consent_pushes", "urgency")

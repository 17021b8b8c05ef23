"""Up to which of a shop's waiting webhooks an erasure has looked, so that the next turn goes on there: behind a backlog
that one turn doesn't get through it began anew each time, and never ended.

Revision: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("erasures", sa.Column("looked_up_to", sa.BigInteger, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    op.drop_column("erasures", "looked_up_to")

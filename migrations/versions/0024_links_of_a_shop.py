"""Clicks by shop and dispatch, by which a shop that is forgotten loses them: without it each batch, and each target
that goes, read the clicks of all shops.

Revision: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"

_TABLES = ("link_clicks", "link_counts")


def upgrade() -> None:
    for table in _TABLES:
        op.create_index(f"ix_{table}_shop_id_dispatch_id", table, ["shop_id", "dispatch_id"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_index(f"ix_{table}_shop_id_dispatch_id", table)

"""Short links: where a dispatch's lead, who opened them, and where a shop's own site and its app proxy stand.

Revision: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("shops", sa.Column("primary_domain", sa.Text))
    op.add_column("shops", sa.Column("proxy_path", sa.Text, nullable=False, server_default="/apps/blossom"))
    op.create_table(
        "link_targets",
        sa.Column("dispatch_id", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.SmallInteger, primary_key=True),
        sa.Column("shop_id", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.UniqueConstraint("shop_id", "dispatch_id", "number"),
        sa.ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        sa.CheckConstraint("number BETWEEN 1 AND 63", "number"),
    )
    op.create_table(
        "link_clicks",
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.SmallInteger, primary_key=True),
        sa.Column("shop_id", sa.BigInteger, nullable=False),
        sa.Column("dispatch_id", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clicks", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["shop_id", "dispatch_id", "number"],
            ["link_targets.shop_id", "link_targets.dispatch_id", "link_targets.number"],
        ),
    )
    op.create_table(
        "link_counts",
        sa.Column("dispatch_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.SmallInteger, primary_key=True),
        sa.Column("shard", sa.SmallInteger, primary_key=True),
        sa.Column("shop_id", sa.BigInteger, nullable=False),
        sa.Column("opened", sa.Integer, nullable=False),
        sa.Column("clicks", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["shop_id", "dispatch_id", "number"],
            ["link_targets.shop_id", "link_targets.dispatch_id", "link_targets.number"],
        ),
    )
    # Both are counted up in place: room on each page keeps such an update off the index.
    op.execute("ALTER TABLE link_clicks SET (fillfactor = 85)")
    op.execute("ALTER TABLE link_counts SET (fillfactor = 50)")


def downgrade() -> None:
    op.drop_table("link_counts")
    op.drop_table("link_clicks")
    op.drop_table("link_targets")
    op.drop_column("shops", "proxy_path")
    op.drop_column("shops", "primary_domain")

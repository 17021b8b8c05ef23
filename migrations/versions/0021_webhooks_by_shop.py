"""Webhooks that wait, by topic and shop: a worker looks at one of each shop, however many one shop has.

Revision: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_WAITING = sa.text("state = 'new'")


def upgrade() -> None:
    columns = ["topic", "shop_id", "next_try_at", "id"]
    op.create_index("ix_shopify_webhooks_waiting", "shopify_webhooks", columns, postgresql_where=_WAITING)
    op.drop_index("ix_shopify_webhooks_new", "shopify_webhooks")


def downgrade() -> None:
    op.create_index("ix_shopify_webhooks_new", "shopify_webhooks", ["next_try_at", "id"], postgresql_where=_WAITING)
    op.drop_index("ix_shopify_webhooks_waiting", "shopify_webhooks")

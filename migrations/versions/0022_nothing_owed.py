"""No webhook is owed any more: what Shopify's compliance topics ask for is done whole.

Those that were marked are handled again, from the first try on: what was done of them is done once more, harmlessly.

Revision: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(
        """
        UPDATE shopify_webhooks SET state = 'new', outcome = NULL, tries = 0, ended_at = NULL, next_try_at = received_at
        WHERE state = 'owed' AND payload_sealed IS NOT NULL AND shop_id IS NOT NULL
          AND shop_id IN (SELECT shop_id FROM shop_keys)
        """
    )
    # What is left of a shop whose keys are gone: nobody can read it, and the job removes its rows.
    op.execute(
        """
        INSERT INTO erasures (shop_id, asked_at)
        SELECT DISTINCT shop_id, now() FROM shopify_webhooks WHERE state = 'owed' AND outcome = 'rows'
        """
    )
    op.execute("UPDATE shopify_webhooks SET state = 'done', outcome = 'applied' WHERE state = 'owed'")
    _allow("'new', 'done', 'ignored', 'dead'", "state = 'dead'")


def _allow(states: str, waiting: str) -> None:
    op.drop_constraint("state", "shopify_webhooks", type_="check")
    op.create_check_constraint("state", "shopify_webhooks", f"state IN ({states})")
    op.drop_index("ix_shopify_webhooks_open", "shopify_webhooks")
    op.create_index("ix_shopify_webhooks_open", "shopify_webhooks", ["state", "id"], postgresql_where=sa.text(waiting))


def downgrade() -> None:
    _allow("'new', 'done', 'ignored', 'owed', 'dead'", "state IN ('dead', 'owed')")

"""A merchant's yes to a campaign of a large shop, kept until a job has counted its people once more.

Revision: 0033
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"

TABLE = """
CREATE TABLE campaign_yeses (
    campaign_id bigint CONSTRAINT pk_campaign_yeses PRIMARY KEY,
    shop_id bigint NOT NULL,
    deed text NOT NULL,
    mark text NOT NULL,
    credits_free bigint NOT NULL,
    actor text NOT NULL,
    said_at timestamptz NOT NULL,
    refused_at timestamptz,
    CONSTRAINT fk_campaign_yeses_shop_id_campaign_id FOREIGN KEY (shop_id, campaign_id)
        REFERENCES campaigns (shop_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_campaign_yeses_open ON campaign_yeses (said_at) WHERE refused_at IS NULL;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.drop_table("campaign_yeses")

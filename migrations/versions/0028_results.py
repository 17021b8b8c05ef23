"""What the pages on a campaign's results read: figures counted by a job, the merchant's question to the provider, and
the earlier tries of texts that were sent again.

Revision: 0028
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"

TABLES = """
CREATE TABLE campaign_tallies (
    campaign_id bigint CONSTRAINT pk_campaign_tallies PRIMARY KEY,
    shop_id bigint NOT NULL,
    wanted_at timestamptz NOT NULL,
    counted_at timestamptz,
    standing jsonb,
    figures jsonb,
    CONSTRAINT fk_campaign_tallies_shop_id_campaign_id FOREIGN KEY (shop_id, campaign_id)
        REFERENCES campaigns (shop_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_campaign_tallies_counted
        CHECK ((counted_at IS NULL) = (figures IS NULL) AND (counted_at IS NULL) = (standing IS NULL))
);

CREATE TABLE status_refreshes (
    campaign_id bigint CONSTRAINT pk_status_refreshes PRIMARY KEY,
    shop_id bigint NOT NULL,
    actor text NOT NULL,
    asked_at timestamptz NOT NULL,
    begun_at timestamptz,
    ended_at timestamptz,
    asked integer NOT NULL DEFAULT 0,
    changed integer NOT NULL DEFAULT 0,
    trouble text,
    CONSTRAINT fk_status_refreshes_shop_id_campaign_id FOREIGN KEY (shop_id, campaign_id)
        REFERENCES campaigns (shop_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_status_refreshes_open ON status_refreshes (asked_at) WHERE ended_at IS NULL;

CREATE TABLE earlier_tries (
    message_id bigint NOT NULL,
    try integer NOT NULL,
    shop_id bigint NOT NULL,
    dispatch_id bigint NOT NULL,
    batch_number integer NOT NULL,
    state text NOT NULL,
    error text,
    delivery_status text,
    provider_message_id text,
    attempt_id bigint,
    sent_at timestamptz,
    failed_at timestamptz,
    again_at timestamptz NOT NULL,
    CONSTRAINT pk_earlier_tries PRIMARY KEY (message_id, try),
    CONSTRAINT fk_earlier_tries_shop_id_dispatch_id FOREIGN KEY (shop_id, dispatch_id)
        REFERENCES dispatches (shop_id, id)
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    for table in ("earlier_tries", "status_refreshes", "campaign_tallies"):
        op.drop_table(table)

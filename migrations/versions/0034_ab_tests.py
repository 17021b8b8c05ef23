"""Several texts for one audience: what a campaign is to test, the texts of a dispatch, which of them a batch gets, and
how many people have opened links of each.

Revision: 0034
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0034"
down_revision = "0033"

TEXTS = """
CREATE TABLE dispatch_texts (
    dispatch_id bigint NOT NULL,
    number smallint NOT NULL CONSTRAINT ck_dispatch_texts_number CHECK (number BETWEEN 0 AND 3),
    shop_id bigint NOT NULL,
    source text NOT NULL,
    share smallint NOT NULL CONSTRAINT ck_dispatch_texts_share CHECK (share BETWEEN 1 AND 100),
    links_before smallint NOT NULL CONSTRAINT ck_dispatch_texts_links_before CHECK (links_before BETWEEN 0 AND 63),
    CONSTRAINT pk_dispatch_texts PRIMARY KEY (dispatch_id, number),
    CONSTRAINT fk_dispatch_texts_shop_id_dispatch_id FOREIGN KEY (shop_id, dispatch_id)
        REFERENCES dispatches (shop_id, id)
);
CREATE INDEX ix_dispatch_texts_shop_id_dispatch_id ON dispatch_texts (shop_id, dispatch_id);
ALTER TABLE dispatches
    ADD COLUMN decide_after interval,
    ADD COLUMN winner smallint,
    ADD COLUMN winner_at timestamptz,
    ADD COLUMN winner_chosen_by text,
    ADD CONSTRAINT ck_dispatches_winner CHECK (winner BETWEEN 0 AND 3),
    ADD CONSTRAINT ck_dispatches_winner_chosen
        CHECK ((winner IS NULL) = (winner_at IS NULL) AND (winner IS NULL) = (winner_chosen_by IS NULL));
CREATE INDEX ix_dispatches_undecided ON dispatches (id)
    WHERE finished_at IS NULL AND winner IS NULL AND decide_after IS NOT NULL;
"""

# What waits for a winner is due to nobody: the claim walks past none of it.
BATCHES = """
ALTER TABLE batches
    ADD COLUMN text_number smallint DEFAULT 0,
    ADD CONSTRAINT ck_batches_text_number CHECK (text_number BETWEEN 0 AND 3);
DROP INDEX ix_batches_due;
CREATE INDEX ix_batches_due ON batches (dispatch_id, due_at, number)
    WHERE state = 'pending' AND text_number IS NOT NULL;
"""

# Shards as `links.service` has them: by the message that was clicked in. All clicks are read, which may take seconds,
# before any table is locked: whoever clicks meanwhile, on a link of one text, is missing where nobody looks.
FIRST_CLICKS = """
CREATE TEMPORARY TABLE first_clicks ON COMMIT DROP AS
SELECT dispatch_id, number, message_id % 16 AS shard, count(*) AS people
FROM (SELECT DISTINCT ON (message_id) dispatch_id, number, message_id FROM link_clicks
      ORDER BY message_id, first_at, number) first
GROUP BY 1, 2, 3;
"""
PEOPLE = """
ALTER TABLE link_counts ADD COLUMN people integer NOT NULL DEFAULT 0;
UPDATE link_counts s SET people = f.people FROM first_clicks f
WHERE s.dispatch_id = f.dispatch_id AND s.number = f.number AND s.shard = f.shard;
"""


def upgrade() -> None:
    op.execute(FIRST_CLICKS)
    op.add_column("campaigns", sa.Column("ab_test", JSONB))
    op.execute(TEXTS)
    op.execute(BATCHES)
    op.execute(PEOPLE)


def downgrade() -> None:
    op.drop_column("link_counts", "people")
    op.execute("DROP INDEX ix_batches_due")
    op.execute("CREATE INDEX ix_batches_due ON batches (dispatch_id, due_at, number) WHERE state = 'pending'")
    op.drop_column("batches", "text_number")
    op.drop_index("ix_dispatches_undecided", "dispatches")
    for column in ("decide_after", "winner", "winner_at", "winner_chosen_by"):
        op.drop_column("dispatches", column)
    op.drop_table("dispatch_texts")
    op.drop_column("campaigns", "ab_test")

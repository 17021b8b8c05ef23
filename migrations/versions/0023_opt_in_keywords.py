"""A shop's own words by which a text opts in.

Revision: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("consent_settings", sa.Column("join_keywords", ARRAY(sa.Text), nullable=False, server_default="{}"))
    _allow("'stop', 'start', 'help', 'join'")


def _allow(keywords: str) -> None:
    op.drop_constraint("keyword", "inbound_texts", type_="check")
    op.create_check_constraint("keyword", "inbound_texts", f"keyword IN ({keywords})")


def downgrade() -> None:
    op.execute("UPDATE inbound_texts SET keyword = NULL WHERE keyword = 'join'")
    _allow("'stop', 'start', 'help'")
    op.drop_column("consent_settings", "join_keywords")

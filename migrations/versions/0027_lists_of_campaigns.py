"""What a merchant's list of campaigns and home page are read by: campaigns by state, name and last change, the ledger
by time. Names stand in a form of their own for searching: lower case, without accents, each sigma the same.

Revision: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

# `lower` knows Greek only where the database's locale does; `translate` knows it everywhere.
_KEY = (
    r"translate(lower(regexp_replace(normalize(name, NFD), '[\u0300-\u036f]', '', 'g')),"
    " 'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩς', 'αβγδεζηθικλμνξοπρστυφχψωσ')"
)

_INDEXES = {
    "ix_campaigns_state": ("campaigns", ["shop_id", "state", "id"]),
    "ix_campaigns_name": ("campaigns", ["shop_id", "name_key", "id"]),
    "ix_campaigns_changed": ("campaigns", ["shop_id", "updated_at", "id"]),
    "ix_wallet_entries_at": ("wallet_entries", ["shop_id", "at"]),
}


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("name_key", sa.Text, sa.Computed(_KEY, persisted=True), nullable=False))
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table)
    op.drop_column("campaigns", "name_key")

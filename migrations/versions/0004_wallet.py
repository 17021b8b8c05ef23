"""Wallets, ledger, reservations and price lists, with the triggers that keep them true.

The invariants, the order of locks, and what each trigger refuses are told in docs/money.md.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

FUNCTIONS = (
    "wallet_refuse",
    "wallet_guard_sums",
    "wallet_guard_reservation",
    "wallet_follow_reservation",
    "wallet_chain_entry",
    "wallet_apply_entry",
    "wallet_guard_price_list",
    "wallet_guard_price",
)

# Credits a segment; 1 credit is sold at 0.01 €. A starting point for an installation, not a contract with anybody.
PRICES = {
    "*": 12, "AT": 7, "AU": 5, "BE": 9, "BG": 7, "CA": 2, "CH": 7, "CY": 4, "CZ": 6, "DE": 9, "DK": 5, "EE": 7,
    "ES": 6, "FI": 8, "FR": 7, "GB": 5, "GR": 5, "HR": 8, "HU": 9, "IE": 7, "IL": 8, "IN": 7, "IT": 8, "JP": 8,
    "LT": 4, "LU": 8, "LV": 6, "MT": 6, "MX": 6, "NL": 9, "NO": 7, "NZ": 9, "PL": 4, "PT": 5, "RO": 6, "SE": 6,
    "SI": 8, "SK": 8, "TR": 3, "US": 2, "ZA": 3,
}  # fmt: skip


def upgrade() -> None:
    _create_tables()
    _guard_everything()
    _keep_sums()
    _freeze_prices()
    _seed_prices()


def downgrade() -> None:
    for table in ("prices", "price_lists", "wallet_entries", "reservations", "wallets"):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}()")


def _create_tables() -> None:
    op.create_table(
        "wallets",
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id"), primary_key=True, autoincrement=False),
        sa.Column("balance", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint("reserved >= 0 AND balance >= reserved", "never_overdrawn"),
        postgresql_with={"fillfactor": 25},  # one hot row a shop: room on its page keeps updates HOT
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("wallets.shop_id"), nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("captured", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("released", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("state", sa.Text, nullable=False, server_default="open"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("idle_limit", sa.Interval, nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "reference"),
        sa.CheckConstraint("amount > 0", "amount"),
        sa.CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= amount", "within_amount"),
        sa.CheckConstraint("state IN ('open', 'closed')", "state"),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", "closed_at"),
        sa.CheckConstraint("state = 'open' OR captured + released = amount", "closed_is_settled"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ix_reservations_open", "reservations", ["shop_id", "id"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "wallet_entries",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("wallets.shop_id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reservation_id", sa.BigInteger),
        sa.Column("dispatch_id", sa.BigInteger),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("balance_after", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("shop_id", "id"),
        sa.UniqueConstraint("shop_id", "kind", "reference"),
        sa.ForeignKeyConstraint(["shop_id", "reservation_id"], ["reservations.shop_id", "reservations.id"]),
        sa.CheckConstraint(
            "(kind IN ('top_up', 'refund') AND amount > 0) OR (kind IN ('capture', 'reversal') AND amount < 0)"
            " OR (kind = 'adjustment' AND amount <> 0)",
            "kind_and_sign",
        ),
        sa.CheckConstraint("(kind = 'capture') = (reservation_id IS NOT NULL)", "capture_has_reservation"),
    )
    op.create_table(
        "price_lists",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("shop_id", sa.BigInteger, sa.ForeignKey("shops.id")),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True)),
        sa.Column("refund_failed", sa.Boolean, nullable=False),
        sa.Column(
            "made_in", sa.BigInteger, nullable=False, server_default=sa.text("pg_current_xact_id()::text::bigint")
        ),
        sa.UniqueConstraint("shop_id", "id"),
        sa.CheckConstraint("valid_to IS NULL OR valid_to > valid_from", "valid_to"),
    )
    # A range of one number stands for `shop_id WITH =`, which would need the btree_gist extension.
    op.execute("""
        ALTER TABLE price_lists ADD CONSTRAINT ex_price_lists_one_at_a_time EXCLUDE USING gist (
            int8range(coalesce(shop_id, 0), coalesce(shop_id, 0), '[]') WITH &&,
            tstzrange(valid_from, valid_to) WITH &&)
    """)
    op.create_table(
        "prices",
        sa.Column("price_list_id", sa.BigInteger, sa.ForeignKey("price_lists.id"), primary_key=True),
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("credits_per_segment", sa.Integer, nullable=False),
        sa.CheckConstraint(r"country ~ '^([A-Z]{2}|\*)$'", "country"),
        sa.CheckConstraint("credits_per_segment > 0", "credits_per_segment"),
    )


def _guard_everything() -> None:
    """What was written stays; nothing of money is ever deleted."""
    op.execute("""
        CREATE FUNCTION wallet_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% refuses %: %', TG_TABLE_NAME, TG_OP, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
        END $$
    """)
    for table, row_events in (
        ("wallets", "DELETE"),
        ("reservations", "DELETE"),
        ("wallet_entries", "UPDATE OR DELETE"),
        ("price_lists", "DELETE"),
        ("prices", "UPDATE OR DELETE"),
    ):
        why = "the record of money only grows"
        op.execute(
            f"CREATE TRIGGER {table}_kept BEFORE {row_events} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION wallet_refuse('{why}')"
        )
        op.execute(
            f"CREATE TRIGGER {table}_kept_whole BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION wallet_refuse('{why}')"
        )


def _keep_sums() -> None:
    # pg_trigger_depth() is 1 for a statement that somebody sent, 2 and more for one that another trigger runs.
    op.execute("""
        CREATE FUNCTION wallet_guard_sums() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' AND (NEW.balance, NEW.reserved) IS DISTINCT FROM (0, 0) THEN
                RAISE EXCEPTION 'a wallet begins empty' USING ERRCODE = 'restrict_violation';
            ELSIF TG_OP = 'UPDATE' AND (pg_trigger_depth() < 2 OR NEW.shop_id <> OLD.shop_id) THEN
                RAISE EXCEPTION 'a wallet follows its ledger and its reservations; write those'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER wallets_guard BEFORE INSERT OR UPDATE ON wallets "
        "FOR EACH ROW EXECUTE FUNCTION wallet_guard_sums()"
    )
    op.execute("""
        CREATE FUNCTION wallet_guard_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF (NEW.captured, NEW.released, NEW.state) IS DISTINCT FROM (0, 0, 'open') THEN
                    RAISE EXCEPTION 'a reservation begins open and whole' USING ERRCODE = 'restrict_violation';
                END IF;
            ELSIF (NEW.id, NEW.shop_id, NEW.reference, NEW.created_at)
                    IS DISTINCT FROM (OLD.id, OLD.shop_id, OLD.reference, OLD.created_at)
                OR (OLD.state = 'closed' AND NEW.state <> 'closed')
                OR (NEW.released <> OLD.released AND NOT (OLD.state = 'open' AND NEW.state = 'closed'))
                OR ((NEW.captured, NEW.amount) IS DISTINCT FROM (OLD.captured, OLD.amount) AND pg_trigger_depth() < 2)
            THEN
                RAISE EXCEPTION 'a reservation is captured by ledger entries and released by closing it'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER reservations_guard BEFORE INSERT OR UPDATE ON reservations "
        "FOR EACH ROW EXECUTE FUNCTION wallet_guard_reservation()"
    )
    op.execute("""
        CREATE FUNCTION wallet_follow_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            change bigint := NEW.amount - NEW.captured - NEW.released;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                change := change - (OLD.amount - OLD.captured - OLD.released);
            END IF;
            IF change <> 0 THEN
                UPDATE wallets SET reserved = reserved + change WHERE shop_id = NEW.shop_id;
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER reservations_follow AFTER INSERT OR UPDATE OF amount, captured, released ON reservations "
        "FOR EACH ROW EXECUTE FUNCTION wallet_follow_reservation()"
    )
    # Before: only computes and locks, since a row that ON CONFLICT DO NOTHING drops has been through here as well.
    op.execute("""
        CREATE FUNCTION wallet_chain_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            before bigint;
        BEGIN
            SELECT balance INTO before FROM wallets WHERE shop_id = NEW.shop_id FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'shop % has no wallet', NEW.shop_id USING ERRCODE = 'foreign_key_violation';
            END IF;
            NEW.balance_after := before + NEW.amount;
            RETURN NEW;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER wallet_entries_chain BEFORE INSERT ON wallet_entries "
        "FOR EACH ROW EXECUTE FUNCTION wallet_chain_entry()"
    )
    # After: the row is there for good. A capture beyond what is outstanding makes the reservation larger by the
    # difference, in the same row version, and the wallet's CHECK says whether that much was free.
    op.execute("""
        CREATE FUNCTION wallet_apply_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.kind = 'capture' THEN
                UPDATE reservations SET
                    captured = captured - NEW.amount,
                    amount = greatest(amount, captured + released - NEW.amount),
                    last_used_at = greatest(last_used_at, NEW.at),
                    expires_at = greatest(expires_at, NEW.at + idle_limit)
                WHERE shop_id = NEW.shop_id AND id = NEW.reservation_id;
                IF NOT FOUND THEN
                    RAISE EXCEPTION 'shop % has no reservation %', NEW.shop_id, NEW.reservation_id
                        USING ERRCODE = 'foreign_key_violation';
                END IF;
            END IF;
            UPDATE wallets SET balance = NEW.balance_after
            WHERE shop_id = NEW.shop_id AND balance = NEW.balance_after - NEW.amount;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'one statement adds one entry to a wallet' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER wallet_entries_apply AFTER INSERT ON wallet_entries "
        "FOR EACH ROW EXECUTE FUNCTION wallet_apply_entry()"
    )


def _freeze_prices() -> None:
    op.execute("""
        CREATE FUNCTION wallet_guard_price_list() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.id, NEW.shop_id, NEW.valid_from, NEW.refund_failed, NEW.made_in)
                IS DISTINCT FROM (OLD.id, OLD.shop_id, OLD.valid_from, OLD.refund_failed, OLD.made_in)
            THEN
                RAISE EXCEPTION 'a price list is ended and followed by another, never changed'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER price_lists_guard BEFORE UPDATE ON price_lists "
        "FOR EACH ROW EXECUTE FUNCTION wallet_guard_price_list()"
    )
    op.execute("""
        CREATE FUNCTION wallet_guard_price() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM price_lists
                           WHERE id = NEW.price_list_id AND made_in = pg_current_xact_id()::text::bigint) THEN
                RAISE EXCEPTION 'prices are given when their list is made, not later'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("CREATE TRIGGER prices_guard BEFORE INSERT ON prices FOR EACH ROW EXECUTE FUNCTION wallet_guard_price()")


def _seed_prices() -> None:
    """The installation's first list, valid since ever, so that every moment has its price."""
    op.execute("""
        INSERT INTO price_lists (name, valid_from, refund_failed)
        VALUES ('Standard', '2000-01-01T00:00:00Z', true)
    """)
    for country, price in PRICES.items():
        op.execute(
            sa.text("INSERT INTO prices SELECT id, :country, :price FROM price_lists WHERE shop_id IS NULL").bindparams(
                country=country, price=price
            )
        )

"""The migration goes away without a trace and comes back whole."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text

from blossom.platform import db
from blossom.schema import downgrade, upgrade
from blossom.wallet import queries, service
from blossom.wallet.rules import Balance
from tests.factories.shops import create_shop


def test_down_removes_tables_and_functions_and_up_brings_them_back(committed_app: Flask) -> None:
    downgrade(revision="0003")
    with db.engine().connect() as connection:
        left = connection.execute(
            text("""
                SELECT proname FROM pg_proc WHERE proname LIKE 'wallet_%'
                UNION ALL
                SELECT tablename FROM pg_tables
                WHERE tablename IN ('wallets', 'wallet_entries', 'reservations', 'price_lists', 'prices')
            """)
        ).all()
    assert left == []

    upgrade()
    queries.forget_price_lists()
    with db.transaction():
        shop = create_shop()
        service.open_wallet(shop.id)
        service.top_up(shop.id, 5, "gift")
        assert queries.balance(shop.id) == Balance(5, 0)
        assert queries.price_list_at(shop.id, shop.created_at).per_segment("GR") > 0

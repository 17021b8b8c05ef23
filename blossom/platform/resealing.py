"""Sealing a shop's values anew under its newest data key, in batches, so that older keys can go.

Finds every column of type `Sealed` in every table by itself: a new one can't be forgotten. May be interrupted and run
again; values that are sealed by the newest key already are left alone.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Table, bindparam, delete, select, update

from blossom.platform import clock, crypto
from blossom.platform.crypto import Sealed, ShopKey
from blossom.platform.db import Base, session, transaction

BATCH = 1_000


SETTLED = timedelta(minutes=10)
"""A process keeps a shop's keys for a minute and may seal by the old one until then; this is well beyond it."""


def rotate(shop_id: int) -> int:
    """Give the shop a new data key and seal everything under it; how many values. Manages its transactions.

    The older keys stay until `prune`, since other processes seal by them for a minute more.
    """
    with transaction():
        crypto.rotate_data_key(shop_id)
    return reseal(shop_id)


def reseal(shop_id: int) -> int:
    """Seal under the newest key whatever is not yet; how many values. Manages its transactions."""
    return sum(_reseal(table, shop_id) for table in _sealed_tables())


def prune(shop_id: int) -> int:
    """Destroy the data keys that nothing is sealed by any more; how many. Manages its transactions.

    Does nothing while the newest key is too young for every process to know it.
    """
    with transaction():
        newest = session.scalars(
            select(ShopKey).where(ShopKey.shop_id == shop_id, ShopKey.use == "data").order_by(ShopKey.id.desc())
        ).first()
    if newest is None or clock.now() - newest.created_at < SETTLED:
        return 0
    reseal(shop_id)
    with transaction():
        gone = session.scalars(
            delete(ShopKey)
            .where(ShopKey.shop_id == shop_id, ShopKey.use == "data", ShopKey.id < newest.id)
            .returning(ShopKey.id)
        ).all()
    crypto.forget(shop_id)
    return len(gone)


def _sealed_tables() -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if any(isinstance(c.type, Sealed) for c in table.columns)]


def _reseal(table: Table, shop_id: int) -> int:
    columns = [(column, column.type.purpose) for column in table.columns if isinstance(column.type, Sealed)]
    after, changed = 0, 0
    while True:
        with transaction():
            cipher = crypto.for_shop(shop_id)
            rows = session.execute(
                select(table.c.id, *[column for column, _ in columns])
                .where(table.c.shop_id == shop_id, table.c.id > after)
                .order_by(table.c.id)
                .limit(BATCH)
                .with_for_update()
            ).all()
            if not rows:
                return changed
            after = rows[-1].id
            for row in rows:
                new = {}
                for column, purpose in columns:
                    sealed = getattr(row, column.name)
                    if sealed is not None and cipher.key_id(sealed) != cipher.current_key_id:
                        new[column.name] = cipher.seal(cipher.open(sealed, purpose), purpose)
                if new:
                    session.execute(
                        update(table).where(table.c.id == bindparam("row_id")).values(new), {"row_id": row.id}
                    )
                    changed += len(new)

"""What dispatches were for, asked by who has only their ids: the wallet's ledger and reservations."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.platform.db import session


def kinds_of(shop_id: int, dispatch_ids: Collection[int]) -> dict[int, DispatchKind]:
    """The kind of each of these that the shop has."""
    rows = session.execute(
        select(Dispatch.id, Dispatch.kind).where(Dispatch.shop_id == shop_id, Dispatch.id.in_(dispatch_ids))
    )
    return {row.id: DispatchKind(row.kind) for row in rows}


def dispatches_holding(shop_id: int, reservation_ids: Collection[int]) -> dict[int, int]:
    """For each of these reservations that an open dispatch holds, that dispatch's id."""
    rows = session.execute(
        select(Dispatch.reservation_id, Dispatch.id).where(
            Dispatch.shop_id == shop_id, Dispatch.finished_at.is_(None), Dispatch.reservation_id.in_(reservation_ids)
        )
    )
    return {row.reservation_id: row.id for row in rows}

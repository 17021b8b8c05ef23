"""Forgetting whom texts went to. A text's row stays as a line of the bill (country, segments, credits, outcome), and
its number goes: sealed copy and hash, so that nothing leads from it to a person.

The provider's id of a text stays, for a late receipt still settles its money.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, text, update

from blossom.messaging.models import Dispatch
from blossom.messaging.rules import message_ids
from blossom.messaging.service.replies import FORGOTTEN
from blossom.platform import bulk
from blossom.platform.db import rows_changed, session


def hold_audiences(shop_id: int) -> bool:
    """Keep the shop's audiences from being fixed until the transaction ends; False if one is just being fixed.

    Whoever was removed before this is in none that is fixed later, and after True all messages of theirs are there.
    """
    open_ones = session.scalars(
        select(Dispatch.id)
        .where(Dispatch.shop_id == shop_id, Dispatch.finished_at.is_(None), Dispatch.prepared_at.is_(None))
        .order_by(Dispatch.id)
    ).all()
    return all(session.scalar(_TRY_LOCK, {"id": dispatch_id}) for dispatch_id in open_ones)


def forget_people(shop_id: int, phone_hashes: Collection[bytes], limit: int) -> int:
    """Take the number off up to `limit` texts to these phones; how many. What waits to be sent to them is skipped."""
    values = {"shop": shop_id, "phone_hashes": bulk.bytea_array(sorted(phone_hashes)), "limit": limit}
    return rows_changed(_FORGET, values)


def forget_shop(shop_id: int, limit: int) -> int:
    """The same for up to `limit` texts of all the shop's, and their words; how many. 0: none is left."""
    values = {"shop": shop_id, "span": message_ids.SPAN, "limit": limit}
    changed = rows_changed(_FORGET_OF_SHOP, values)
    if changed == 0:
        session.execute(update(Dispatch).where(Dispatch.shop_id == shop_id).values(source=FORGOTTEN))
    return changed


# As snapshot.py takes it.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('prepare'), CAST(:id % 2147483647 AS integer))")

_FORGET = text(
    """
    UPDATE messages SET phone_sealed = NULL, phone_hash = uuid_send(gen_random_uuid())
    WHERE id = ANY(ARRAY(
        SELECT id FROM messages WHERE phone_hash = ANY(CAST(:phone_hashes AS bytea[])) AND shop_id = :shop
        ORDER BY id LIMIT :limit FOR UPDATE
    ))
    """
)

# Dispatch by dispatch, since messages are found by their dispatch's range.
_FORGET_OF_SHOP = text(
    """
    UPDATE messages SET phone_sealed = NULL, phone_hash = uuid_send(gen_random_uuid())
    WHERE id = ANY(ARRAY(
        SELECT m.id FROM dispatches d CROSS JOIN LATERAL (
            SELECT id FROM messages
            WHERE id BETWEEN d.id * :span + 1 AND (d.id + 1) * :span - 1 AND phone_sealed IS NOT NULL
            ORDER BY id LIMIT :limit
        ) m
        WHERE d.shop_id = :shop LIMIT :limit
    ))
    """
)

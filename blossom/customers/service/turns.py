"""Which phone Shopify is told of next: shops take turns, so that one that owes a hundred thousand keeps no other's
waiting, and in a shop what is urgent goes first (`consent.rules.Urgency`), then what was due first. A person's opt-out
goes before whatever else any shop owes.

Turns and pauses are this process's own: another one has its own, and a new one begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from blossom.consent.rules import Urgency
from blossom.customers import rules
from blossom.platform import clock
from blossom.platform.db import session


@dataclass
class _Shop:
    """What this process remembers of a shop that owes something."""

    turn: int = 0  # its last one, counted over all shops
    failures: int = 0  # in a row
    paused_until: datetime | None = None


_shops: dict[int, _Shop] = {}


def forget_turns() -> None:
    """Begin as a new process does."""
    _shops.clear()


def take() -> Any | None:
    """The phone whose turn it is, in this worker's hands for `rules.IN_HAND`; None if there is none. Who is changing a
    phone's consent is not waited for: that one comes later."""
    now = clock.now()
    waiting = session.execute(_WAITING, {"now": now}).all()
    _forget_all_but({each.shop_id for each in waiting}, now)
    for each in _in_turn(waiting, now):
        values = {"shop": each.shop_id, "urgency": each.urgency, "now": now, "until": now + rules.IN_HAND}
        row = session.execute(_TAKE, values).one_or_none()
        if row is not None:
            this_turn = max((shop.turn for shop in _shops.values()), default=0) + 1
            _shops.setdefault(row.shop_id, _Shop()).turn = this_turn
            return row
    return None


def pause(shop_id: int, retry_after: float | None = None) -> datetime:
    """Take nothing of a shop for which Shopify failed: so would its others fail, each after long waiting, while other
    shops' wait. Until when. No row says so: a hundred thousand would have to be changed each time."""
    shop = _shops.setdefault(shop_id, _Shop())
    shop.failures += 1
    shop.paused_until = clock.now() + rules.pause_after(shop.failures, retry_after)
    return shop.paused_until


def note_answer(shop_id: int) -> None:
    """Shopify answers for this shop: its failures are counted from zero."""
    if shop_id in _shops:
        _shops[shop_id].failures = 0


def _in_turn(waiting: Sequence[Any], now: datetime) -> list[Any]:
    nobody = _Shop()

    def key(each: Any) -> tuple[Any, ...]:
        turn = _shops.get(each.shop_id, nobody).turn
        return each.urgency != Urgency.STOP, turn, each.urgency, each.next_try_at, each.shop_id

    paused = {shop_id for shop_id, shop in _shops.items() if shop.paused_until and shop.paused_until > now}
    return sorted((each for each in waiting if each.shop_id not in paused), key=key)


def _forget_all_but(waiting: set[int], now: datetime) -> None:
    """Drop the shops that owe nothing now; not those that failed a while ago, of which nothing may be due for that."""
    for shop_id, shop in list(_shops.items()):
        if shop_id not in waiting and (shop.paused_until is None or shop.paused_until < now - _REMEMBERED):
            del _shops[shop_id]


_REMEMBERED = timedelta(hours=1)

# From shop to shop, and in each from urgency to urgency, by the index: one row of each is looked at, however many wait.
# Shops that owe nothing cost nothing: LIMIT 1 keeps the planner from reading all of them into a hash.
_WAITING = text(
    """
    WITH RECURSIVE owing AS (
        (SELECT shop_id, urgency FROM consent_pushes WHERE next_try_at IS NOT NULL ORDER BY shop_id, urgency LIMIT 1)
        UNION ALL
        SELECT another.shop_id, another.urgency FROM owing CROSS JOIN LATERAL (
            SELECT p.shop_id, p.urgency FROM consent_pushes p
            WHERE p.next_try_at IS NOT NULL AND (p.shop_id, p.urgency) > (owing.shop_id, owing.urgency)
            ORDER BY p.shop_id, p.urgency LIMIT 1
        ) AS another
    )
    SELECT owing.shop_id, owing.urgency, oldest.next_try_at
    FROM owing CROSS JOIN LATERAL (
        SELECT p.next_try_at FROM consent_pushes p
        WHERE p.shop_id = owing.shop_id AND p.urgency = owing.urgency AND p.next_try_at <= :now
          AND (p.in_hand_until IS NULL OR p.in_hand_until <= :now)
        ORDER BY p.next_try_at LIMIT 1
    ) AS oldest CROSS JOIN LATERAL (
        SELECT FROM shops s JOIN installations i ON i.shop_id = s.id
        WHERE s.id = owing.shop_id AND s.uninstalled_at IS NULL
          AND i.access_token_sealed IS NOT NULL AND i.access_lost_at IS NULL
        LIMIT 1
    ) AS reachable
    """
)
_TAKE = text(
    """
    UPDATE consent_pushes SET tries = tries + 1, in_hand_until = :until
    WHERE id = (
        SELECT id FROM consent_pushes
        WHERE shop_id = :shop AND urgency = :urgency AND next_try_at <= :now
          AND (in_hand_until IS NULL OR in_hand_until <= :now)
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING shop_id, phone_hash, revision, tries, in_hand_until
    """
)

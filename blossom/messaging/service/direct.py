"""Dispatches to numbers that are named, not asked for by an audience: test sends and answers. One batch, due now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert

from blossom.contacts import rules as contacts
from blossom.message_templates.rules import language
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.states import RANKS, DispatchKind, DispatchState
from blossom.messaging.service import dispatches, starting
from blossom.platform import clock, config, crypto
from blossom.platform.db import session
from blossom.shops import service as shop_service
from blossom.shops.models import Shop
from blossom.wallet import service as wallet
from blossom.wallet.rules import PriceList


@dataclass(frozen=True)
class DirectPlan:
    """What to text to which numbers. `cost`: the credits to hold for it. `phones` are each of them different."""

    shop: Shop
    kind: DispatchKind
    compiled: language.CompiledText
    sender: str
    phones: Sequence[contacts.Phone]
    price_list: PriceList
    cost: int
    valid_for: timedelta


def start(plan: DirectPlan) -> Dispatch:
    """Hold the credits, write the rows and wake a worker. Raises `InsufficientCredit`, `ShopLeft`; then nothing was
    written."""
    shop_service.require_installed(plan.shop.id)
    now = clock.now()
    with session.begin_nested():
        dispatch = Dispatch(
            shop_id=plan.shop.id,
            kind=plan.kind.value,
            state=DispatchState.SENDING.value,
            rank=RANKS[plan.kind],
            priority=0,
            source=plan.compiled.source,
            trigger=plan.compiled.trigger.value,
            sender=plan.sender,
            price_list_id=plan.price_list.id,
            total=len(plan.phones),
            created_at=now,
            prepared_at=now,
        )
        session.add(dispatch)
        session.flush()
        starting.keep_links(dispatch, plan.compiled)
        hours = timedelta(hours=config.current().reservation_hours)
        reservation = wallet.reserve(
            plan.shop.id, plan.cost, reference=f"dispatch:{dispatch.id}", expires_at=now + hours, idle_limit=hours
        )
        dispatch.reservation_id = reservation.id if reservation else None
        _insert_messages(dispatch, plan, now)
    dispatches.nudge_lanes()
    return dispatch


def _insert_messages(dispatch: Dispatch, plan: DirectPlan, now: datetime) -> None:
    cipher = crypto.for_shop(plan.shop.id)
    hashes = {cipher.lookup(phone.e164): phone for phone in plan.phones}
    stand = message_ids.of_dispatch(dispatch.id)
    session.add(
        Batch(
            dispatch_id=dispatch.id, number=0, shop_id=plan.shop.id, state="pending", due_at=now,
            valid_until=now + plan.valid_for, size=len(plan.phones), first_id=stand.first,
            last_id=stand.first + len(hashes) - 1,
        )
    )  # fmt: skip
    session.flush()
    session.execute(
        insert(Message),
        [
            {
                "id": message_id,
                "shop_id": plan.shop.id,
                "dispatch_id": dispatch.id,
                "batch_number": 0,
                "phone_sealed": cipher.seal(phone.e164, "phone"),
                "phone_hash": phone_hash,
                "country": phone.country,
                "zone": plan.shop.timezone,
                "state": "pending",
                "created_at": now,
            }
            for message_id, (phone_hash, phone) in enumerate(hashes.items(), start=stand.first)
        ],
    )

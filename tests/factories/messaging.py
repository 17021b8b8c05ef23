"""Rows of the send, made directly: a test of receipts needs texts that have left, not the way they took."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert

from blossom.messaging.models import Batch, Dispatch, Message, ProviderMessage
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.states import RANKS, DispatchKind, DispatchState, MessageState
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.wallet import queries as prices
from tests.factories.contacts import a_phone

COUNTED = ("sent", "delivered", "failed", "skipped", "cancelled", "unconfirmed")


def create_dispatch(shop_id: int, **overrides: Any) -> Dispatch:
    """A campaign's dispatch that is being sent."""
    now = clock.now()
    kind = DispatchKind(overrides.get("kind", DispatchKind.CAMPAIGN))
    values: dict[str, Any] = {
        "shop_id": shop_id,
        "kind": kind.value,
        "state": DispatchState.SENDING.value,
        "rank": RANKS[kind],
        "priority": 1,
        "source": "Hello! Reply STOP to opt out",
        "trigger": "campaign",
        "sender": "Ours",
        "price_list_id": prices.price_list_at(shop_id, now).id,
        "created_at": now,
        "prepared_at": now,
        **overrides,
    }
    dispatch = Dispatch(**values)
    session.add(dispatch)
    session.flush()
    return dispatch


def create_batch(dispatch: Dispatch, **overrides: Any) -> Batch:
    """A batch of the dispatch that is due, with no messages yet. Its counts follow `create_message`; its messages may
    stand anywhere in the dispatch."""
    now, stand = clock.now(), message_ids.of_dispatch(dispatch.id)
    values: dict[str, Any] = {
        "dispatch_id": dispatch.id,
        "number": 0,
        "shop_id": dispatch.shop_id,
        "state": "pending",
        "due_at": now,
        "valid_until": now + timedelta(hours=48),
        "size": 0,
        "first_id": stand.first,
        "last_id": stand.last,
        **dict.fromkeys(COUNTED, 0),
        **overrides,
    }
    batch = Batch(**values)
    session.add(batch)
    session.flush()
    return batch


_places = count()


def next_message_id(dispatch_id: int) -> int:
    """An id that no message of the dispatch has yet."""
    return message_ids.of_dispatch(dispatch_id).first + next(_places)


def create_message(batch: Batch, provider_message_id: str | None = None, **overrides: Any) -> Message:
    """A message of the batch: one that was sent if it has the provider's id, else one that waits. `phone` is E.164."""
    cipher = crypto.for_shop(batch.shop_id)
    phone = overrides.pop("phone", None) or a_phone()
    has_left = provider_message_id is not None
    values: dict[str, Any] = {
        "id": next_message_id(batch.dispatch_id),
        "shop_id": batch.shop_id,
        "dispatch_id": batch.dispatch_id,
        "batch_number": batch.number,
        "phone_sealed": cipher.seal(phone, "phone"),
        "phone_hash": cipher.lookup(phone),
        "country": "GR",
        "zone": "Europe/Athens",
        "state": (MessageState.SENT if has_left else MessageState.PENDING).value,
        "provider_message_id": provider_message_id,
        "segments": 1 if has_left else 0,
        "credits": 5 if has_left else 0,
        "created_at": clock.now(),
        "sent_at": clock.now() if has_left else None,
        **overrides,
    }
    message = Message(**values)
    session.add(message)
    batch.size += 1
    if message.state in COUNTED:
        setattr(batch, message.state, getattr(batch, message.state) + 1)
    session.flush()
    if has_left:
        name_message(message, str(provider_message_id))
    return message


def name_message(message: Message, provider_message_id: str) -> None:
    """Record the provider's id of a text, as the send's own answer does."""
    session.execute(
        insert(ProviderMessage).values(
            provider_message_id=provider_message_id, shop_id=message.shop_id, message_id=message.id
        )
    )

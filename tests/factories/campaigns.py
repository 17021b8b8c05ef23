"""Campaigns for tests, in any state that a test begins with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from tests.factories.consent import create_subscribers
from tests.factories.contacts import a_phone
from tests.factories.messaging import next_message_id
from tests.factories.wallet import create_wallet

BODY = "Sale until Sunday. Reply STOP to opt out"


def create_campaign(shop: Shop, **overrides: Any) -> Campaign:
    """A draft for everybody."""
    values = {"name": "Sale", "body": BODY, "audience": Audience(everybody=True), **overrides}
    return service.create_campaign(shop.id, **values, actor="test")


def make_ready(shop: Shop, subscribers: int = 2, credits: int = 1000) -> None:
    """Give the shop what a send needs: people who agreed, and credits."""
    create_subscribers(shop, subscribers)
    create_wallet(shop.id, credits)


def create_sending(shop: Shop, **overrides: Any) -> Campaign:
    """A campaign that was just enqueued."""
    campaign = create_campaign(shop, **overrides)
    return service.enqueue_campaign(shop.id, campaign.id, actor="test")


def end_dispatch(campaign: Campaign, state: DispatchState, code: str | None = None) -> None:
    """Let the campaign's dispatch come to an end, as messaging would."""
    session.execute(
        update(Dispatch)
        .where(Dispatch.id == campaign.dispatch_id)
        .values(state=state.value, finished_at=clock.now(), failure_code=code, failure_text=code and f"text of {code}")
    )


def create_completed(shop: Shop, **overrides: Any) -> Campaign:
    campaign = create_sending(shop, **overrides)
    end_dispatch(campaign, DispatchState.COMPLETED)
    assert campaign.dispatch_id is not None
    service.settle(shop.id, campaign.dispatch_id)
    return campaign


def add_messages(campaign: Campaign, **counts: int) -> list[Message]:
    """One batch of the campaign's dispatch with so many messages of each state (`sent=3, failed=1`), done."""
    assert campaign.dispatch_id is not None
    now, cipher = clock.now(), crypto.for_shop(campaign.shop_id)
    size, stand = sum(counts.values()), message_ids.of_dispatch(campaign.dispatch_id)
    batch = Batch(
        dispatch_id=campaign.dispatch_id, number=0, shop_id=campaign.shop_id, state="done", due_at=now,
        valid_until=now, size=size, recorded_at=now, first_id=stand.first, last_id=stand.last, **counts,
    )  # fmt: skip
    session.add(batch)
    session.flush()
    messages = []
    for state, number in counts.items():
        for _ in range(number):
            phone = a_phone()
            message = Message(
                id=next_message_id(campaign.dispatch_id), shop_id=campaign.shop_id,
                dispatch_id=campaign.dispatch_id, batch_number=0, country="GR",
                zone="Europe/Athens", state=state, phone_hash=cipher.lookup(phone), created_at=now, segments=1,
                credits=1, phone_sealed=cipher.seal(phone, "phone"),
                sent_at=now if state in ("sent", "delivered", "failed") else None,
                delivered_at=now if state == "delivered" else None, failed_at=now if state == "failed" else None,
                error="transient" if state == "failed" else None,
            )  # fmt: skip
            session.add(message)
            messages.append(message)
    session.execute(update(Dispatch).where(Dispatch.id == campaign.dispatch_id).values(total=size))
    session.flush()
    return messages

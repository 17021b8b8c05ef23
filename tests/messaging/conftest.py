"""A shop with credits and people, and the provider's stand-in, whose log is the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from flask import Flask
from sqlalchemy import update

from blossom.messaging import queries, service
from blossom.messaging.models import Dispatch
from blossom.messaging.queries import Progress
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads
from blossom.platform import config, db, stopping
from blossom.sandbox.mitto.process import StandIn
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from tests import stand_ins
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet

TEXT = "Hi {{ first_name | default: 'there' }}, 20% off until Sunday. Reply STOP to opt out"


@pytest.fixture(scope="session")
def mitto_process() -> StandIn:
    return stand_ins.mitto()


@pytest.fixture
def mitto(mitto_process: StandIn) -> StandIn:
    stand_ins.as_new(mitto_process)
    return mitto_process


@dataclass
class Outbox:
    """What a test needs to send and to see what came of it."""

    shop: Shop
    mitto: StandIn

    def start(self, **overrides: object) -> Dispatch:
        """A dispatch to everybody, its audience fixed."""
        plan = service.DispatchPlan(
            **{  # type: ignore[arg-type]  # overrides are the plan's own fields
                "shop_id": self.shop.id,
                "audience": Audience(everybody=True),
                "source": TEXT,
                "sender": "Ours",
                **overrides,
            }
        )
        with db.transaction():
            dispatch = service.start_dispatch(plan)
        with db.transaction():
            service.prepare_dispatch(plan.shop_id, dispatch.id)
        return dispatch

    def set(self, **settings: object) -> None:
        """Change the shop's settings."""
        db.session.execute(update(Shop).where(Shop.id == self.shop.id).values(**settings))

    def run(self) -> None:
        """One lane, until nothing is due."""
        service.run_lane(seconds=30, worker="test")

    def progress(self, dispatch: Dispatch) -> Progress:
        with db.transaction():
            return queries.progress(dispatch.shop_id, dispatch.id)

    def states(self, dispatch: Dispatch) -> dict[str, MessageState]:
        """Phone → state."""
        with db.transaction():
            return {
                str(row.phone): row.state for row in queries.recipients(dispatch.shop_id, dispatch.id, limit=10_000)
            }

    def receive(self, *receipts: payloads.Receipt) -> None:
        with db.transaction():
            service.store_receipts(receipts)
        with db.transaction():
            service.apply_receipts()

    def receive_all(self, status: str = "Delivered") -> None:
        """A receipt for every text that the provider took."""
        self.receive(*[payloads.Receipt(text["messageId"], status) for text in self.mitto.log()])

    def spent(self) -> int:
        with db.transaction():
            return -sum(entry.amount for entry in wallet.entries(self.shop.id, limit=1000) if entry.kind != "top_up")

    def check_books(self, dispatch: Dispatch) -> None:
        """What must hold after anything: money true, counts equal to rows, no phone texted twice."""
        progress = self.progress(dispatch)
        with db.transaction():
            assert wallet.verify(self.shop.id) == []
            rows = queries.recipients(dispatch.shop_id, dispatch.id, limit=100_000)
        shown = {state: sum(1 for row in rows if row.state == state) for state in MessageState}
        for state in MessageState:
            assert getattr(progress, state.value) == shown[state], state
        assert progress.total == len(rows)
        assert self.mitto.summary()["doubled"] == 0
        spent = self.spent()
        with db.transaction():
            assert wallet.balance(self.shop.id).balance + spent == CREDITS


CREDITS = 1_000_000


@pytest.fixture
def outbox(app: Flask, mitto: StandIn) -> Iterator[Outbox]:
    """On a database that is rolled back after the test."""
    yield from _outbox(mitto)


@pytest.fixture
def committed_outbox(committed_app: Flask, mitto: StandIn) -> Iterator[Outbox]:
    """On a database of its own, for tests with several connections."""
    yield from _outbox(mitto)


def _outbox(mitto: StandIn) -> Iterator[Outbox]:
    before = config.current()
    config.use(replace(before, mitto_api_url=mitto.url, mitto_batch_size=50, mitto_timeout_seconds=1.0))
    stopping.forget()
    with db.transaction():
        shop = create_shop()
        create_wallet(shop.id, CREDITS)
    try:
        yield Outbox(shop, mitto)
    finally:
        config.use(before)
        stopping.forget()

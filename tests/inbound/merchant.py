"""A merchant at the stand-in's Shopify: what they do there, and the webhooks that tell of it, in our hands."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from blossom.contacts.models import Contact
from blossom.inbound import jobs
from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.service import handling
from blossom.platform import clock, db
from blossom.sandbox.shopify.process import StandIn
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from tests import stand_ins
from tests.inbound.conftest import Shopify, connect_to_shopify, webhooks

OURS = "ours.myshopify.com"
SECRET = "stand-in-secret"


@dataclass
class Merchant:
    """Of the shop `ours`, in which the app is installed."""

    stand_in: StandIn
    shopify: Shopify
    told: int = 0  # webhooks of the stand-in that were looked at

    @property
    def shop_id(self) -> int:
        shop = shops.by_domain(OURS)
        assert shop is not None
        return shop.id

    def install(self) -> None:
        """Put the app in, again if it was taken out."""
        self.stand_in.install(OURS)
        shop_service.install(OURS, self.stand_in.id_token(OURS))

    def add(self, **fields: Any) -> int:
        """A customer; their id."""
        (customer,) = self.stand_in.add_customers(OURS, fields, webhooks=True)
        return int(customer["id"])

    def act(self, id: int, do: str, **given: Any) -> None:
        self.stand_in.act(OURS, id, do, **given)

    def news(self) -> list[dict[str, Any]]:
        """The webhooks since the last look, in Shopify's order. None has reached us."""
        sent = self.stand_in.webhooks()
        new, self.told = sent[self.told :], len(sent)
        return new

    def tell(self, news: Iterable[dict[str, Any]] | None = None) -> None:
        """Deliver webhooks (those since the last look), and have them handled."""
        self.bring(self.news() if news is None else news)
        handle()

    def bring(self, news: Iterable[dict[str, Any]]) -> None:
        """Deliver webhooks, of which none is handled yet."""
        for each in news:
            answer = self.shopify.post(
                each["topic"],
                orjson.dumps(each["body"]),
                each["shop"],
                secret=SECRET,
                Webhook_Id=each["webhook_id"],
                Event_Id=each["event_id"],
                Triggered_At=each["triggered_at"],
            )
            assert answer.status_code == 200

    def tell_in_disorder(self, seed: int) -> None:
        """The same twice each, in any order, handled at any moment in between."""
        chance = random.Random(seed)
        news = self.news() * 2
        chance.shuffle(news)
        while news:
            several = chance.randint(1, 4)
            self.tell(news[:several])
            news = news[several:]


def handle() -> None:
    jobs.handle_webhooks()
    jobs.ask_shopify()


def try_again() -> None:
    """Let the time of what was put off come."""
    handling.forget_turns()
    db.session.execute(
        update(ShopifyWebhook).where(ShopifyWebhook.state == "new").values(next_try_at=clock.now() - timedelta(1))
    )
    db.session.commit()
    handle()


def ends() -> list[tuple[str, str, str | None]]:
    """What became of each webhook: its topic, state, and outcome or fault."""
    return [(each.topic, each.state, each.outcome or each.fault) for each in webhooks()]


def contacts() -> list[Contact]:
    query = select(Contact).order_by(Contact.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def minutes_ago(minutes: float) -> str:
    return (datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes)).isoformat()


@pytest.fixture(scope="session")
def running() -> StandIn:
    return stand_ins.shopify()


def begin(merchant: Merchant) -> None:
    """A new Shopify with the one shop, in which the app is installed; its webhooks are held for us."""
    merchant.stand_in.reset(
        app={"api_key": "client-id", "secret": SECRET, "webhook_url": "http://127.0.0.1:9/held"},
        shops=[{"domain": OURS}],
    )
    merchant.stand_in.behave_webhooks(hold=True)
    merchant.told = 0
    merchant.install()


@pytest.fixture
def merchant(running: StandIn, shopify: Shopify, monkeypatch: pytest.MonkeyPatch) -> Merchant:
    connect_to_shopify(monkeypatch, shopify_api_secrets=(SECRET,), shopify_shop_url=running.shop_url)
    merchant = Merchant(running, shopify)
    begin(merchant)
    return merchant

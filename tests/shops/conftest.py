"""Shops with access to Shopify's stand-in, on a database whose commits are real: other threads must see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask

from blossom.platform import config
from blossom.platform.db import transaction
from blossom.sandbox.shopify.process import StandIn
from blossom.shops import queries, service
from blossom.shops.models import Installation, Shop
from tests import stand_ins
from tests.faults import processes

OURS = "ours.myshopify.com"
KEY, SECRET = "the-app", "the-secret"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(scope="session")
def running_stand_in() -> StandIn:
    return stand_ins.shopify()


@pytest.fixture
def stand_in(running_stand_in: StandIn) -> StandIn:
    """As at its start, with the app installed in our shop."""
    running_stand_in.reset(
        app={"api_key": KEY, "secret": SECRET, "refresh_retries": True},
        shops=[{"domain": OURS, "name": "Ours of Athens", "country": "GR", "timezone": "Europe/Athens"}],
    )
    running_stand_in.install(OURS)
    return running_stand_in


@dataclass(frozen=True)
class Connected:
    """Our app and Shopify's stand-in, which know how to reach each other."""

    app: Flask
    shopify: StandIn

    def install(self) -> service.Installed:
        """What opening the app in the admin does."""
        return service.install(OURS, self.shopify.id_token(OURS))

    def shop(self) -> Shop:
        with transaction():
            found = queries.by_domain(OURS)
            assert found is not None
            return found

    def installation(self) -> Installation:
        """The row, read apart, with its tokens readable outside of any transaction."""
        shop_id = self.shop().id
        with transaction():
            found = queries.installation(shop_id)
            assert found is not None
            return found

    def token(self) -> str | None:
        shop_id = self.shop().id
        with transaction():
            found = queries.installation(shop_id)
            assert found is not None
            return found.access_token

    def environment(self) -> dict[str, str]:
        """Settings by which another process works on the same database and stand-in."""
        settings = config.current()
        return processes.environment(
            SHOPIFY_API_KEY=settings.shopify_api_key,
            SHOPIFY_API_SECRET=",".join(settings.shopify_api_secrets),
            SHOPIFY_SHOP_URL=settings.shopify_shop_url,
            SHOPIFY_TIMEOUT_SECONDS=str(settings.shopify_timeout_seconds),
        )

    def calls(self, operation: str) -> int:
        """How often Shopify was asked for that: a grant type, or a GraphQL operation's name."""
        return sum(call["operation"] == operation for call in self.shopify.calls())


@pytest.fixture
def connected(committed_app: Flask, stand_in: StandIn) -> Iterator[Connected]:
    before = config.current()
    config.use(
        dataclasses.replace(
            before,
            shopify_api_key=KEY,
            shopify_api_secrets=(SECRET,),
            shopify_shop_url=stand_in.shop_url,
            shopify_timeout_seconds=5.0,
        )
    )
    yield Connected(committed_app, stand_in)
    config.use(before)

"""A shopper on a shop's site: requests as Shopify's proxy forwards them, signed."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from blossom.consent import queries as consents
from blossom.consent.models import OptInRequest
from blossom.consent.rules import State
from blossom.messaging.models import Dispatch
from blossom.platform import clock, config, crypto, db, queue
from blossom.shops.models import Shop
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet

SECRET = "hush"
PREFIX = "/apps/blossom"
ELENI, SHE_TYPES = "+306912345678", "691 234 5678"
TOKEN = re.compile(r'name="token" value="([^"]+)"')


def signed(secret: str = SECRET, **fields: str) -> str:
    """A query as the proxy sends it."""
    message = "".join(sorted(f"{name}={value}" for name, value in fields.items()))
    signature = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return urlencode({**fields, "signature": signature})


@dataclass
class Shopper:
    """Somebody on a shop's site."""

    app: Flask
    shop_id: int
    headers: dict[str, str] = field(default_factory=lambda: {"X-Forwarded-For": "192.0.2.7", "User-Agent": "Firefox"})
    customer_id: str = ""

    @property
    def shop(self) -> Shop:
        return db.session.get_one(Shop, self.shop_id)

    def query(self, **fields: str) -> str:
        own = {
            "shop": self.shop.domain,
            "path_prefix": PREFIX,
            "timestamp": str(int(clock.now().timestamp())),
            "logged_in_customer_id": self.customer_id,
        }
        return signed(**own, **fields)

    def get(self, page: str, **query: str) -> TestResponse:
        db.session.commit()  # what the test has made stays, also when the request is undone
        return self._settled(self.app.test_client().get(f"/proxy/{page}?{self.query(**query)}", headers=self.headers))

    def post(self, page: str, fields: dict[str, Any] | None = None, **query: str) -> TestResponse:
        db.session.commit()
        path = f"/proxy/{page}?{self.query(**query)}"
        return self._settled(self.app.test_client().post(path, data=fields or {}, headers=self.headers))

    def form(self, **query: str) -> str:
        """The token of a form that was just opened."""
        return token_in(self.get("consent", **query))

    def send(self, phone: str = SHE_TYPES, **fields: str) -> TestResponse:
        """Open the form, fill it in and send it."""
        given = {"phone": phone, "country": "GR", "agreed": "yes", **fields}
        return self.post("consent", {"token": self.form(), **given} if "token" not in fields else given)

    def state(self, phone: str = ELENI) -> State:
        return consents.state_of(self.shop_id, self.phone_hash(phone))

    def phone_hash(self, phone: str = ELENI) -> bytes:
        return crypto.for_shop(self.shop_id).lookup(phone)

    def texts(self) -> list[str]:
        """What the shop has texted, or is about to."""
        return list(db.session.scalars(select(Dispatch.source).order_by(Dispatch.id)))

    def code(self) -> str:
        """The code in the newest text."""
        found = re.search(r"/confirm/(\w+)", self.texts()[-1])
        assert found
        return found.group(1)

    def _settled(self, response: TestResponse) -> TestResponse:
        db.session.expire_all()
        return response


def token_in(response: TestResponse) -> str:
    found = TOKEN.search(response.text)
    assert found, response.text
    return html.unescape(found.group(1))


def requests() -> list[OptInRequest]:
    """The forms that were stored."""
    return list(db.session.scalars(select(OptInRequest).order_by(OptInRequest.id)))


def work() -> None:
    """Do the jobs that wait, as a worker would."""
    waiting = queue.rq_queue("default")
    for job in waiting.jobs:
        name, arguments, _ = job.args
        queue.registered()[name](**arguments)
    waiting.empty()


@pytest.fixture
def connected(app: Flask) -> Iterator[Flask]:
    """The app with Shopify's settings."""
    before = config.current()
    config.use(replace(before, shopify_api_key="key", shopify_api_secrets=(SECRET, "older")))
    yield app
    config.use(before)


@pytest.fixture
def shopper(connected: Flask) -> Shopper:
    from blossom.storefront import jobs  # registers them

    assert jobs
    shop = create_shop(name="Ours & Co")
    create_wallet(shop.id, 100)
    db.session.commit()
    return Shopper(connected, shop.id)

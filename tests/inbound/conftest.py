"""Mitto and Shopify as they knock at our door: signed posts, and what they left in the tables."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.service import handling, known_shops, storing
from blossom.messaging.models import Receipt
from blossom.messaging.service import receiving
from blossom.mitto import signature
from blossom.platform import config, db
from blossom.replies.models import InboundText

SECRET, TOKEN = "test-hmac-secret", "test-webhook-token"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Mitto:
    """Posts to the app with a valid proof, unless told otherwise."""

    app: Flask

    def post(self, path: str, body: bytes | str | object, *, content_type: str = "application/json") -> TestResponse:
        """Post `body` (bytes as they are, anything else as JSON), signed."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.send(path, raw, {"X-Mitto-Signature": signature.sign(raw, SECRET)}, content_type=content_type)

    def send(
        self, path: str, raw: bytes, headers: dict[str, str], *, method: str = "POST", content_type: str | None = None
    ) -> TestResponse:
        return self.app.test_client().open(
            f"/webhooks/mitto/{path}", method=method, data=raw, headers=headers, content_type=content_type
        )

    def get(self, path: str) -> TestResponse:
        return self.send(path, b"", {signature.TOKEN_HEADER: TOKEN}, method="GET")


@pytest.fixture
def mitto(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Mitto:
    """Knocking at an app whose commits are rolled back after the test, also those of `db.autocommit`."""

    @contextmanager
    def in_the_test_s_transaction() -> Iterator[psycopg.Connection]:
        yield db.session.connection().connection.driver_connection
        db.session.commit()  # of a savepoint

    monkeypatch.setattr(db, "autocommit", in_the_test_s_transaction)
    return Mitto(app)


SHOPIFY_SECRET, OLD_SHOPIFY_SECRET = "shopify-secret", "shopify-secret-of-before"


def shopify_headers(
    raw: bytes, topic: str, shop: str = "ours.myshopify.com", *, secret: str = SHOPIFY_SECRET, **more: str | None
) -> dict[str, str]:
    """What Shopify sends with a body; `more` by the last words of a header's name, None leaves it out."""
    headers: dict[str, str | None] = {
        "Hmac-Sha256": base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode(),
        "Topic": topic,
        "Shop-Domain": shop,
        "API-Version": "2026-10",
        "Webhook-Id": str(uuid.uuid4()),
        "Event-Id": str(uuid.uuid4()),
        "Triggered-At": "2026-11-20T12:00:00.123456789Z",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return {f"X-Shopify-{name}": value for name, value in headers.items() if value is not None}


@dataclass
class Shopify:
    """Posts to the app as Shopify does."""

    app: Flask

    def post(self, topic: str, body: object, shop: str = "ours.myshopify.com", **more: Any) -> TestResponse:
        """Post `body` (bytes as they are, anything else as JSON), signed; `more` as of `shopify_headers`."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.send(raw, shopify_headers(raw, topic, shop, **more))

    def send(self, raw: bytes, headers: dict[str, str]) -> TestResponse:
        return self.app.test_client().post(
            "/webhooks/shopify", data=raw, headers=headers, content_type="application/json"
        )


def connect_to_shopify(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Make this process's settings those of an installation that is connected."""
    secrets = (SHOPIFY_SECRET, OLD_SHOPIFY_SECRET)
    values = {"shopify_api_key": "client-id", "shopify_api_secrets": secrets, **settings}
    monkeypatch.setattr(config, "_current", dataclasses.replace(config.current(), **values))
    known_shops.forget()
    handling.forget_turns()


@pytest.fixture
def shopify(mitto: Mitto, monkeypatch: pytest.MonkeyPatch) -> Shopify:
    """The same for Shopify, at an app that is connected to it."""
    connect_to_shopify(monkeypatch)
    return Shopify(mitto.app)


def webhooks() -> list[ShopifyWebhook]:
    query = select(ShopifyWebhook).order_by(ShopifyWebhook.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


@pytest.fixture(autouse=True)
def nudge_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nudges by the thread that knocked: none is under way when Redis is emptied for the next test."""
    monkeypatch.setattr(receiving._nudge, "give", receiving.nudge_workers)
    monkeypatch.setattr(storing._quick, "give", storing.nudge_quick)
    monkeypatch.setattr(storing._asking, "give", storing.nudge_asking)


def receipts() -> list[Receipt]:
    """What is stored, in order of arrival."""
    return list(
        db.session.scalars(
            select(Receipt).order_by(Receipt.provider_message_id, Receipt.id).execution_options(populate_existing=True)
        )
    )


def texts() -> list[InboundText]:
    query = select(InboundText).order_by(InboundText.shop_id, InboundText.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def a_receipt(message_id: str = "01K1", status: str = "Delivered", **more: Any) -> dict[str, Any]:
    return {"messageId": message_id, "deliveryStatus": status, "updatedAt": "2026-11-20T12:00:00Z", **more}


def a_text(phone: str, words: str, to: str | None = "Ours", **more: Any) -> dict[str, Any]:
    return {"from": phone, "text": words} | ({"to": to} if to else {}) | more

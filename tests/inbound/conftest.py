"""Mitto as it knocks at our door: signed posts, and what they left in the tables."""

from __future__ import annotations

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

from blossom.inbound.models import InboundText
from blossom.messaging.models import Receipt
from blossom.messaging.service import receiving
from blossom.mitto import signature
from blossom.platform import db

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


@pytest.fixture(autouse=True)
def nudge_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nudges by the thread that knocked: none is under way when Redis is emptied for the next test."""
    monkeypatch.setattr(receiving._nudge, "give", receiving.nudge_workers)


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

"""Shopify's settings for the app at hand, and shops that are installed."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from werkzeug.test import TestResponse

from blossom.platform import clock, config, db
from blossom.platform.config import Config
from blossom.platform.db import session
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from blossom.shopify.oauth import Tokens
from blossom.shops.models import Installation, Shop, StaffMember
from tests.personas import Personas

API_KEY = "blossom-client-id"
SECRET = "hush"
OLD_SECRET = "hush-before"
APP = "http://app.test:5000"
ADMIN = "http://admin.test:5001"
BRIDGE = "http://cdn.test:5002/app-bridge.js"
SCOPES = ("read_customers", "write_customers", "read_orders")


@pytest.fixture
def shopify(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Config:
    """An installation with Shopify's settings."""
    settings = replace(
        config.current(),
        shopify_api_key=API_KEY,
        shopify_api_secrets=(SECRET, OLD_SECRET),
        shopify_scopes=SCOPES,
        shopify_admin_url=ADMIN,
        shopify_app_bridge_url=BRIDGE,
        app_url=APP,
    )
    monkeypatch.setattr(config, "_current", settings)
    monkeypatch.setattr(oauth, "exchange", _not_reached)
    return settings


def _not_reached(shop: str, id_token: str, *, online: bool = False) -> Tokens:
    """Nobody is asked outside of this machine; a test that wants an answer gives one."""
    raise ShopifyError("could_not_connect")


def install(shop: Shop, **overrides: Any) -> Installation:
    """Let the shop have granted everything, with tokens that last."""
    now = clock.now()
    values: dict[str, Any] = {
        "scopes": list(SCOPES),
        "access_expires_at": now + timedelta(hours=1),
        "refresh_expires_at": now + timedelta(days=90),
        "granted_at": now,
        **overrides,
    }
    installation = Installation(shop_id=shop.id, **values)
    if "access_token_sealed" not in overrides:
        installation.access_token = "access-token"
        installation.refresh_token = "refresh-token"
    session.add(installation)
    member(shop)
    return installation


def member(shop: Shop, scopes: tuple[str, ...] = SCOPES, user_id: int = 42) -> StaffMember:
    """A staff member whose rights Shopify has told."""
    now = clock.now()
    values = {"first_seen_at": now, "last_seen_at": now, "scopes": list(scopes), "scopes_read_at": now}
    known = StaffMember(shop_id=shop.id, shopify_user_id=user_id, **values)
    session.add(known)
    session.flush()
    return known


@pytest.fixture
def ours(personas: Personas, shopify: Config) -> Shop:
    install(personas.ours)
    return personas.ours


@pytest.fixture
def theirs(personas: Personas, shopify: Config) -> Shop:
    install(personas.theirs)
    return personas.theirs


def claims(shop: str = "ours.myshopify.com", **overrides: Any) -> dict[str, Any]:
    """What a good session token says."""
    now = int(clock.now().timestamp())
    return {
        "iss": f"https://{shop}/admin",
        "dest": f"https://{shop}",
        "aud": API_KEY,
        "sub": "42",
        "exp": now + 60,
        "nbf": now,
        "iat": now,
        "jti": "f8912129-1af6-4cad-9ca3-76b0f7621087",
        "sid": "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685",
        **overrides,
    }


def token(shop: str = "ours.myshopify.com", *, secret: str = SECRET, **overrides: Any) -> str:
    """A session token; a claim that is None is left out."""
    said = {name: value for name, value in claims(shop, **overrides).items() if value is not None}
    return signed({"alg": "HS256", "typ": "JWT"}, said, secret)


def signed(header: object, payload: object, secret: str = SECRET) -> str:
    """A JWT by hand: any header, any payload."""
    content = f"{part(header)}.{part(payload)}"
    proof = hmac.digest(secret.encode(), content.encode(), "sha256")
    return f"{content}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"


def part(document: object) -> str:
    """A third of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Visitor:
    """Somebody in the admin's frame of a shop."""

    app: Flask
    shop: str = "ours.myshopify.com"

    def document(self, path: str, query: dict[str, str] | None = None, **headers: str) -> TestResponse:
        """Load a page as the admin does; `query` replaces what it adds (an empty value leaves it out)."""
        given = {"embedded": "1", "shop": self.shop, "host": "YWRtaW4", "id_token": token(self.shop), **(query or {})}
        return self.ask(
            "GET", path, query_string={name: value for name, value in given.items() if value}, headers=headers
        )

    def fetch(self, path: str, given: str | None = None, *, method: str = "GET", **options: Any) -> TestResponse:
        """Ask as htmx does in the frame."""
        headers = {"HX-Request": "true", "Authorization": f"Bearer {given or token(self.shop)}"}
        headers |= options.pop("headers", {})
        return self.ask(method, path, headers=headers, **options)

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """As from outside: what the test did is committed first, and the request has a session of its own."""
        db.session.commit()
        with self.app.app_context():
            response = self.app.test_client().open(path, method=method, **options)
        db.session.expire_all()
        return response


@pytest.fixture
def visitor(app: Flask, ours: Shop) -> Visitor:
    return Visitor(app)


@pytest.fixture
def stranger(app: Flask, theirs: Shop) -> Visitor:
    return Visitor(app, "theirs.myshopify.com")


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL that the app runs within the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SAVEPOINT" not in statement:
            seen.append(statement)

    engine = db.session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)

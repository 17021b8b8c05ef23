"""Shopify for the client: recorded answers, and the stand-in's process. No database is needed here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from blossom.platform import config
from blossom.platform.config import Config
from blossom.sandbox.shopify.process import StandIn
from blossom.shopify.client import ShopifyClient
from tests import stand_ins
from tests.providers.recorded import RecordedProvider, Turn, raw

OURS = "ours.myshopify.com"
KEY, SECRET = "the-app", "the-secret"


@dataclass
class Waits:
    """Stands in for `stopping.wait`: remembers, and doesn't wait. `stop_after`: so many, and the process is to stop."""

    taken: list[float] = field(default_factory=list)
    stop_after: int | None = None

    def __call__(self, seconds: float) -> bool:
        self.taken.append(round(seconds, 3))
        return self.stop_after is not None and len(self.taken) > self.stop_after


@pytest.fixture
def waits() -> Waits:
    return Waits()


def settings_for(url: str, **more: Any) -> Config:
    chosen: dict[str, Any] = {"shopify_timeout_seconds": 0.5} | more
    return Config(
        environment="test",
        shopify_api_key=KEY,
        shopify_api_secrets=(SECRET, "the-old-secret"),
        shopify_shop_url=f"{url}/shops/{{shop}}",
        app_url="https://app.test",
        **chosen,
    )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Config], None]:
    """Names the settings of this test."""
    return lambda settings: monkeypatch.setattr(config, "_current", settings)


@pytest.fixture
def recorded(use: Callable[[Config], None]) -> Iterator[RecordedProvider]:
    """A Shopify that answers as it is scripted, and the settings to reach it."""
    provider = RecordedProvider()
    use(settings_for(provider.url))
    yield provider
    provider.stop()


@pytest.fixture
def client(recorded: RecordedProvider, waits: Waits) -> Iterator[ShopifyClient]:
    """A client of the recorded Shopify, which renews `token-1` to `token-2` and so on."""
    made = ShopifyClient(OURS, "token-1", renew=lambda used: f"token-{int(used[-1]) + 1}", wait=waits)
    yield made
    made.close()


def answer(document: object, status: int = 200, **headers: str) -> Turn:
    """Answer with JSON, and keep the connection."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@pytest.fixture(scope="session")
def running_stand_in() -> StandIn:
    return stand_ins.shopify()


@pytest.fixture
def stand_in(running_stand_in: StandIn, use: Callable[[Config], None]) -> StandIn:
    """The stand-in as at its start: our shop, with the app installed; and the settings to reach it."""
    running_stand_in.reset(
        app={"api_key": KEY, "secret": SECRET, "redirect_urls": ["https://app.test/auth/callback"]},
        shops=[{"domain": OURS}],
    )
    running_stand_in.install(OURS)
    use(settings_for(running_stand_in.url, shopify_timeout_seconds=5.0))
    return running_stand_in

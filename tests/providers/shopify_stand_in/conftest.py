"""A running stand-in with two installed shops, the app's calls to it, and a place where its webhooks arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from blossom.sandbox.shopify import trim
from blossom.sandbox.shopify.process import StandIn

OURS, THEIRS = "ours.myshopify.com", "theirs.myshopify.com"
KEY, SECRET = "the-app", "the secret"
REDIRECT = "http://app.test/auth/callback"

EXCHANGE = {
    "client_id": KEY,
    "client_secret": SECRET,
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    "requested_token_type": "urn:shopify:params:oauth:token-type:offline-access-token",
    "expiring": 1,
}
ONLINE = EXCHANGE | {"requested_token_type": "urn:shopify:params:oauth:token-type:online-access-token"}
del ONLINE["expiring"]
REFRESH = {"client_id": KEY, "client_secret": SECRET, "grant_type": "refresh_token"}

OPERATIONS = trim.operations()


@dataclass
class Shopify:
    """The stand-in as the app meets it."""

    stand_in: StandIn
    session: requests.Session = field(default_factory=requests.Session)

    def oauth(self, given: dict[str, Any], shop: str = OURS) -> requests.Response:
        """POST to the token endpoint."""
        return self.session.post(f"{self.admin(shop)}/oauth/access_token", json=given, timeout=10)

    def exchange(self, shop: str = OURS, subject: str | None = None, **given: Any) -> requests.Response:
        """A token for a session token, of the shop's owner by default."""
        subject = self.stand_in.id_token(shop) if subject is None else subject
        return self.oauth(EXCHANGE | {"subject_token": subject} | given, shop)

    def token(self, shop: str = OURS) -> str:
        """A good offline access token."""
        answer = self.exchange(shop)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def post(self, token: str, document: object, shop: str = OURS, version: str = "2026-10") -> requests.Response:
        """POST to GraphQL."""
        url = f"{self.admin(shop)}/api/{version}/graphql.json"
        return self.session.post(url, json=document, headers={"X-Shopify-Access-Token": token}, timeout=10)

    def run(self, token: str, operation: str, shop: str = OURS, **variables: Any) -> dict[str, Any]:
        """The answer to one of our operations."""
        answer = self.post(token, {"query": OPERATIONS[operation], "variables": variables}, shop)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def admin(self, shop: str) -> str:
        """The base of a shop's admin, as SHOPIFY_SHOP_URL gives it."""
        return f"{self.stand_in.shop_url.format(shop=shop)}/admin"


@pytest.fixture(scope="package")
def running() -> Iterator[StandIn]:
    with StandIn.start() as shopify:
        yield shopify


@pytest.fixture
def shopify(running: StandIn) -> Iterator[Shopify]:
    """Forgetful, with both shops open and the app installed in them."""
    app = {"api_key": KEY, "secret": SECRET, "redirect_urls": [REDIRECT]}
    running.reset(app=app, shops=[{"domain": OURS}, {"domain": THEIRS}])
    running.install(OURS)
    running.install(THEIRS)
    calling = Shopify(running)
    yield calling
    calling.session.close()


@dataclass
class Arrived:
    """A webhook as it came."""

    headers: Any
    body: bytes
    at: float


class Inbox:
    """Where webhooks arrive. `statuses` are used up one a request, then it is 200; `slowness`: seconds before each."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.statuses: list[int] = []
        self.slowness: list[float] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.arrived.append(Arrived(self.headers, body, time.monotonic()))
                if inbox.slowness:
                    inbox.released.wait(inbox.slowness.pop(0))
                self.send_response(inbox.statuses.pop(0) if inbox.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/shopify"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def topics(self) -> list[str]:
        return [each.headers["X-Shopify-Topic"] for each in self.arrived]

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox(shopify: Shopify) -> Iterator[Inbox]:
    receiving = Inbox()
    shopify.stand_in.configure(webhook_url=receiving.url)
    yield receiving
    shopify.stand_in.reset()  # so that nothing is posted to who has gone
    receiving.stop()

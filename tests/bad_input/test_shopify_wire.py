"""Odd bytes from who poses as Shopify, at a real `blossom web`: a clear refusal each, and the next one is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.bad_input.site import Site, start
from tests.bad_input.test_wire import SECRET, chunked, send
from tests.conftest import Services
from tests.inbound.conftest import shopify_headers

WEBHOOK = b'{"id": 7}'
_HEADERS = shopify_headers(WEBHOOK, "customers/update", secret=SECRET)
FROM_SHOPIFY = sorted(f"{name}: {value}" for name, value in _HEADERS.items())


@pytest.fixture(scope="module")
def site(services: Services, template_database: str) -> Iterator[Site]:
    settings = {"SHOPIFY_API_KEY": "client-id", "SHOPIFY_API_SECRET": SECRET}
    with start(services, template_database, **settings) as started:
        yield started


def webhook(*more: str, without: str = "-") -> str:
    """The head of a webhook of Shopify's, with these headers more and without one."""
    own = [line for line in FROM_SHOPIFY if not line.startswith(f"X-Shopify-{without}:")]
    return "\n".join(["POST /webhooks/shopify HTTP/1.1", "Host: x", "Connection: close", *own, *more])


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (webhook("Content-Length: 9"), {200}),
        *[
            (webhook("Content-Length: 9", f"X-Shopify-{name}: {value}", without=without), statuses)
            for name, without, value, statuses in [
                ("Hmac-Sha256", "-", "A" * 43 + "=", {401}),  # beside the right one
                ("Hmac-Sha256", "Hmac-Sha256", "é" * 44, {401}),
                ("Hmac-Sha256", "Hmac-Sha256", "A" * 3_000_000, {400, 431, 0}),
                ("Shop-Domain", "-", "theirs.myshopify.com", {400}),
                ("Shop-Domain", "Shop-Domain", "é.myshopify.com", {400}),
                ("Webhook-Id", "-", "another", {400}),
                ("Topic", "Topic", "customers/\u00a0update", {400}),
                ("Topic", "Topic", "a" * 3_000_000, {400, 431, 0}),
            ]
        ],
        (webhook("Content-Length: 9", "X_Shopify_Topic: orders/create"), {200, 400}),
        (webhook("Content-Length: 99999999"), {413}),
        (webhook("Content-Length: nine"), {400}),
    ],
    ids=lambda value: re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", repr(value))[-40:],  # each run names its own
)
def test_a_webhook_with_odd_headers_is_refused_and_costs_the_next_one_nothing(
    site: Site, head: str, statuses: set[int]
) -> None:
    assert send(site, head, WEBHOOK, hang_up=True).status in statuses
    assert send(site, webhook("Content-Length: 9"), WEBHOOK).status == 200


def test_a_webhook_in_chunks_is_taken_and_a_broken_one_is_not(site: Site) -> None:
    head = webhook("Transfer-Encoding: chunked")
    assert send(site, head, chunked(WEBHOOK[:4], WEBHOOK[4:])).status == 200
    assert send(site, head, chunked(WEBHOOK[:4], end=b""), hang_up=True).code == "incomplete_body"
    assert send(site, webhook("Content-Length: 10"), WEBHOOK, hang_up=True).code == "incomplete_body"

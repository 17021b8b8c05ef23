"""Shopify's webhooks at the door: form, signature, stored once and sealed, acknowledged; and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from werkzeug.test import Client, TestResponse

from blossom.inbound.api import ReceiptsIngress, ShopifyIngress
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.service import handlers, storing
from blossom.platform import crypto, db, queue
from tests.factories.shops import create_shop
from tests.inbound.conftest import (
    OLD_SHOPIFY_SECRET,
    Shopify,
    connect_to_shopify,
    shopify_headers,
    webhooks,
)
from tests.inbound.test_concurrency import at_once, count
from tests.personas import Personas

CUSTOMER = {"id": 7, "email": "eleni@example.com", "phone": "+306984303406", "updated_at": "2026-11-20T12:00:00Z"}
PATH = "/webhooks/shopify"


def ingress(app: Flask) -> ShopifyIngress:
    assert isinstance(app.wsgi_app, ReceiptsIngress)
    inner = app.wsgi_app._next
    assert isinstance(inner, ShopifyIngress)
    return inner


def both(app: Flask, raw: bytes, headers: dict[str, str]) -> list[TestResponse]:
    """The same post by the short way and by the route."""
    ways: list[Callable[..., Any]] = [app.wsgi_app, ingress(app)._next]
    return [Client(way).post(PATH, data=raw, headers={**headers, "X-Request-Id": "the-request"}) for way in ways]


def test_a_webhook_is_stored_with_what_its_headers_say(shopify: Shopify, personas: Personas) -> None:
    answer = shopify.post("customers/update", CUSTOMER, Webhook_Id="w-1", Event_Id="e-1")
    assert (answer.status_code, answer.get_json()) == (200, {"ok": True, "repeated": False})
    (stored,) = webhooks()
    assert (stored.webhook_id, stored.event_id, stored.topic) == ("w-1", "e-1", "customers/update")
    assert (stored.shop_domain, stored.shop_id) == ("ours.myshopify.com", personas.ours.id)
    assert (stored.api_version, stored.state, stored.tries) == ("2026-10", "new", 0)
    assert str(stored.triggered_at) == "2026-11-20 12:00:00.123456+00:00"
    assert orjson.loads(stored.payload) == CUSTOMER


def test_nothing_personal_stands_in_the_table(shopify: Shopify, personas: Personas) -> None:
    shopify.post("customers/update", CUSTOMER)
    row = db.session.execute(text("SELECT w::text, w.payload_sealed FROM shopify_webhooks w")).one()
    for word in ("eleni", "6984303406"):
        assert word not in row[0]
        assert word.encode() not in row[1]


def test_what_comes_again_is_stored_once(shopify: Shopify, personas: Personas) -> None:
    answers = [shopify.post("customers/update", CUSTOMER, Webhook_Id="w-1").get_json() for _ in range(3)]
    assert [answer["repeated"] for answer in answers] == [False, True, True]
    assert len(webhooks()) == 1


@pytest.mark.parametrize(
    ("topic", "job", "on"),
    [
        ("customers/update", "inbound.ask_shopify", "shopify"),
        ("app/uninstalled", "inbound.handle_webhooks", "default"),
    ],
)
def test_a_job_is_asked_for_after_the_commit_and_not_for_a_repeat(
    shopify: Shopify, personas: Personas, topic: str, job: str, on: str
) -> None:
    shopify.post(topic, CUSTOMER, Webhook_Id="w-1")
    assert [each.args[0] for each in queue.rq_queue(on).jobs] == [job]
    queue.connection().flushdb()
    shopify.post(topic, CUSTOMER, Webhook_Id="w-1")
    assert queue.rq_queue(on).count == 0


def test_without_redis_it_is_answered_all_the_same(shopify: Shopify, personas: Personas) -> None:
    queue.init("redis://127.0.0.1:1")
    try:
        assert shopify.post("customers/update", CUSTOMER).status_code == 200
    finally:
        queue.init(str(shopify.app.config["BLOSSOM"].redis_url))
    assert len(webhooks()) == 1


def test_the_secret_of_before_still_counts(shopify: Shopify, personas: Personas) -> None:
    assert shopify.post("customers/update", CUSTOMER, secret=OLD_SHOPIFY_SECRET).status_code == 200


@pytest.mark.parametrize(
    ("topic", "state", "outcome"),
    [
        ("customers/create", "new", None),
        ("customers/redact", "new", None),
        ("orders/create", "ignored", "no_consumer"),
        ("products/update", "ignored", "no_consumer"),
        ("themes/publish", "ignored", "unknown_topic"),
    ],
)
def test_a_topic_that_nobody_waits_for_is_stored_and_ignored(
    shopify: Shopify, personas: Personas, topic: str, state: str, outcome: str | None
) -> None:
    assert shopify.post(topic, {"id": 1}).status_code == 200
    (stored,) = webhooks()
    assert (stored.state, stored.outcome) == (state, outcome)
    assert stored.payload == '{"id":1}'


def test_what_comes_for_a_shop_that_is_not_here_is_noted_without_what_it_says(shopify: Shopify) -> None:
    assert shopify.post("customers/update", CUSTOMER, "nobody.myshopify.com").status_code == 200
    (stored,) = webhooks()
    assert (stored.state, stored.outcome) == ("ignored", "unknown_shop")
    assert (stored.shop_id, stored.payload_sealed) == (None, None)


def test_what_comes_for_a_shop_whose_keys_are_destroyed_is_noted_without_what_it_says(
    shopify: Shopify, personas: Personas
) -> None:
    crypto.destroy_shop_keys(personas.ours.id)
    db.session.commit()
    assert shopify.post("customers/update", CUSTOMER).status_code == 200
    (stored,) = webhooks()
    assert (stored.state, stored.outcome, stored.payload_sealed) == ("ignored", "shop_redacted", None)


def good(**changes: str | None) -> dict[str, str]:
    return shopify_headers(b"{}", "customers/update", **changes)


LONG = "a" * 2_000_000


@pytest.mark.parametrize(
    "value",
    [
        *("", "a", "ÿ" * 44, "é" + "A" * 43, LONG, "=" * 44, "A" * 43 + "\u00a0"),
        base64.b64encode(b"\0" * 32).decode(),
        good()["X-Shopify-Hmac-Sha256"] + "," + good()["X-Shopify-Hmac-Sha256"],  # the header twice
        good()["X-Shopify-Hmac-Sha256"].swapcase(),
        shopify_headers(b"{} ", "customers/update")["X-Shopify-Hmac-Sha256"],
        shopify_headers(b"{}", "customers/update", secret="")["X-Shopify-Hmac-Sha256"],
        None,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_wrong_signature_gets_401_and_leaves_nothing(shopify: Shopify, personas: Personas, value: str | None) -> None:
    for answer in both(shopify.app, b"{}", good(Hmac_Sha256=value)):
        assert answer.status_code == 401
        assert answer.get_json()["code"] == "unproven"
    assert webhooks() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("Shop_Domain", value) for value in ("", "ours", "ours.example.com", "ours.myshopify.com.evil", "é", LONG)],
        ("Shop_Domain", "ours.myshopify.com,theirs.myshopify.com"),
        ("Shop_Domain", None),
        *[("Topic", value) for value in (None, "", "customers", "customers/../x", "ÿ/é", LONG, "a/b,c/d")],
        *[("Webhook_Id", value) for value in (None, "", "a b", "a,b", "é", LONG)],
        *[("Event_Id", value) for value in ("", "a,b", "é", LONG)],
        *[("API_Version", value) for value in ("é", LONG)],
        *[("Triggered_At", value) for value in ("é", LONG)],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_odd_header_gets_400_and_leaves_nothing(
    shopify: Shopify, personas: Personas, name: str, value: str | None
) -> None:
    for answer in both(shopify.app, b"{}", good(**{name: value})):
        assert answer.status_code == 400
        assert answer.get_json()["details"] == {"header": f"X-Shopify-{name.replace('_', '-')}"}
    assert webhooks() == []


@pytest.mark.parametrize("value", [None, "yesterday", "2026-02-31T12:00:00Z", "2026-11-20 12:00"])
def test_a_time_that_can_t_be_read_costs_no_webhook(shopify: Shopify, personas: Personas, value: str | None) -> None:
    assert shopify.send(b"{}", good(Triggered_At=value)).status_code == 200
    assert webhooks()[0].triggered_at is None


def test_a_body_beyond_the_limit_gets_413(shopify: Shopify, personas: Personas) -> None:
    assert shopify.post("products/update", b" " * 5_000_001).status_code == 413
    assert shopify.post("products/update", b" " * 5_000_000).status_code == 200


def test_an_installation_without_shopify_has_no_such_address(app: Flask) -> None:
    assert Shopify(app).post("customers/update", CUSTOMER).status_code == 404


def test_nothing_else_is_taken_there(shopify: Shopify) -> None:
    assert shopify.app.test_client().get(PATH).status_code == 405


@pytest.mark.parametrize("raw", [b"{}", b"x" * (storing.LARGE + 1)], ids=["small", "large"])
def test_without_the_database_shopify_is_asked_to_try_again(
    shopify: Shopify, personas: Personas, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    def away(_: object) -> set[str]:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(storing, "_execute", away)
    for answer in both(shopify.app, raw, shopify_headers(raw, "customers/update")):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"


def test_the_short_way_answers_byte_for_byte_what_the_route_answers(shopify: Shopify, personas: Personas) -> None:
    raw = orjson.dumps(CUSTOMER)
    headers = shopify_headers(raw, "customers/update")
    shopify.send(raw, headers)  # so that it is a repeat for both
    short, long = both(shopify.app, raw, headers)
    assert (short.status, short.data) == (long.status, long.data)
    assert sorted(short.headers) == sorted(long.headers)
    assert short.headers["X-Request-Id"] == "the-request"


def test_what_can_be_stored_does_not_reach_the_route(
    shopify: Shopify, personas: Personas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the route was asked")

    monkeypatch.setattr(ingress(shopify.app), "_next", never)
    assert shopify.post("customers/update", CUSTOMER).status_code == 200
    with pytest.raises(AssertionError):
        shopify.post("customers/update", CUSTOMER, secret="another")


_ANY = st.characters(exclude_categories=("Cs",))  # JSON has no lone surrogates
_HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=80)


@given(
    raw=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(_ANY),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(_ANY), inner),
            max_leaves=10,
        ).map(orjson.dumps),
    ),
    topic=st.sampled_from([*handlers.BY_TOPIC, "orders/create"]),
    odd=st.dictionaries(
        st.sampled_from(["Hmac_Sha256", "Topic", "Shop_Domain", "Webhook_Id", "Event_Id", "Triggered_At"]),
        _HEADER,
        max_size=2,
    ),
)
@example(raw=b"\xff\xfe", topic="customers/update", odd={})
@example(raw=b'{"a":"\\u0000"}', topic="customers/update", odd={})
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_and_no_header_is_ever_a_fault_of_ours(
    shopify: Shopify, personas: Personas, raw: bytes, topic: str, odd: dict[str, str]
) -> None:
    answer = shopify.send(raw, shopify_headers(raw, topic, **odd))
    assert answer.status_code in ((200, 400, 401) if odd else (200,))


def test_a_hundred_of_one_webhook_at_once_are_one_event(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_to_shopify(monkeypatch)
    with db.transaction():
        create_shop()
    knocking = Shopify(committed_app)
    raw = orjson.dumps(CUSTOMER)
    headers = shopify_headers(raw, "customers/update")
    answers = at_once(committed_app, *[lambda: knocking.send(raw, headers)] * 100)
    assert [answer.status_code for answer in answers] == [200] * 100
    assert sum(not answer.get_json()["repeated"] for answer in answers) == 1
    assert count("shopify_webhooks") == 1


def test_every_topic_with_a_handler_is_subscribed_to() -> None:
    assert set(handlers.BY_TOPIC) <= rules.SUBSCRIBED | rules.COMPLIANCE
    assert set(handlers.BY_TOPIC) >= rules.COMPLIANCE

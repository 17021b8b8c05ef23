"""Webhooks: what is told, how it is signed, and how they misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from blossom.sandbox.shopify import deliveries
from tests.faults.processes import until
from tests.providers.shopify_stand_in.conftest import OURS, SECRET, THEIRS, Arrived, Inbox, Shopify

PERSON = {"first_name": "Eleni", "email": "eleni@example.com", "phone": "+306984303401", "tags": ["vip"]}


def _genuine(arrived: Arrived) -> bool:
    """By the definition, not by the stand-in's own code."""
    given = arrived.headers["X-Shopify-Hmac-Sha256"]
    expected = base64.b64encode(hmac.new(SECRET.encode(), arrived.body, hashlib.sha256).digest()).decode()
    return given is not None and hmac.compare_digest(given.encode("latin-1"), expected.encode())


def _settled(shopify: Shopify) -> list[dict[str, Any]]:
    assert shopify.stand_in.settle_webhooks(20)
    return shopify.stand_in.webhooks()


def test_a_webhook_has_shopifys_headers_and_proves_itself(shopify: Shopify, inbox: Inbox) -> None:
    (sent,) = shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    _settled(shopify)
    (arrived,) = inbox.arrived
    headers = arrived.headers
    assert _genuine(arrived)
    assert json.loads(arrived.body) == {"id": 7}
    assert headers["X-Shopify-Topic"] == "orders/create"
    assert headers["X-Shopify-Shop-Domain"] == OURS
    assert headers["X-Shopify-API-Version"] == "2026-10"
    assert headers["X-Shopify-Webhook-Id"] == sent["webhook_id"]
    assert headers["X-Shopify-Event-Id"] == sent["event_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", headers["X-Shopify-Triggered-At"])
    assert headers["Content-Type"] == "application/json"


def test_what_happens_to_a_customer_is_told(shopify: Shopify, inbox: Inbox) -> None:
    stand_in = shopify.stand_in
    stand_in.behave_webhooks(connections=1)
    (person,) = stand_in.add_customers(OURS, PERSON, webhooks=True)
    stand_in.act(OURS, person["id"], "update", fields={"first_name": "Elena"})
    stand_in.act(OURS, person["id"], "consent", fields={"state": "SUBSCRIBED"})
    (other,) = stand_in.add_customers(OURS, {"email": "other@example.com"})
    stand_in.act(OURS, person["id"], "merge", other=other["id"])
    stand_in.act(OURS, person["id"], "data_request")
    stand_in.act(OURS, person["id"], "redact")
    stand_in.act(OURS, person["id"], "delete")
    _settled(shopify)
    assert inbox.topics() == [
        "customers/create",
        "customers/update",
        "customers/update",
        "customers_marketing_consent/update",
        "customers/merge",
        "customers/update",
        "customers/data_request",
        "customers/redact",
        "customers/delete",
    ]
    told = [json.loads(each.body) for each in inbox.arrived]
    assert {"tags", "sms_marketing_consent"} & set(told[0]) == set()
    assert (told[0]["first_name"], told[1]["first_name"]) == ("Eleni", "Elena")
    assert told[3]["sms_marketing_consent"]["state"] == "subscribed"
    gid = f"gid://shopify/Customer/{person['id']}"
    assert told[4]["admin_graphql_api_customer_kept_id"] == gid
    assert told[4]["admin_graphql_api_customer_deleted_id"] == f"gid://shopify/Customer/{other['id']}"
    assert told[7]["customer"]["phone"] == PERSON["phone"]


def test_times_are_told_by_the_shops_clock(shopify: Shopify, inbox: Inbox) -> None:
    at = {"updated_at": "2026-05-01T22:30:00+00:00", "state": "SUBSCRIBED"}
    shopify.stand_in.open_shop("third.myshopify.com", timezone="Europe/Athens")
    shopify.stand_in.install("third.myshopify.com")
    shopify.stand_in.add_customers("third.myshopify.com", PERSON | {"consent": at}, webhooks=True)
    _settled(shopify)
    told = {each.headers["X-Shopify-Topic"]: json.loads(each.body) for each in inbox.arrived}
    consent = told["customers_marketing_consent/update"]["sms_marketing_consent"]
    assert consent["consent_updated_at"] == "2026-05-02T01:30:00+03:00"
    assert told["customers/create"]["updated_at"][-6:] in ("+02:00", "+03:00")


def test_an_app_without_any_approval_hears_of_nobody(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.configure(protected_data=[])
    (person,) = shopify.stand_in.add_customers(OURS, PERSON, webhooks=True)
    shopify.stand_in.act(OURS, person["id"], "redact")
    assert shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7}) == []
    shopify.stand_in.send_webhook(OURS, "products/update", {"id": 7})
    _settled(shopify)
    assert sorted(inbox.topics()) == ["customers/redact", "products/update"]


def test_what_the_app_does_itself_is_told_too(shopify: Shopify, inbox: Inbox) -> None:
    shopify.run(shopify.token(), "customer_create", phone="+306984303402", marketingState="SUBSCRIBED")
    _settled(shopify)
    assert sorted(inbox.topics()) == ["customers/create", "customers_marketing_consent/update"]


def test_personal_data_without_approval_is_null(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.configure(protected_data=["customers"])
    shopify.stand_in.add_customers(OURS, PERSON, webhooks=True)
    _settled(shopify)
    told = json.loads(inbox.arrived[0].body)
    assert [told[each] for each in ("first_name", "last_name", "email", "phone", "default_address")] == [None] * 5
    assert told["id"] > 0


def test_only_topics_that_were_asked_for_come_and_those_of_the_law_always(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.configure(webhook_topics=["customers/delete"])
    (person,) = shopify.stand_in.add_customers(OURS, PERSON, webhooks=True)
    shopify.stand_in.act(OURS, person["id"], "redact")
    shopify.stand_in.act(OURS, person["id"], "delete")
    _settled(shopify)
    assert sorted(inbox.topics()) == ["customers/delete", "customers/redact"]


def test_an_uninstall_is_told_and_then_only_the_redaction(shopify: Shopify, inbox: Inbox) -> None:
    stand_in = shopify.stand_in
    stand_in.behave_webhooks(connections=1)
    stand_in.uninstall(OURS)
    stand_in.add_customers(OURS, PERSON, webhooks=True)
    stand_in.add_customers(THEIRS, PERSON, webhooks=True)
    stand_in.redact_shop(OURS)
    _settled(shopify)
    assert inbox.topics() == ["app/uninstalled", "customers/create", "shop/redact"]
    assert [each.headers["X-Shopify-Shop-Domain"] for each in inbox.arrived] == [OURS, THEIRS, OURS]


def test_new_scopes_are_told(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.install(OURS, ["read_customers", "read_orders"])
    _settled(shopify)
    shopify.stand_in.install(OURS, ["read_customers"])
    _settled(shopify)
    assert inbox.topics() == ["app/scopes_update"] * 2
    told = json.loads(inbox.arrived[1].body)
    assert (told["previous"], told["current"]) == (["read_customers", "read_orders"], ["read_customers"])


def test_what_a_shop_did_not_grant_is_not_told(shopify: Shopify, inbox: Inbox) -> None:
    stand_in = shopify.stand_in
    stand_in.install(OURS, ["read_customers"])
    kept, gone = stand_in.add_customers(OURS, PERSON, {"email": "other@example.com"})
    stand_in.act(OURS, kept["id"], "merge", other=gone["id"])
    assert stand_in.send_webhook(OURS, "orders/create", {"id": 7}) == []
    _settled(shopify)
    assert sorted(inbox.topics()) == ["app/scopes_update", "customers/update"], "a merge has a scope of its own"


# --- misbehaving --------------------------------------------------------------------------------------------------


def test_what_is_not_taken_comes_again_eight_times_in_four_hours(shopify: Shopify, inbox: Inbox) -> None:
    inbox.statuses = [500] * 8
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    minutes = 0
    while (sent := _settled(shopify)[0])["state"] != "delivered":
        assert minutes < 300
        shopify.stand_in.advance(10 * 60)
        minutes += 10
    assert sent["statuses"] == [500] * 8 + [200]
    assert 200 <= minutes <= 280, "what is due between two looks comes a little later"
    assert len({each.headers["X-Shopify-Webhook-Id"] for each in inbox.arrived}) == 1
    assert len({each.body for each in inbox.arrived}) == 1


def test_after_the_eighth_it_is_given_up(shopify: Shopify, inbox: Inbox) -> None:
    inbox.statuses = [500] * 20
    shopify.stand_in.behave_webhooks(retry_scale=0.0)
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    (sent,) = until(
        lambda: [each for each in shopify.stand_in.webhooks() if each["state"] == "abandoned"], "it is given up", 20
    )
    assert sent["statuses"] == [500] * 9


def test_an_app_that_takes_longer_than_five_seconds_has_not_answered(shopify: Shopify, inbox: Inbox) -> None:
    inbox.slowness = [6.0]
    shopify.stand_in.behave_webhooks(retry_scale=0.0)
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    (sent,) = until(
        lambda: [each for each in shopify.stand_in.webhooks() if each["state"] == "delivered"], "the second post", 20
    )
    assert sent["statuses"] == [0, 200]
    assert 4.9 < inbox.arrived[1].at - inbox.arrived[0].at < 6.0


def test_an_answer_in_drops_is_none_once_its_time_is_over(
    shopify: Shopify, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each drop comes in time, all of them don't."""
    monkeypatch.setattr(deliveries, "_ALL_SECONDS", 0.2)
    monkeypatch.setattr(deliveries.http.client.HTTPResponse, "read", lambda *_: time.sleep(0.3) or b"ok")
    sent = deliveries.Delivery("1", "2", "orders/create", OURS, inbox.url, datetime.now(UTC), b"{}")
    assert deliveries.post(sent, SECRET, "2026-10") == (0, "")


def test_an_app_that_is_away_is_tried_again(shopify: Shopify) -> None:
    shopify.stand_in.configure(webhook_url="http://127.0.0.1:9/webhooks/shopify")
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    (sent,) = _settled(shopify)
    assert (sent["state"], sent["statuses"]) == ("waiting", [0])


@pytest.mark.parametrize("signature", ["wrong", "non_ascii", "missing"])
def test_a_forged_one_comes_once_and_proves_nothing(shopify: Shopify, inbox: Inbox, signature: str) -> None:
    inbox.statuses = [401]
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7}, signature=signature)
    (sent,) = _settled(shopify)
    (arrived,) = inbox.arrived
    assert (sent["state"], sent["statuses"]) == ("refused", [401])
    assert not _genuine(arrived)
    given = arrived.headers["X-Shopify-Hmac-Sha256"]
    assert (given is None) == (signature == "missing")
    assert (given is not None and not given.isascii()) == (signature == "non_ascii")


def test_one_can_be_sent_again_and_late(shopify: Shopify, inbox: Inbox) -> None:
    (sent,) = shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    _settled(shopify)
    again = {"webhook_id": sent["webhook_id"], "late": 3600}
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7}, **again)
    _settled(shopify)
    first, second = (each.headers for each in inbox.arrived)
    assert first["X-Shopify-Webhook-Id"] == second["X-Shopify-Webhook-Id"]
    assert second["X-Shopify-Triggered-At"] < first["X-Shopify-Triggered-At"]


def test_held_ones_come_in_the_order_that_is_wanted(shopify: Shopify, inbox: Inbox) -> None:
    for order in ("in_order", "reversed", "shuffled"):
        inbox.arrived.clear()
        shopify.stand_in.behave_webhooks(hold=True, order=order, connections=1, seed=3)
        for number in range(6):
            shopify.stand_in.send_webhook(OURS, "orders/create", {"id": number})
        _settled(shopify)
        assert inbox.arrived == []
        assert shopify.stand_in.flush_webhooks() == 6
        _settled(shopify)
        seen = [json.loads(each.body)["id"] for each in inbox.arrived]
        straight = list(range(6))
        assert seen == {"in_order": straight, "reversed": straight[::-1]}.get(order, seen)
        assert sorted(seen) == straight
        assert (seen == straight) == (order == "in_order")


def test_shares_of_them_are_doubled_forged_and_lost_the_same_for_the_same_seed(shopify: Shopify, inbox: Inbox) -> None:
    def round_of(seed: int) -> list[str]:
        inbox.arrived.clear()
        shopify.stand_in.behave_webhooks(doubled=0.3, forged=0.2, lost=0.2, connections=1, seed=seed)
        before = len(shopify.stand_in.webhooks())
        for number in range(30):
            shopify.stand_in.send_webhook(OURS, "orders/create", {"id": number})
        sent = _settled(shopify)[before:]
        assert {each["state"] for each in sent} == {"delivered", "lost"}  # this app takes forged ones, too
        return [f"{json.loads(each.body)['id']} {_genuine(each)}" for each in inbox.arrived]

    first = round_of(5)
    genuine = [each for each in first if each.endswith("True")]
    assert len(set(genuine)) < len(genuine), "some are doubled"
    assert len(set(first)) > len(set(genuine)), "some are forged"
    assert len({each.split()[0] for each in genuine}) < 30, "some are lost"
    assert round_of(5) == first
    assert round_of(6) != first


def test_a_delay_keeps_them_back(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.behave_webhooks(delay=[60, 60])
    shopify.stand_in.send_webhook(OURS, "orders/create", {"id": 7})
    _settled(shopify)
    assert inbox.arrived == []
    shopify.stand_in.advance(61)
    _settled(shopify)
    assert len(inbox.arrived) == 1

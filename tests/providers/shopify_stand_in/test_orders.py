"""What shoppers buy, and how the app hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blossom.sandbox.shopify.process import StandInError
from tests.providers.shopify_stand_in.conftest import OURS, Inbox, Shopify

SHOPPING: dict[str, Any] = {
    "email": "eleni@example.com",
    "phone": "+306984303401",
    "first_name": "Eleni",
    "last_name": "Papadaki",
    "items": [{"title": "Soap", "price": 450, "quantity": 2}, {"title": "Towel", "price": 1900}],
    "codes": [{"code": "MAY", "amount": 300}],
    "landing_site": "/?utm_source=blossom&utm_campaign=7",
}


@pytest.fixture(autouse=True)
def _in_order(shopify: Shopify) -> None:
    shopify.stand_in.behave_webhooks(connections=1)


def _told(shopify: Shopify, inbox: Inbox) -> list[tuple[str, dict[str, Any]]]:
    assert shopify.stand_in.settle_webhooks(20)
    return [(each.headers["X-Shopify-Topic"], json.loads(each.body)) for each in inbox.arrived]


def test_a_checkout_becomes_an_order_with_its_code_and_where_it_came_from(shopify: Shopify, inbox: Inbox) -> None:
    token = shopify.stand_in.begin_checkout(OURS, **SHOPPING)["token"]
    shopify.stand_in.place_order(OURS, token)
    told = _told(shopify, inbox)
    assert [topic for topic, _ in told] == [
        "checkouts/create",
        "customers/create",
        "checkouts/update",
        "orders/create",
        "orders/paid",
    ]
    (checkout, order, paid) = (told[0][1], told[3][1], told[4][1])
    assert "id" not in checkout
    assert "checkout_id" not in order
    assert order["checkout_token"] == checkout["token"] == token
    assert (order["total_price"], order["total_discounts"]) == ("25.00", "3.00")
    assert order["discount_codes"] == [{"code": "MAY", "amount": "3.00", "type": "fixed_amount"}]
    assert order["landing_site"] == SHOPPING["landing_site"]
    assert (order["financial_status"], paid["financial_status"]) == ("pending", "paid")
    assert told[2][1]["completed_at"]
    person = shopify.stand_in.shop(OURS)["customers"][str(order["customer"]["id"])]
    assert (person["orders"], person["amount_spent"], person["consent"]["state"]) == (1, 2500, "NOT_SUBSCRIBED")


def test_a_yes_at_the_checkout_is_consent_that_shopify_collected(shopify: Shopify, inbox: Inbox) -> None:
    for _ in range(2):  # a stranger, and then somebody who is known
        token = shopify.stand_in.begin_checkout(OURS, **SHOPPING, sms=True)["token"]
        shopify.stand_in.place_order(OURS, token)
    (person,) = shopify.stand_in.shop(OURS)["customers"].values()
    assert (person["consent"]["state"], person["consent"]["collected_from"]) == ("SUBSCRIBED", "SHOPIFY")
    assert person["orders"] == 2
    topics = [topic for topic, _ in _told(shopify, inbox)]
    assert topics.count("customers_marketing_consent/update") == 2


def test_a_checkout_may_change_and_is_bought_once(shopify: Shopify, inbox: Inbox) -> None:
    token = shopify.stand_in.begin_checkout(OURS, items=SHOPPING["items"])["token"]
    shopify.stand_in.begin_checkout(OURS, token, **SHOPPING)
    assert [topic for topic, _ in _told(shopify, inbox)] == ["checkouts/create", "checkouts/update"]
    shopify.stand_in.place_order(OURS, token)
    with pytest.raises(StandInError, match="no open checkout"):
        shopify.stand_in.place_order(OURS, token)
    with pytest.raises(StandInError, match="no open checkout"):
        shopify.stand_in.begin_checkout(OURS, token, **SHOPPING)


def test_what_follows_an_order_is_told(shopify: Shopify, inbox: Inbox) -> None:
    stand_in = shopify.stand_in
    order = stand_in.place_order(OURS, stand_in.begin_checkout(OURS, **SHOPPING)["token"], paid=False)["id"]
    _told(shopify, inbox)
    inbox.arrived.clear()
    stand_in.act_on_order(OURS, order, "pay")
    tracking = {"tracking_number": "RR1", "tracking_url": "https://post.example/RR1", "tracking_company": "ELTA"}
    stand_in.act_on_order(OURS, order, "fulfil", fields=tracking)
    stand_in.act_on_order(OURS, order, "ship", status="delivered")
    stand_in.act_on_order(OURS, order, "refund", amount=500)
    stand_in.act_on_order(OURS, order, "refund", amount=2000)
    told = _told(shopify, inbox)
    assert [topic for topic, _ in told] == [
        "orders/paid",
        "fulfillments/create",
        "orders/fulfilled",
        "fulfillments/update",
        "refunds/create",
        "refunds/create",
    ]
    assert {document.get("order_id", document["id"]) for _, document in told} == {order}
    assert told[1][1]["tracking_numbers"] == ["RR1"]
    assert told[2][1]["fulfillment_status"] == "fulfilled"
    assert told[3][1]["shipment_status"] == "delivered"
    assert told[4][1]["transactions"][0]["amount"] == "5.00"
    assert stand_in.shop(OURS)["orders"][str(order)]["financial_status"] == "refunded"


@pytest.mark.parametrize(("paid", "status"), [(False, "voided"), (True, "paid")])
def test_a_cancelled_order_is_paid_until_it_is_refunded(
    shopify: Shopify, inbox: Inbox, paid: bool, status: str
) -> None:
    token = shopify.stand_in.begin_checkout(OURS, **SHOPPING)["token"]
    order = shopify.stand_in.place_order(OURS, token, paid=paid)["id"]
    shopify.stand_in.act_on_order(OURS, order, "cancel")
    topic, document = _told(shopify, inbox)[-1]
    assert (topic, document["financial_status"]) == ("orders/cancelled", status)
    assert document["cancelled_at"]


def test_an_order_hides_the_person_from_an_app_that_is_not_approved(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.configure(protected_data=["customers"])
    token = shopify.stand_in.begin_checkout(OURS, **SHOPPING, sms=True)["token"]
    order = shopify.stand_in.place_order(OURS, token)["id"]
    shopify.stand_in.act_on_order(OURS, order, "fulfil")
    for topic, document in _told(shopify, inbox):
        said = json.dumps(document)
        assert "Papadaki" not in said, topic
        assert "+3069" not in said, topic
        assert "eleni@" not in said, topic


@pytest.mark.parametrize(
    ("before", "do", "given"),
    [
        ([], "ship", {"status": "delivered"}),
        ([], "refund", {"amount": 2501}),
        ([], "refund", {"amount": 0}),
        ([("refund", {"amount": 500})], "refund", {"amount": 2001}),
        ([], "pay", {}),
        ([("cancel", {})], "cancel", {}),
        ([("cancel", {})], "fulfil", {}),
        ([("fulfil", {})], "fulfil", {}),
        ([("fulfil", {})], "cancel", {}),
        ([], "eat", {}),
    ],
)
def test_what_cannot_be_done_with_an_order_is_said(
    shopify: Shopify, before: list[tuple[str, dict[str, Any]]], do: str, given: dict[str, Any]
) -> None:
    stand_in = shopify.stand_in
    order = stand_in.place_order(OURS, stand_in.begin_checkout(OURS, **SHOPPING)["token"])["id"]
    for done, how in before:
        stand_in.act_on_order(OURS, order, done, **how)
    with pytest.raises(StandInError):
        stand_in.act_on_order(OURS, order, do, **given)


def test_money_that_never_came_does_not_go_back(shopify: Shopify) -> None:
    token = shopify.stand_in.begin_checkout(OURS, **SHOPPING)["token"]
    order = shopify.stand_in.place_order(OURS, token, paid=False)["id"]
    with pytest.raises(StandInError, match="no more than is left"):
        shopify.stand_in.act_on_order(OURS, order, "refund", amount=1)

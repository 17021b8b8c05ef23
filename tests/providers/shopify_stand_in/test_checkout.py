"""Buying on a shop's own site over HTTP: what a shopper meets, and what the app hears of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.providers.shopify_stand_in.conftest import OURS, Inbox, Shopify

SHOPPER = {"email": "eleni@example.com", "phone": "698 430 3401", "first_name": "Eleni", "last_name": "Papadaki"}


@dataclass
class Browser:
    """A shopper's, on the shop's site: keeps cookies, follows what it is sent to there."""

    base: str
    host: str
    cookies: dict[str, str] = field(default_factory=dict)
    at: str = "/"

    def get(self, path: str) -> requests.Response:
        return self._go("GET", path)

    def post(self, path: str, **form: str) -> requests.Response:
        return self._go("POST", path, form)

    def _go(self, method: str, path: str, form: dict[str, str] | None = None) -> requests.Response:
        self.at = path
        headers = {"Host": self.host, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = requests.request(
            method, self.base + path, data=form, headers=headers, allow_redirects=False, timeout=10
        )
        self.cookies |= {name: value or "" for name, value in answer.cookies.items()}
        return self.get(answer.headers["Location"]) if answer.is_redirect else answer


@pytest.fixture
def browser(shopify: Shopify) -> Browser:
    shopify.stand_in.reset(
        app={"api_key": "the-app", "secret": "the secret"},
        shops=[{"domain": OURS, "name": "Ours & Co", "discounts": {"MAY": 300}}],
    )
    shopify.stand_in.install(OURS)
    return Browser(shopify.stand_in.url, "ours.storefront.test")


def told(shopify: Shopify, inbox: Inbox) -> list[tuple[str, dict[str, Any]]]:
    assert shopify.stand_in.settle_webhooks(20)
    return [(each.headers["X-Shopify-Topic"], json.loads(each.body)) for each in inbox.arrived]


def people(shopify: Shopify) -> list[dict[str, Any]]:
    return list(shopify.stand_in.shop(OURS)["customers"].values())


def test_a_shopper_buys_with_a_code_says_yes_to_texts_and_the_app_hears_all_of_it(
    browser: Browser, shopify: Shopify, inbox: Inbox
) -> None:
    shopify.stand_in.behave_webhooks(connections=1)
    home = browser.get("/?utm_source=blossom&utm_campaign=7")
    assert "Olive soap" in home.text
    browser.get("/?locale=el")
    assert "Ours &amp; Co" in browser.post("/cart", product="olive-soap", quantity="2").text
    applied = browser.post(browser.at, do="apply", code="may", **SHOPPER, sms="yes")
    assert "EUR 6.00" in applied.text
    done = browser.post(browser.at, do="pay", code="may", **SHOPPER, sms="yes")
    assert "Your order #1001 is paid" in done.text

    heard = told(shopify, inbox)
    assert [topic for topic, _ in heard] == [
        "checkouts/create",
        "checkouts/update",
        "checkouts/update",
        "customers/create",
        "customers_marketing_consent/update",
        "checkouts/update",
        "orders/create",
        "orders/paid",
    ]
    order = heard[6][1]
    assert order["landing_site"] == "/?utm_source=blossom&utm_campaign=7"
    assert order["discount_codes"] == [{"code": "MAY", "amount": "3.00", "type": "fixed_amount"}]
    assert (order["total_price"], order["email"], order["phone"]) == ("6.00", "eleni@example.com", "+306984303401")
    (person,) = people(shopify)
    assert (person["last_name"], person["orders"], person["amount_spent"]) == ("Papadaki", 1, 600)
    assert (person["consent"]["state"], person["consent"]["collected_from"]) == ("SUBSCRIBED", "SHOPIFY")


def test_pressed_twice_it_is_bought_once(browser: Browser, shopify: Shopify) -> None:
    browser.post("/cart", product="olive-soap")
    checkout = browser.at
    for _ in range(2):
        assert "Your order #1001 is paid" in browser.post(checkout, do="pay", **SHOPPER).text
    assert len(shopify.stand_in.shop(OURS)["orders"]) == 1
    assert people(shopify)[0]["consent"]["state"] == "NOT_SUBSCRIBED", "no tick, no consent"


def test_what_is_wrong_stands_beside_what_was_typed_and_nothing_is_bought(browser: Browser, shopify: Shopify) -> None:
    browser.post("/cart", product="linen-towel")
    answer = browser.post(browser.at, do="pay", email="<eleni@", phone="12", code="NOPE", sms="yes")
    assert answer.status_code == 422
    faults = re.findall(r'class="fault" id="(\w+)-fault">(.*?)<', answer.text)
    assert dict(faults) == {
        "email": "Enter a valid e-mail address",
        "phone": "Enter a valid phone number",
        "last_name": "Enter a last name",
        "code": "Enter a valid discount code",
    }
    assert 'value="&lt;eleni@"' in answer.text
    assert "checked" in answer.text
    answer = browser.post(browser.at, do="pay", last_name="Papadaki")
    assert "Enter an e-mail address or a phone number" in answer.text
    answer = browser.post(browser.at, do="pay", last_name="Papadaki", email="eleni@example.com", sms="yes")
    assert "Enter the phone number for the texts" in answer.text
    assert shopify.stand_in.shop(OURS)["orders"] == {}
    assert people(shopify) == []


def test_a_link_keeps_its_code_for_the_checkout_and_goes_nowhere_else(browser: Browser, shopify: Shopify) -> None:
    home = browser.get("/discount/MAY?redirect=/%3Futm_source=sms")
    assert "Olive soap" in home.text
    assert 'value="MAY"' in browser.post("/cart", product="thyme-honey").text
    (checkout,) = shopify.stand_in.shop(OURS)["checkouts"].values()
    assert (checkout["landing_site"], checkout["total_price"]) == ("/?utm_source=sms", "9.50")
    assert checkout["abandoned_checkout_url"].endswith(f"{browser.at}/recover")
    assert "Checkout" in browser.get(f"{browser.at}/recover").text
    for elsewhere in ("https://evil.test/", "//evil.test/", "/\\evil.test", "/%09/evil.test", "/%0a/evil.test"):
        browser.get(f"/discount/MAY?redirect={elsewhere}")
        assert browser.at == "/"


def test_where_there_is_nothing_to_buy_nothing_is_bought(browser: Browser, shopify: Shopify) -> None:
    for product, quantity in (("gold", "1"), ("olive-soap", "0"), ("olive-soap", "10"), ("olive-soap", "1" * 5000)):
        assert browser.post("/cart", product=product, quantity=quantity).status_code == 400
    assert browser.get("/checkouts/none").status_code == 404
    assert browser.post("/checkouts/none", do="pay", **SHOPPER).status_code == 404
    browser.host = "nobody.storefront.test"
    assert browser.post("/cart", product="olive-soap").status_code == 400
    assert shopify.stand_in.shop(OURS)["checkouts"] == {}


def test_a_shop_that_does_not_ask_for_consent_gets_none(browser: Browser, shopify: Shopify) -> None:
    shopify.stand_in.reset(shops=[{"domain": OURS, "consent_at_checkout": False}])
    assert "news and offers" not in browser.post("/cart", product="olive-soap").text
    browser.post(browser.at, do="pay", **SHOPPER, sms="yes")
    assert people(shopify)[0]["consent"]["state"] == "NOT_SUBSCRIBED"


@pytest.mark.parametrize(
    ("had", "has", "state"),
    [(None, "+306984303401", "SUBSCRIBED"), ("+306984303402", "+306984303402", "NOT_SUBSCRIBED")],
)
def test_consent_is_the_numbers_that_was_typed(
    browser: Browser, shopify: Shopify, had: str | None, has: str, state: str
) -> None:
    """Of a customer who is known by the e-mail: one without a number gets it, another number is no part of the yes."""
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com", "phone": had})
    browser.post("/cart", product="olive-soap")
    browser.post(browser.at, do="pay", **SHOPPER, sms="yes")
    (person,) = people(shopify)
    assert (person["phone"], person["consent"]["state"]) == (has, state)

"""The page on which a merchant approves or declines a charge, and what the app hears of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from blossom.sandbox.shopify.process import StandInError
from tests.providers.shopify_stand_in.conftest import KEY, OURS, Inbox, Shopify

PACK: dict[str, Any] = {"name": "10,000 credits", "amount": 4900, "return_url": "http://app.test/credits?pack=2"}
PLAN = PACK | {"name": "Growth", "interval": "EVERY_30_DAYS", "capped_amount": 50_000, "terms": "by country"}


def page(shopify: Shopify, url: str, answer: str | None = None) -> requests.Response:
    """The confirmation page as a browser gets it, or with an `answer` what its button leads to."""
    parts = urlsplit(url)
    return requests.request(
        "GET" if answer is None else "POST",
        f"{shopify.stand_in.url}{parts.path}?{parts.query}",
        data=None if answer is None else {"answer": answer},
        headers={"Host": parts.netloc},
        allow_redirects=False,
        timeout=10,
    )


def told(shopify: Shopify, inbox: Inbox) -> list[tuple[str, str]]:
    assert shopify.stand_in.settle_webhooks(20)
    found = [(each.headers["X-Shopify-Topic"], json.loads(each.body)) for each in inbox.arrived]
    return [(topic, next(iter(document.values()))["status"]) for topic, document in found]


def status(shopify: Shopify, charge: dict[str, Any]) -> str:
    return str(shopify.stand_in.shop(OURS)["charges"][str(charge["id"])]["status"])


def test_an_approved_charge_goes_back_to_the_app_with_its_id(shopify: Shopify, inbox: Inbox) -> None:
    charge = shopify.stand_in.charge(OURS, **PACK, test=True)
    assert charge["confirmation_url"].startswith("http://admin.shopify.test:")
    shown = page(shopify, charge["confirmation_url"])
    for words in ("Blossom", "10,000 credits", "USD 49.00", "once", "test charge", "Approve", "Decline"):
        assert words in shown.text
    assert status(shopify, charge) == "PENDING", "to look decides nothing"

    answer = page(shopify, charge["confirmation_url"], "approve")
    assert answer.headers["Location"] == f"http://app.test/credits?pack=2&charge_id={charge['id']}"
    assert status(shopify, charge) == "ACTIVE"
    assert told(shopify, inbox) == [("app_purchases_one_time/update", "ACTIVE")]


def test_a_declined_charge_leads_to_the_app_in_the_admin(shopify: Shopify, inbox: Inbox) -> None:
    charge = shopify.stand_in.charge(OURS, **PACK)
    answer = page(shopify, charge["confirmation_url"], "decline")
    assert answer.headers["Location"] == f"/store/ours/apps/{KEY}/"
    assert told(shopify, inbox) == [("app_purchases_one_time/update", "DECLINED")]


def test_what_is_decided_stays_so(shopify: Shopify, inbox: Inbox) -> None:
    charge = shopify.stand_in.charge(OURS, **PACK)
    page(shopify, charge["confirmation_url"], "decline")
    again = page(shopify, charge["confirmation_url"], "approve")
    assert again.status_code == 409
    assert "This charge is declined" in again.text
    assert 'value="approve"' not in page(shopify, charge["confirmation_url"]).text
    assert status(shopify, charge) == "DECLINED"
    assert len(told(shopify, inbox)) == 1


def test_a_charge_that_nobody_decides_ends_after_two_days(shopify: Shopify, inbox: Inbox) -> None:
    charge = shopify.stand_in.charge(OURS, **PACK)
    shopify.stand_in.advance(2 * 86_400 + 60)
    assert page(shopify, charge["confirmation_url"], "approve").status_code == 409
    assert told(shopify, inbox) == [("app_purchases_one_time/update", "EXPIRED")]


def test_a_new_subscription_takes_the_place_of_the_one_before(shopify: Shopify, inbox: Inbox) -> None:
    shopify.stand_in.behave_webhooks(connections=1)
    charges = [shopify.stand_in.charge(OURS, **PLAN) for _ in range(2)]
    shown = page(shopify, charges[0]["confirmation_url"]).text
    assert "every 30 days" in shown
    assert "up to USD 500.00" in shown
    for charge in charges:
        page(shopify, charge["confirmation_url"], "approve")
    assert [status(shopify, charge) for charge in charges] == ["CANCELLED", "ACTIVE"]
    topic = "app_subscriptions/update"
    assert told(shopify, inbox) == [(topic, "ACTIVE"), (topic, "CANCELLED"), (topic, "ACTIVE")]


def test_only_the_address_that_was_given_opens_it(shopify: Shopify) -> None:
    charge = shopify.stand_in.charge(OURS, **PACK)
    url = charge["confirmation_url"]
    for wrong in (url[:-1] + "x", url.partition("?")[0], url.replace("/ours/", "/theirs/"), url + "é"):
        assert page(shopify, wrong, "approve").status_code == 404
    assert page(shopify, url, "perhaps").status_code == 400
    assert status(shopify, charge) == "PENDING"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"amount": 49}, "0.50"),
        ({"amount": "9.00"}, "0.50"),
        ({"name": " "}, "blank"),
        ({"return_url": "javascript:alert(1)"}, "Return url"),
        ({"interval": "WEEKLY"}, "EVERY_30_DAYS"),
        ({"price": 1}, "no price"),
        ({"trial_days": 14}, "paid once has no trial_days"),
        ({"interval": "ANNUAL", "capped_amount": 500}, "terms"),
        ({"interval": "ANNUAL", "capped_amount": "500", "terms": "by country"}, "hundredths"),
        ({"currency": "euro"}, "three letters"),
    ],
)
def test_a_charge_that_shopify_refuses_is_refused(shopify: Shopify, change: dict[str, Any], told: str) -> None:
    with pytest.raises(StandInError, match=told):
        shopify.stand_in.charge(OURS, **(PACK | change))

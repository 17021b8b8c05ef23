"""The shop at Shopify's stand-in that the demo installs Blossom in, and the app as `shopify.app.toml` describes it."""

from __future__ import annotations

import csv
import secrets
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers

from blossom.sandbox.demo.processes import CHECKOUT

DOMAIN = "blossom-demo.myshopify.com"
HANDLE = DOMAIN.partition(".")[0]
NAME = "Blossom Demo"
CODE = "SUMMER"

# Browsers know by themselves that these lead to this machine. To them each is a site of its own, and so is the app's
# 127.0.0.1: it is framed across sites, as at Shopify.
HOSTS = {"admin": "admin.localhost", "storefronts": "storefront.localhost"}

SEGMENTS = {
    "Customers_in_Greece": "customer_countries CONTAINS 'GR'",
    "Customers_who_have_purchased_more_than_once": "number_of_orders > 1",
    "Big_spenders_who_agreed_to_texts": "amount_spent >= 200 AND sms_subscription_status = 'SUBSCRIBED'",
}
"""As a merchant has them at Shopify."""

MESSAGE = 'Hi {{ first_name | default: "there" }}, 4 EUR off until Sunday: %s No more texts: {{ opt_out_link }}'

_CONSENT = {"yes": "SUBSCRIBED", "unsubscribed": "UNSUBSCRIBED"}


def configuration(app_url: str) -> dict[str, Any]:
    """For the stand-in: the app of `shopify.app.toml`, which answers at `app_url`, and a shop without customers."""
    return {
        "app": _app(app_url),
        "hosts": HOSTS,
        "shops": [
            {
                "domain": DOMAIN,
                "name": NAME,
                "email": "hello@blossom-demo.example",
                "timezone": "Europe/Athens",
                "country": "GR",
                "discounts": {CODE: 400},
            }
        ],
    }


def message(storefront: str) -> str:
    """A campaign's text with a link to the shop's site that brings its code along."""
    return MESSAGE % f"{storefront}discount/{CODE}?redirect=/%3Futm_source=blossom"


def _app(app_url: str) -> dict[str, Any]:
    told = tomllib.loads((CHECKOUT / "shopify.app.toml").read_text(encoding="utf-8"))
    subscribed = told["webhooks"]["subscriptions"]
    proxy = told["app_proxy"]
    return {
        "api_key": told["client_id"],
        "secret": secrets.token_hex(16),
        "name": told["name"],
        "handle": told["handle"],
        "scopes": told["access_scopes"]["scopes"].split(","),
        "api_version": told["webhooks"]["api_version"],
        "app_url": app_url,
        "redirect_urls": [_here(told, url, app_url) for url in told["auth"]["redirect_urls"]],
        "webhook_url": app_url + subscribed[0]["uri"],
        "webhook_topics": [topic for each in subscribed for topic in each.get("topics", [])],
        "proxy_url": _here(told, proxy["url"], app_url),
        "proxy_prefix": proxy["prefix"],
        "proxy_subpath": proxy["subpath"],
    }


def _here(told: dict[str, Any], url: str, app_url: str) -> str:
    """An address of the app's, on this machine."""
    return url.replace(told["application_url"], app_url, 1)


def customers(file: Path) -> list[dict[str, Any]]:
    """The people of a customer export as Shopify has them: a phone is E.164, of one customer, or there is none."""
    found, phones = [], set()
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            phone = _e164(row["Phone"], row["Default Address Country Code"])
            if phone in phones:
                phone = None
            phones.add(phone)
            person: dict[str, Any] = {name: value for name, value in _facts(row) if value}
            if not person.keys() & {"first_name", "last_name", "email"} and phone is None:
                continue  # Shopify has no customer of whom nothing is known
            person |= {"phone": phone, "tags": row["Tags"].split(", ") if row["Tags"] else []}
            person |= {"orders": int(row["Total Orders"]), "amount_spent": round(float(row["Total Spent"]) * 100)}
            if phone and (state := _CONSENT.get(row["Accepts SMS Marketing"])):
                person["consent"] = {"state": state, "collected_from": "SHOPIFY"}
            found.append(person)
    return found


def _facts(row: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "first_name", row["First Name"]
    yield "last_name", row["Last Name"]
    yield "email", row["Email"]
    yield "country", row["Default Address Country Code"]


def _e164(written: str, country: str) -> str | None:
    try:
        number = phonenumbers.parse(written.lstrip("'"), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

"""A customer as Shopify's GraphQL tells it (fragment CustomerFacts of shopify/operations), as a person. Pure.

Whatever is missing, redacted or odd is left out: one customer never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import people, phones, zones
from blossom.contacts.rules.people import Person

_GID = re.compile(r"gid://shopify/Customer/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class SmsConsent:
    """What Shopify says of a phone: its word for the state, how it was given, since when (aware) and where."""

    state: str
    level: str | None
    updated_at: datetime | None
    collected_from: str | None


@dataclass(frozen=True, slots=True)
class Customer:
    """`person` is None without a phone that can be texted; `refused` then says why, if there was one. `consent` is
    that phone's."""

    id: int
    updated_at: datetime
    person: Person | None
    refused: str | None
    consent: SmsConsent | None


def customer_gid(customer_id: int) -> str:
    return f"gid://shopify/Customer/{customer_id}"


def customer_number(gid: Any) -> int | None:
    """The number in a customer's id of GraphQL, or None."""
    matched = _GID.fullmatch(gid) if isinstance(gid, str) else None
    return int(matched.group(1)) if matched else None


def read_customer(facts: Mapping[str, Any], *, default_country: str, shop_zone: str) -> Customer | None:
    """None for what is no customer: without an id or the time of its last change."""
    customer_id, updated_at = customer_number(facts.get("id")), _moment(facts.get("updatedAt"))
    if customer_id is None or updated_at is None:
        return None
    number = _part(facts, "defaultPhoneNumber")
    raw = number.get("phoneNumber") or ""
    if not raw:
        return Customer(customer_id, updated_at, None, None, None)
    address = _part(facts, "defaultAddress")
    country = zones.country_of(address.get("countryCodeV2") or "")
    try:
        phone = phones.normalise_phone(raw, country or default_country)
    except PhoneRefused as refused:
        return Customer(customer_id, updated_at, None, refused.code, None)
    own_zone = address.get("timeZone")  # of the address: nobody said that they live by it
    zone, _ = zones.zone_of(own=None, country=country, province=None, phone=phone, shop_zone=shop_zone)
    person = Person(
        phone=phone,
        first_name=_name(facts.get("firstName")),
        last_name=_name(facts.get("lastName")),
        email=people.email_of(_part(facts, "defaultEmailAddress").get("emailAddress") or ""),
        country=country or phone.country,
        zone=own_zone if own_zone in zones.known_zones() else zone,
        locale=people.locale_of(facts.get("locale") or ""),
        tags=people.clean_tags(facts.get("tags") or ()),
        total_spent_minor=_minor(_part(facts, "amountSpent").get("amount")),
        orders_count=_count(facts.get("numberOfOrders")),
        shopify_customer_id=customer_id,
    )
    return Customer(customer_id, updated_at, person, None, _consent(_part(number, "smsMarketingConsent")))


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, Mapping) else {}


def _consent(facts: Mapping[str, Any]) -> SmsConsent | None:
    if not facts.get("state"):
        return None
    return SmsConsent(
        facts["state"], facts.get("optInLevel"), _moment(facts.get("updatedAt")), facts.get("collectedFrom")
    )


def _name(given: str | None) -> str | None:
    name = people.one_line(given or "")
    return name if name is None or len(name) <= people.NAME_LIMIT else None


def _moment(given: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def _minor(amount: Any) -> int:
    """Hundredths of a decimal amount."""
    try:
        value = int((Decimal(amount) * 100).to_integral_value())
    except (InvalidOperation, TypeError, ValueError, OverflowError):
        return 0
    return value if abs(value) < 10**18 else 0


def _count(given: Any) -> int:
    text = str(given)
    return min(int(text), 2**31 - 1) if text.isascii() and text.isdigit() and len(text) < 19 else 0

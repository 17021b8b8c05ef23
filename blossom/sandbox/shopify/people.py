"""What happens to a shop's customers, whoever causes it (the app, the merchant, a checkout), with its webhooks.

Each function wants the lock held. What can't be done is `PersonError`, which GraphQL answers as a userError.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime
from typing import Any

from blossom.sandbox.shopify import payloads
from blossom.sandbox.shopify.customers import OPT_IN_LEVELS, STATES, Consent, Customer
from blossom.sandbox.shopify.deliveries import Delivery
from blossom.sandbox.shopify.state import Shop, State

SETTABLE = ("PENDING", "SUBSCRIBED", "UNSUBSCRIBED")
"""Consent states that a caller may set; the others are Shopify's own."""

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_GIVEN = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "locale",
    "tags",
    "country",
    "timezone",
    "orders",
    "amount_spent",
)


_KNOWN_BY = ("first_name", "last_name", "email", "phone")
_MAY_BE_EMPTY = (*_KNOWN_BY, "country")


class PersonError(ValueError):
    """`field` is the input's, `code` one of CustomerSmsMarketingConsentErrorCode."""

    def __init__(self, field: str, message: str, code: str = "INVALID") -> None:
        super().__init__(message)
        self.field, self.code = field, code


def create(state: State, shop: Shop, given: dict[str, Any], *, silent: bool = False) -> Customer:
    """A new customer of `given` (fields of `Customer`; `consent` with fields of `Consent`). `silent`: no webhook."""
    given = dict(given)
    consent = given.pop("consent", None)
    now = state.now()
    fields = _fit(shop, given, None)
    if not any(fields.get(each) for each in _KNOWN_BY):
        raise PersonError("input", "Customer must have a name, phone number or email address")
    person = Customer(given.pop("id", None) or state.next_id(), now, now, **fields)
    if consent is not None:
        _consent(person, consent, now)
    if person.id in shop.customers:
        raise PersonError("id", "Id has already been taken")
    shop.customers[person.id] = person
    shop.note_reach(person)
    if not silent:
        _tell(state, shop, "customers/create", person)
        if consent is not None:
            _tell_consent(state, shop, person)
    return person


def update(state: State, shop: Shop, person: Customer, given: dict[str, Any]) -> None:
    """Change fields; None empties `first_name`, `last_name`, `email`, `phone` or `country`. Without a phone there is no
    consent."""
    fields = _fit(shop, given, person) | {name: None for name in _MAY_BE_EMPTY if name in given and given[name] is None}
    if not any(fields.get(each, getattr(person, each)) for each in _KNOWN_BY):
        raise PersonError("input", "Customer must have a name, phone number or email address")
    for name, value in fields.items():
        setattr(person, name, value)
    if person.phone is None:
        person.consent = Consent()
    shop.note_reach(person)
    person.updated_at = state.now()
    _tell(state, shop, "customers/update", person)


def set_consent(state: State, shop: Shop, person: Customer, given: dict[str, Any]) -> None:
    """Change consent. What is older than the consent on record changes nothing, as what counts is the newest."""
    before = dataclasses.replace(person.consent)
    _consent(person, given, state.now())
    if person.consent != before:
        person.updated_at = state.now()
        _tell(state, shop, "customers/update", person)
        _tell_consent(state, shop, person)


def delete(state: State, shop: Shop, person: Customer) -> None:
    """Remove the customer."""
    del shop.customers[person.id]
    state.deliveries.emit(shop, "customers/delete", payloads.deleted(person))


def merge(state: State, shop: Shop, kept: Customer, gone: Customer) -> None:
    """Make one of two: `kept` gets what it lacks, and the sums; `gone` is no more."""
    if kept is gone:
        raise PersonError("id", "Two customers are wanted")
    del shop.customers[gone.id]
    if kept.phone is None:
        kept.phone, kept.consent = gone.phone, gone.consent
    kept.email = kept.email or gone.email
    shop.note_reach(kept)
    kept.tags = sorted({*kept.tags, *gone.tags})
    kept.orders += gone.orders
    kept.amount_spent += gone.amount_spent
    kept.updated_at = state.now()
    state.deliveries.emit(shop, "customers/merge", payloads.merged(kept, gone))
    _tell(state, shop, "customers/update", kept)


def request_data(state: State, shop: Shop, person: Customer) -> None:
    """A person has asked for what is held on them."""
    _comply(state, shop, "customers/data_request", person)


def redact(state: State, shop: Shop, person: Customer) -> None:
    """Erase a person, and tell the app to."""
    _comply(state, shop, "customers/redact", person)
    person.first_name = person.last_name = person.email = person.phone = None
    person.consent = Consent("REDACTED")
    person.updated_at = state.now()


def redact_shop(state: State, shop: Shop) -> list[Delivery]:
    """Tell the app to erase the shop."""
    return _comply(state, shop, "shop/redact", None)


def _comply(state: State, shop: Shop, topic: str, person: Customer | None) -> list[Delivery]:
    orders = [
        each["id"]
        for each in shop.orders.values()
        if person is not None and (each.get("customer") or {}).get("id") == person.id
    ]
    document = payloads.compliance(shop.id, shop.domain, person, orders, topic)
    return state.deliveries.emit(shop, topic, document)


def _fit(shop: Shop, given: dict[str, Any], person: Customer | None) -> dict[str, Any]:
    """The given fields in their own form. `PersonError` for one that can't be, or that another customer has."""
    unknown = sorted(set(given) - {*_GIVEN, "id"})
    if unknown:
        raise PersonError(unknown[0], f"A customer has no {', '.join(unknown)}")
    fields = {name: value for name, value in given.items() if name in _GIVEN and value is not None}
    if "phone" in fields:
        fields["phone"] = re.sub(r"[ ().-]", "", fields["phone"])
        if not _PHONE.fullmatch(fields["phone"]):
            raise PersonError("phone", "Phone is invalid")
    if "email" in fields and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", fields["email"]):
        raise PersonError("email", "Email is invalid")
    for name in ("phone", "email"):
        if name in fields and shop.reached_by(name, fields[name]) not in (None, person):
            raise PersonError(name, f"{name.capitalize()} has already been taken")
    return fields


def _consent(person: Customer, given: dict[str, Any], now: datetime) -> None:
    state, level = given.get("state", "SUBSCRIBED"), given.get("level") or "SINGLE_OPT_IN"
    if person.phone is None:
        raise PersonError("smsMarketingConsent", "A phone number is required to set the SMS consent state.")
    if state not in STATES or state not in SETTABLE:
        raise PersonError("marketingState", f"{state} can't be set", "INCLUSION")
    if level not in OPT_IN_LEVELS:
        raise PersonError("marketingOptInLevel", f"{level} is no opt-in level", "INCLUSION")
    at = given.get("updated_at") or now
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    if person.consent.updated_at is None or at >= person.consent.updated_at:
        person.consent = Consent(state, level, at, given.get("collected_from", "OTHER"))


def _tell(state: State, shop: Shop, topic: str, person: Customer) -> None:
    state.deliveries.emit(
        shop, topic, payloads.customer(person, shop.currency, shop.timezone, state.app.protected_data)
    )


def _tell_consent(state: State, shop: Shop, person: Customer) -> None:
    topic = "customers_marketing_consent/update"
    state.deliveries.emit(shop, topic, payloads.consent(person, shop.timezone, state.app.protected_data))

"""One contact, with all that a merchant may know of them."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.consent import queries as consent
from blossom.consent.rules import Proof, Purpose
from blossom.contacts import queries as contacts
from blossom.contacts.models import Contact
from blossom.customers import queries as customers
from blossom.customers.rules import Push
from blossom.shops import queries as shops
from blossom.shops.models import Shop


@dataclass(frozen=True)
class Person:
    """One contact, with all that is known of their consent. `marketing`, `orders`: whether they may be texted, and if
    not, why not. `push`: how far Shopify knows; None: there was never anything to tell. `linked`: whether the shop has
    ever been connected to Shopify."""

    contact: Contact
    shop: Shop
    proof: Proof
    marketing: tuple[bool, str | None]
    orders: tuple[bool, str | None]
    push: Push | None
    linked: bool


def person(shop_id: int, contact_id: int) -> Person:
    """Raises `NotFound`."""
    contact = contacts.contact(shop_id, contact_id)
    phone_hash = contact.phone_hash
    return Person(
        contact=contact,
        shop=shops.get_shop(shop_id),
        proof=consent.proof(shop_id, contact_id),
        marketing=consent.may_text(shop_id, phone_hash, Purpose.MARKETING),
        orders=consent.may_text(shop_id, phone_hash, Purpose.TRANSACTIONAL),
        push=customers.push_of(shop_id, phone_hash) if phone_hash is not None else None,
        linked=shops.installation(shop_id) is not None,
    )

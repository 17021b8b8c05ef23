from __future__ import annotations

from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.contacts.models import Contact
from blossom.shops.models import Shop
from tests.factories.contacts import create_contact


def create_subscriber(shop: Shop, **overrides: object) -> Contact:
    """A contact who agreed at the checkout."""
    contact = create_contact(shop, **overrides)  # type: ignore[arg-type]
    opt_in(contact)
    return contact


def opt_in(contact: Contact) -> None:
    assert contact.phone_hash is not None
    consent.opt_in(contact.shop_id, contact.phone_hash, source=Source.CHECKOUT, contact_id=contact.id, wording="Yes")


def opt_out(contact: Contact) -> None:
    assert contact.phone_hash is not None
    consent.opt_out(contact.shop_id, contact.phone_hash, source=Source.KEYWORD, contact_id=contact.id)

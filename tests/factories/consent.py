from __future__ import annotations

from blossom.consent import service as consent
from blossom.consent.rules import Deed, Source
from blossom.contacts.models import Contact
from blossom.shops.models import Shop
from tests.factories.contacts import create_contact, create_contacts


def create_subscriber(shop: Shop, **overrides: object) -> Contact:
    """A contact who agreed at the checkout."""
    contact = create_contact(shop, **overrides)  # type: ignore[arg-type]
    opt_in(contact)
    return contact


def create_subscribers(shop: Shop, number: int, **overrides: object) -> list[Contact]:
    """So many of them, each with a number of their own; quicker than one after the other."""
    people = create_contacts(shop, number, **overrides)
    steps = [
        consent.Step(each.phone_hash or b"", Deed.OPT_IN, Source.CHECKOUT, each.id, wording="Yes") for each in people
    ]
    assert all(change.changed for change in consent.apply(shop.id, steps))
    return people


def opt_in(contact: Contact) -> None:
    assert contact.phone_hash is not None
    consent.opt_in(contact.shop_id, contact.phone_hash, source=Source.CHECKOUT, contact_id=contact.id, wording="Yes")


def opt_out(contact: Contact) -> None:
    assert contact.phone_hash is not None
    consent.opt_out(contact.shop_id, contact.phone_hash, source=Source.KEYWORD, contact_id=contact.id)

from __future__ import annotations

from itertools import count
from typing import Any

from blossom.contacts.models import Contact
from blossom.platform import clock, crypto, gsm
from blossom.platform.db import session
from blossom.shops.models import Shop

_numbers = count(1)


def a_phone() -> str:
    """A valid Greek mobile that no other call of this run has given."""
    return f"+3069{next(_numbers):08d}"


def create_contact(shop: Shop, *, phone: str | None = "", **overrides: Any) -> Contact:
    """A person with a Greek mobile of their own (`phone=None`: without any) and a name."""
    contact = _contact(shop, phone=phone, **overrides)
    session.add(contact)
    session.flush()
    return contact


def create_contacts(shop: Shop, number: int, **overrides: Any) -> list[Contact]:
    """So many people, each with a number of their own; quicker than one after the other."""
    people = [_contact(shop, phone="", **overrides) for _ in range(number)]
    session.add_all(people)
    session.flush()
    return people


def _contact(shop: Shop, *, phone: str | None, **overrides: Any) -> Contact:
    phone = a_phone() if phone == "" else phone
    first_name, last_name = overrides.pop("first_name", "Eleni"), overrides.pop("last_name", None)
    values: dict[str, Any] = {
        "phone_country": None if phone is None else "GR",
        "country": "GR",
        "zone": "Europe/Athens",
        "created_at": clock.now(),
        "updated_at": clock.now(),
        **overrides,
    }
    contact = Contact(shop_id=shop.id, **values)
    contact.phone = phone
    contact.phone_hash = None if phone is None else crypto.for_shop(shop.id).lookup(phone)
    contact.first_name, contact.first_name_size = first_name, gsm.signed_size(first_name or "")
    contact.last_name, contact.last_name_size = last_name, gsm.signed_size(last_name or "")
    return contact

"""People who come to a shop by consenting."""

from __future__ import annotations

from blossom.contacts import service as contacts
from blossom.contacts.rules import Person, Phone, zones
from blossom.shops import queries as shops


def contact_for(shop_id: int, phone: Phone, locale: str | None = None) -> int:
    """The contact with this number: made if there is none yet, left as it is otherwise. Only contacts are audiences."""
    shop = shops.get_shop(shop_id)
    zone, _ = zones.zone_of(own=None, country=None, province="", phone=phone, shop_zone=shop.timezone)
    person = Person(phone=phone, country=phone.country, zone=zone, locale=locale)
    (saved,) = contacts.save_people(shop_id, [person], given=())
    return saved.contact_id

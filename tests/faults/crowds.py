"""Many people at once: a campaign of thousands must not take longer to prepare than to send."""

from __future__ import annotations

from sqlalchemy import insert, text

from blossom.contacts.models import Contact
from blossom.platform import clock, crypto, db, gsm
from blossom.shops.models import Shop
from tests.factories.contacts import a_phone

_NAMES = ("Eleni", "Νίκος", "Maria", "Jo")

_AGREE = text("""
INSERT INTO consents (shop_id, phone_hash, state, changed_at, source, contact_id)
SELECT shop_id, phone_hash, 'opted_in', created_at, 'checkout', id FROM contacts WHERE shop_id = :shop_id
ON CONFLICT DO NOTHING
""")


def subscribe(shop: Shop, number: int) -> list[str]:
    """So many people who agreed to this shop's texts, in a transaction of their own; their phones."""
    cipher, now = crypto.for_shop(shop.id), clock.now()
    phones = [a_phone() for _ in range(number)]
    rows = []
    for place, phone in enumerate(phones):
        name = _NAMES[place % len(_NAMES)]
        rows.append(
            {
                "shop_id": shop.id,
                "phone_sealed": cipher.seal(phone, "phone"),
                "phone_hash": cipher.lookup(phone),
                "phone_country": "GR",
                "first_name_sealed": cipher.seal(name, "first_name"),
                "first_name_size": gsm.signed_size(name),
                "country": "GR",
                "zone": "Europe/Athens",
                "created_at": now,
                "updated_at": now,
            }
        )
    with db.transaction() as session:
        session.execute(insert(Contact), rows)
        session.execute(_AGREE, {"shop_id": shop.id})
    return phones

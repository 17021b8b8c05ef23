"""Many people at once, as an import leaves them: one at a time would take seconds."""

from __future__ import annotations

from sqlalchemy import insert

from blossom.consent.models import Consent
from blossom.consent.rules import Source, State
from blossom.contacts.models import Contact
from blossom.platform import clock, crypto, gsm
from blossom.platform.db import session
from blossom.shops.models import Shop

PREFIX = "+30698"


def create_crowd(shop: Shop, people: int, first_name: str = "Anna") -> list[str]:
    """So many who agreed, in Greece, all of this name. Their numbers, in order."""
    cipher, now = crypto.for_shop(shop.id), clock.now()
    phones = [f"{PREFIX}{number:07d}" for number in range(people)]
    person = {
        "shop_id": shop.id,
        "phone_country": "GR",
        "country": "GR",
        "zone": "Europe/Athens",
        "created_at": now,
        "updated_at": now,
        "first_name_sealed": cipher.seal(first_name, "first_name"),
        "first_name_size": gsm.signed_size(first_name),
    }
    agreed = {"shop_id": shop.id, "state": State.OPTED_IN.value, "changed_at": now, "source": Source.IMPORT.value}
    hashes = [cipher.lookup(phone) for phone in phones]
    session.execute(
        insert(Contact),
        [
            {**person, "phone_sealed": cipher.seal(phone, "phone"), "phone_hash": phone_hash}
            for phone, phone_hash in zip(phones, hashes, strict=True)
        ],
    )
    session.execute(insert(Consent), [{**agreed, "phone_hash": phone_hash} for phone_hash in hashes])
    return phones

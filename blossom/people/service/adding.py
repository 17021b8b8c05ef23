"""Adding somebody by hand, with the merchant's word for their consent."""

from __future__ import annotations

from blossom.audit import service as audit
from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.consent.service import Change
from blossom.contacts import queries as contacts_queries
from blossom.contacts import service as contacts
from blossom.contacts.rules import Person, zones
from blossom.people.errors import AlreadyContact
from blossom.people.rules.adding import NewPerson
from blossom.platform import crypto
from blossom.shops import queries as shops


def add_contact(shop_id: int, new: NewPerson, *, attested: str | None, actor: str) -> tuple[int, Change | None]:
    """Make the contact, and record that they agreed if `new.how` says so: `attested` is the sentence that the merchant
    has confirmed. The contact's id, and what came of the consent: who opted out before stays so.

    Raises `AlreadyContact`.
    """
    contacts.hold_people(shop_id)
    phone_hash = crypto.for_shop(shop_id).lookup(new.phone.e164)
    known = contacts_queries.contact_by_phone_hash(shop_id, phone_hash)
    if known is not None:
        raise AlreadyContact(known.id)
    shop = shops.get_shop(shop_id)
    zone, _ = zones.zone_of(own=None, country=None, province="", phone=new.phone, shop_zone=shop.timezone)
    person = Person(
        phone=new.phone,
        first_name=new.first_name,
        last_name=new.last_name,
        email=new.email,
        country=new.phone.country,
        zone=zone,
        tags=new.tags,
    )
    (saved,) = contacts.save_people(shop_id, [person])
    audit.record(shop_id, "contacts.added", actor=actor, subject_type="contact", subject_id=saved.contact_id)
    if new.how is None:
        return saved.contact_id, None
    change = consent.opt_in(
        shop_id,
        phone_hash,
        source=Source.MERCHANT,
        contact_id=saved.contact_id,
        wording=attested,
        actor=actor,
        details={"collected": new.how},
    )
    return saved.contact_id, change

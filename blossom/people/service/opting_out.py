"""What a merchant does with people."""

from __future__ import annotations

from blossom.audit import service as audit
from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.contacts import queries as contacts
from blossom.people.errors import NothingToOptOut
from blossom.platform.db import session


def opt_out(shop_id: int, contact_id: int, *, actor: str) -> bool:
    """Opt a person out for the merchant (who was asked to, by mail or at the counter), and write down who did.

    Whether anything changed: somebody who had opted out before stays so. Raises `NotFound`, `NothingToOptOut`.
    """
    contact = contacts.contact(shop_id, contact_id)
    if contact.phone_hash is None:
        raise NothingToOptOut
    change = consent.opt_out(shop_id, contact.phone_hash, source=Source.MERCHANT, contact_id=contact.id, actor=actor)
    if change.changed:
        audit.record(
            shop_id,
            "consent.opted_out",
            actor=actor,
            subject_type="contact",
            subject_id=contact.id,
            details={"by": "staff"},
        )
        session.flush()
    return change.changed

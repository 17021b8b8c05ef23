"""A shop's data key is changed, and nothing is lost."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from blossom.contacts.models import Contact
from blossom.platform import clock, crypto, db, resealing
from blossom.platform.crypto import SealedValueError, ShopKey
from tests.factories.contacts import create_contact
from tests.personas import Personas


def test_everything_opens_after_a_rotation_and_the_old_key_is_gone(personas: Personas) -> None:
    ours, theirs = personas.ours.id, personas.theirs.id
    with db.transaction():
        mine = create_contact(personas.ours, first_name="Νίκος", last_name="Papas")
        other = create_contact(personas.theirs)
        before, phone, other_before = mine.phone_sealed, mine.phone, other.phone_sealed
    assert resealing.rotate(ours) == 3
    assert resealing.prune(ours) == 0, "other processes may still seal by the old key"
    with clock.frozen_at(clock.now() + resealing.SETTLED):
        assert resealing.prune(ours) == 1
    with db.transaction() as session:
        after = session.scalars(select(Contact).where(Contact.shop_id == ours)).one()
        assert after.phone_sealed != before
        assert (after.phone, after.first_name, after.last_name) == (phone, "Νίκος", "Papas")
        assert after.phone_hash == crypto.for_shop(ours).lookup(str(phone)), "lookups outlive a rotation"
        assert session.scalars(select(Contact).where(Contact.shop_id == theirs)).one().phone_sealed == other_before
        assert len(session.scalars(select(ShopKey).where(ShopKey.shop_id == ours, ShopKey.use == "data")).all()) == 1
    with db.transaction(), pytest.raises(SealedValueError):
        crypto.for_shop(ours).open(before, "phone")

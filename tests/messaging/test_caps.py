"""How many marketing texts a person gets: what the claim of a batch finds out about each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from blossom.messaging.models import Dispatch, Message
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.states import DispatchKind
from blossom.messaging.service import composing
from blossom.messaging.service.claiming import Claim
from blossom.shops.models import Shop
from tests.factories.contacts import a_phone
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.personas import Personas

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOON - timedelta(**span)


def texted(shop: Shop, phone: str, at: datetime, kind: DispatchKind = DispatchKind.CAMPAIGN, **more: object) -> Message:
    dispatch = create_dispatch(shop.id, kind=kind.value, created_at=at - timedelta(minutes=5))
    name = f"{dispatch.id}"
    return create_message(create_batch(dispatch), name, phone=phone, created_at=at, sent_at=at, **more)


def capped(mine: Message, caps: Caps) -> bool:
    stand = message_ids.of_dispatch(mine.dispatch_id)
    claim = Claim(
        attempt_id=1, shop_id=mine.shop_id, dispatch_id=mine.dispatch_id, batch_number=mine.batch_number,
        first_id=stand.first, last_id=stand.last, valid_until=NOON + timedelta(hours=48), tries=0,
    )  # fmt: skip
    facts = replace(composing.read_facts(mine.shop_id, mine.dispatch_id), caps=caps)
    return composing.capped(claim, facts, NOON) == {mine.id}


def waiting(shop: Shop, phone: str, kind: DispatchKind = DispatchKind.CAMPAIGN) -> Message:
    """A message that is to be sent, beside one to somebody who never got any."""
    batch = create_batch(create_dispatch(shop.id, kind=kind.value, created_at=NOON))
    create_message(batch)
    return create_message(batch, phone=phone)


@pytest.mark.parametrize(
    ("earlier", "caps", "expected"),
    [
        ([], Caps(), False),
        ([ago(hours=23, minutes=59)], Caps(), True),
        ([ago(hours=24)], Caps(), False),
        ([ago(days=2), ago(days=4), ago(days=6, hours=23)], Caps(), True),
        ([ago(days=2), ago(days=4), ago(days=7)], Caps(), False),
        ([ago(hours=1), ago(hours=2)], Caps(daily=3, weekly=None), False),
        ([ago(hours=1)] * 3, Caps(daily=3, weekly=None), True),
        ([ago(hours=1)] * 2, Caps(daily=None, weekly=3), False),
        ([ago(hours=1)] * 9, Caps(daily=None, weekly=None), False),
    ],
)
def test_whether_one_more_text_passes_a_cap(
    session: Session, personas: Personas, earlier: list[datetime], caps: Caps, expected: bool
) -> None:
    phone = a_phone()
    for at in sorted(earlier):
        texted(personas.ours, phone, at)
    assert capped(waiting(personas.ours, phone), caps) is expected


def test_of_dispatches_begun_at_one_moment_all_count(session: Session, personas: Personas) -> None:
    phone = a_phone()
    first, *_ = [texted(personas.ours, phone, ago(hours=1)) for _ in range(3)]
    # Its row is written anew, behind the others': in an index on the moment alone it comes last.
    session.execute(
        update(Dispatch).where(Dispatch.id == first.dispatch_id).values(state="completed", finished_at=NOON)
    )
    assert capped(waiting(personas.ours, phone), Caps(daily=3, weekly=None))


def test_what_was_no_marketing_another_shop_s_or_never_left_counts_for_nothing(
    session: Session, personas: Personas
) -> None:
    phone = a_phone()
    texted(personas.ours, phone, ago(hours=1), DispatchKind.REPLY)
    texted(personas.theirs, phone, ago(hours=1))
    texted(personas.ours, phone, ago(hours=1), state="failed")
    mine = waiting(personas.ours, phone)
    assert not capped(mine, Caps())
    texted(personas.ours, phone, ago(hours=1), state="unconfirmed")
    assert capped(mine, Caps()), "it may have left"


def test_an_answer_is_never_capped(session: Session, personas: Personas) -> None:
    phone = a_phone()
    texted(personas.ours, phone, ago(hours=1))
    assert not capped(waiting(personas.ours, phone, DispatchKind.REPLY), Caps())


def test_a_person_keeps_their_caps_when_their_contact_is_made_anew(session: Session, personas: Personas) -> None:
    """They are known by their phone: there is no contact at all here."""
    phone = a_phone()
    texted(personas.ours, phone, ago(hours=1))
    assert capped(waiting(personas.ours, phone), Caps())

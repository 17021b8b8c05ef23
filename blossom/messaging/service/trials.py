"""Test sends: the text as it will read, to the merchant's own numbers.

They need no consent and know no quiet hours or caps, but a number that said STOP stays untexted. They are paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import insert, select

from blossom.contacts import rules as contacts
from blossom.contacts.models import Contact
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules.states import RANKS, DispatchKind, DispatchState
from blossom.messaging.service import dispatches
from blossom.platform import clock, config, crypto
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.shops.models import Shop
from blossom.wallet import queries as prices
from blossom.wallet import service as wallet

MOST_NUMBERS = 10


@dataclass(frozen=True)
class Trial:
    """What to try. `phones` in any form that the shop's default country reads."""

    shop_id: int
    source: str
    sender: str
    phones: Sequence[str]
    trigger: str = Trigger.CAMPAIGN.value


def send_test(test: Trial) -> Dispatch:
    """Text the merchant's own numbers. A number that is a contact's gets that contact's values; the others' names are
    missing, so a text without defaults is skipped for them.

    Raises `TextError`, `InvalidInput` (a number can't be read), `InsufficientCredit`.
    """
    shop = session.get_one(Shop, test.shop_id)
    compiled = language.compile_text(test.source, Trigger(test.trigger))
    phones = _read(test.phones, shop.default_country)
    now = clock.now()
    price_list = prices.price_list_at(shop.id, now)
    longest = max(segments.count(compiled.render(_example(shop, test.sender))).segments, 1)
    cost = sum(price_list.credits(phone.country, longest + 1) for phone in phones)
    dispatch = Dispatch(
        shop_id=shop.id,
        kind=DispatchKind.TEST.value,
        state=DispatchState.SENDING.value,
        rank=RANKS[DispatchKind.TEST],
        priority=0,
        source=test.source,
        trigger=test.trigger,
        sender=test.sender,
        price_list_id=price_list.id,
        total=len(phones),
        created_at=now,
        prepared_at=now,
    )
    session.add(dispatch)
    session.flush()
    hours = timedelta(hours=config.current().reservation_hours)
    reservation = wallet.reserve(
        shop.id, cost, reference=f"dispatch:{dispatch.id}", expires_at=now + hours, idle_limit=hours
    )
    dispatch.reservation_id = reservation.id if reservation else None
    _insert(dispatch, shop, phones)
    dispatches.nudge_lanes()
    return dispatch


def _read(raw_phones: Sequence[str], default_country: str) -> list[contacts.Phone]:
    if not 1 <= len(raw_phones) <= MOST_NUMBERS:
        raise InvalidInput({"phones": f"Give 1 to {MOST_NUMBERS} numbers."})
    phones: dict[str, contacts.Phone] = {}
    faults = {}
    for place, raw in enumerate(raw_phones):
        try:
            phone = contacts.normalise_phone(raw, default_country)
        except contacts.PhoneError as error:
            faults[f"phones.{place}"] = str(error)
        else:
            phones[phone.e164] = phone
    if faults:
        raise InvalidInput(faults)
    return list(phones.values())


def _example(shop: Shop, sender: str) -> dict[str, str]:
    return {
        "first_name": "Alexandra", "last_name": "Papadopoulou", "full_name": "Alexandra Papadopoulou",
        "shop_name": shop.name, "sender": sender,
    }  # fmt: skip


def _insert(dispatch: Dispatch, shop: Shop, phones: Sequence[contacts.Phone]) -> None:
    cipher, now = crypto.for_shop(shop.id), clock.now()
    hashes = {cipher.lookup(phone.e164): phone for phone in phones}
    known = dict(
        session.execute(
            select(Contact.phone_hash, Contact.id).where(
                Contact.shop_id == shop.id, Contact.phone_hash.in_(list(hashes))
            )
        ).all()
    )
    validity = timedelta(hours=config.current().message_validity_hours)
    session.add(
        Batch(
            dispatch_id=dispatch.id, number=0, shop_id=shop.id, state="pending", due_at=now,
            valid_until=now + validity, size=len(phones),
        )
    )  # fmt: skip
    session.flush()
    session.execute(
        insert(Message),
        [
            {
                "shop_id": shop.id,
                "dispatch_id": dispatch.id,
                "batch_number": 0,
                "contact_id": known.get(phone_hash),
                "phone_sealed": cipher.seal(phone.e164, "phone"),
                "phone_hash": phone_hash,
                "country": phone.country or "ZZ",
                "zone": shop.timezone,
                "state": "pending",
                "created_at": now,
            }
            for phone_hash, phone in hashes.items()
        ],
    )

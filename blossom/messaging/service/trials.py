"""Test sends: the text as it will read, to the merchant's own numbers.

They need no consent and know no quiet hours or caps, but a number that said STOP stays untexted. They are paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from blossom.contacts import rules as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.messaging.service import direct
from blossom.platform import clock, config
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as prices

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
    price_list = prices.price_list_at(shop.id, clock.now())
    person = _example(shop, test.sender) | compiled.stand_ins(shops.proxy_address(shop.id))
    longest = max(segments.count(compiled.render(person)).segments, 1)
    cost = sum(price_list.credits(phone.country, longest + 1) for phone in phones)
    return direct.start(
        direct.DirectPlan(
            shop=shop,
            kind=DispatchKind.TEST,
            compiled=compiled,
            sender=test.sender,
            phones=phones,
            price_list=price_list,
            cost=cost,
            valid_for=timedelta(hours=config.current().message_validity_hours),
        )
    )


def _read(raw_phones: Sequence[str], default_country: str) -> list[contacts.Phone]:
    if not 1 <= len(raw_phones) <= MOST_NUMBERS:
        raise InvalidInput({"phones": f"Give 1 to {MOST_NUMBERS} numbers."})
    phones: dict[str, contacts.Phone] = {}
    faults = {}
    for place, raw in enumerate(raw_phones):
        try:
            phone = contacts.normalise_phone(raw, default_country)
        except PhoneRefused as error:
            faults[f"phones.{place}"] = error.message
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

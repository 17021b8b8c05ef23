"""Answers to what people text us: one fixed text to one number, at once, whatever the hour, exempt from caps."""

from __future__ import annotations

from datetime import timedelta

from blossom.contacts import rules as contacts
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.values import clean
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.messaging.service import direct
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from blossom.wallet import queries as prices

VALID_FOR = timedelta(hours=1)
"""An answer that could not leave within this time is not sent at all: it would come out of the blue."""

_MOST_CHARACTERS = 1_000
_NO_LIQUID = str.maketrans("{}", "()")


def send_reply(shop_id: int, phone: str, text: str, *, confirms_stop: bool = False) -> Dispatch:
    """Answer `phone` (E.164) from the shop's sender with `text`, which is words only: braces in it become brackets, so
    that nothing in a shop's name is taken for Liquid.

    `confirms_stop`: this is the one text that may follow a STOP. Any other answer is skipped for whoever is opted out
    by the time that it is claimed. Raises `PhoneRefused`, `InsufficientCredit`, and `NotFound` for a shop without a
    wallet or a price list; then nothing was written.
    """
    shop = session.get_one(Shop, shop_id)
    recipient = contacts.normalise_phone(phone, shop.default_country)
    source = clean(text, _MOST_CHARACTERS).translate(_NO_LIQUID)
    rendered = language.compile_text(source, Trigger.CAMPAIGN).render({})
    price_list = prices.price_list_at(shop_id, clock.now())
    return direct.start(
        direct.DirectPlan(
            shop=shop,
            kind=DispatchKind.STOP_REPLY if confirms_stop else DispatchKind.REPLY,
            source=source,
            trigger=Trigger.CAMPAIGN.value,
            sender=shop.sender,
            phones=[recipient],
            price_list=price_list,
            cost=price_list.credits(recipient.country, segments.count(rendered).segments),
            valid_for=VALID_FOR,
        )
    )

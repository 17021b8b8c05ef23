"""Answers to what people text us or send by a form: one fixed text to one number, at once, whatever the hour, exempt
from caps."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from blossom.contacts import rules as contacts
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.values import clean
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.messaging.service import direct
from blossom.platform import clock, db
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
    return _send(shop_id, phone, text, DispatchKind.STOP_REPLY if confirms_stop else DispatchKind.REPLY)


def send_confirmation(shop_id: int, phone: str, text: str) -> Dispatch:
    """Ask a person who is opted out whether they want texts again, since their number was typed into the shop's form.

    As `send_reply`, but it is not skipped for the opted out: `consent.settle_request` says when it may be.
    """
    return _send(shop_id, phone, text, DispatchKind.CONFIRMATION)


def _send(shop_id: int, phone: str, text: str, kind: DispatchKind) -> Dispatch:
    shop = session.get_one(Shop, shop_id)
    recipient = contacts.normalise_phone(phone, shop.default_country)
    source = clean(text, _MOST_CHARACTERS).translate(_NO_LIQUID)
    compiled = language.compile_text(source, Trigger.CAMPAIGN)
    price_list = prices.price_list_at(shop_id, clock.now())
    return direct.start(
        direct.DirectPlan(
            shop=shop,
            kind=kind,
            compiled=compiled,
            sender=shop.sender,
            phones=[recipient],
            price_list=price_list,
            cost=price_list.credits(recipient.country, segments.count(compiled.render({})).segments),
            valid_for=VALID_FOR,
        )
    )


def forget_reply(shop_id: int, dispatch_id: int) -> bool:
    """Forget the words of an answer that has ended, since they hold a secret that nobody needs any more; whether it
    has. What was sent is still known by its digest (`attempts.manifest`)."""
    return bool(
        db.rows_changed(
            update(Dispatch)
            .where(
                Dispatch.shop_id == shop_id,
                Dispatch.id == dispatch_id,
                Dispatch.kind.in_([kind.value for kind in _ANSWERS]),
                Dispatch.finished_at.is_not(None),
            )
            .values(source=FORGOTTEN)
        )
    )


FORGOTTEN = "(forgotten)"
_ANSWERS = (DispatchKind.REPLY, DispatchKind.CONFIRMATION)

"""Ten minutes of a merchant's work, told by webhooks that come twice, late and in any order, by a Shopify that refuses,
throttles and times out when it is asked, among forgeries: it ends as it does on a quiet day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from blossom.consent import queries as consents
from blossom.platform import crypto
from blossom.platform.db import session
from blossom.shopify.client import ShopifyClient
from tests.inbound.conftest import webhooks
from tests.inbound.merchant import Merchant, begin, contacts, ends, merchant, running, try_again

__all__ = ["merchant", "running"]

PEOPLE = 12
DEEDS = 50
MINUTES = 10

FAULTS = [
    {"kind": "503", "area": "graphql", "share": 0.15},
    {"kind": "429", "area": "graphql", "share": 0.1, "retry_after": 1},
    {"kind": "throttled", "area": "graphql", "share": 0.1},
    {"kind": "timeout", "area": "graphql", "share": 0.05, "seconds": 0.01},
    {"kind": "garbage", "area": "graphql", "share": 0.05},
    {"kind": "401", "area": "graphql", "share": 0.05},
    {"kind": "503", "area": "oauth", "share": 0.1},
]


def work(merchant: Merchant, chance: random.Random) -> Iterator[None]:
    """What a merchant does in ten minutes, deed by deed; the same for the same chance.

    Nobody changes their number who has said something by it: what was said holds for the number, and whether a second
    one inherits it depends on when we look.
    """
    people: list[int] = []
    silent: set[int] = set()
    phones = iter(f"+3069843034{number:02d}" for number in range(100))
    for _ in range(DEEDS):
        merchant.stand_in.advance(60 * MINUTES / DEEDS)
        if len(people) < PEOPLE // 2 or (len(people) < PEOPLE and chance.random() < 0.2):
            people.append(merchant.add(first_name=f"P{len(people)}", phone=next(phones)))
            silent.add(people[-1])
            yield
            continue
        one, other = chance.sample(people, 2)
        deed = chance.choices(["update", "consent", "delete", "merge"], [5, 6, 0.4, 0.4])[0]
        if deed == "update":
            phone = {"phone": next(phones)} if one in silent and chance.random() < 0.3 else {}
            merchant.act(one, "update", fields={"first_name": f"N{chance.randrange(1000)}", "tags": ["seen"], **phone})
        elif deed == "consent":
            said = chance.choice(["SUBSCRIBED", "SUBSCRIBED", "UNSUBSCRIBED", "PENDING"])
            merchant.act(one, "consent", fields={"state": said})
            silent.discard(one)
        elif deed == "delete":
            merchant.act(one, "delete")
            people.remove(one)
        else:
            merchant.act(one, "merge", other=other)
            people.remove(other)
        yield


def outcome(merchant: Merchant) -> list[Any]:
    """Each contact and where its phone stands."""
    cipher = crypto.for_shop(merchant.shop_id)
    return sorted(
        (
            each.phone,
            each.first_name,
            each.tags,
            consents.state_of(merchant.shop_id, cipher.lookup(each.phone)).value,
        )
        for each in contacts()
    )


def start_anew(merchant: Merchant) -> None:
    """The same shop with nothing in it, there and here (events of consent stay: nobody can remove them)."""
    for table in ("contacts", "consents", "shopify_webhooks", "installations"):
        session.execute(text(f"DELETE FROM {table}"))
    session.commit()
    begin(merchant)


@pytest.mark.parametrize("seed", [1])
def test_a_stormy_day_ends_as_a_quiet_one(merchant: Merchant, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    assert ShopifyClient.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(ShopifyClient.__init__.__kwdefaults__, "wait", lambda seconds: False)
    for _ in work(merchant, random.Random(seed)):
        merchant.tell()
    quiet = outcome(merchant)
    assert len({each[-1] for each in quiet}) >= 3, "states of every kind"

    start_anew(merchant)
    merchant.stand_in.fail(*FAULTS, seed=seed)
    chance = random.Random(seed)
    for _ in work(merchant, random.Random(seed)):
        if chance.random() < 0.1:
            forge(merchant)
            merchant.tell_in_disorder(seed)
            try_again()
    merchant.tell_in_disorder(seed)
    for _ in range(8):
        try_again()
    assert {state for _, state, _ in ends()} == {"done"}
    assert any(each.tries > 1 for each in webhooks()), "something went wrong"
    assert outcome(merchant) == quiet


def forge(merchant: Merchant) -> None:
    body = {"customer_id": 1, "phone": "+306984303400", "sms_marketing_consent": {"state": "unsubscribed"}}
    answer = merchant.shopify.post("customers_marketing_consent/update", body, secret="nobody's")
    assert answer.status_code == 401

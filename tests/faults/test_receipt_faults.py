"""Receipts doubled, reversed, early, lost, forged and for another shop, all in one campaign: the end is the truth.

They come through the real webhook, signed; the truth is what the stand-in says of each text when it is asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import requests
from flask import Flask
from sqlalchemy import text

from blossom.messaging import queries, service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads, signature
from blossom.mitto.client import MittoClient
from blossom.platform import clock, config, db
from blossom.wallet import queries as wallet
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.crowds import subscribe
from tests.faults.processes import Forks, Process, until
from tests.faults.servers import a_free_port
from tests.inbound.conftest import SECRET
from tests.messaging.conftest import CREDITS, Outbox, committed_outbox, mitto, mitto_process

__all__ = ["committed_outbox", "mitto", "mitto_process"]

pytestmark = pytest.mark.faults

SEED = 20261120
ENDS = {"failed:DLR_021": 0.06, "undelivered": 0.03, "expired": 0.03, "sent": 0.03}
"""Shares of texts that don't arrive; `sent`: of which no more is ever said."""

A_LOST_ANSWER = [{"kind": "cut", "next": 1}]
"""Of one call: its receipts name ids that we were never told."""

SENT_THOUGH_TOLD = """m.state = 'sent' AND EXISTS (
    SELECT FROM receipts r WHERE r.message_id = m.id AND r.state = 'applied'
      AND lower(r.status) IN ('delivered', 'failure', 'undelivered', 'expired')
)"""


@dataclass
class Site:
    """Web and workers as processes, and two shops that send through them."""

    url: str
    ours: Outbox
    theirs: Outbox

    def start(self, outbox: Outbox) -> Dispatch:
        dispatch = outbox.start(shop_id=outbox.shop.id, sender=outbox.shop.sender)
        until(lambda: service.sweep() and outbox.progress(dispatch).finished_at is not None, "all has been sent")
        return dispatch

    def tell(self, path: str, receipts: list[dict[str, Any]]) -> None:
        """Post receipts with a valid proof."""
        raw = orjson.dumps(receipts)
        answer = requests.post(
            f"{self.url}{path}", data=raw, headers={"X-Mitto-Signature": signature.sign(raw, SECRET)}, timeout=30
        )
        assert answer.status_code == 200


@pytest.fixture
def site(committed_app: Flask, committed_outbox: Outbox, forks: Forks) -> Iterator[Site]:
    port = a_free_port()
    settings = {"MITTO_HMAC_SECRET": SECRET, "MITTO_TIMEOUT_SECONDS": "5", "BLOSSOM_LANES": "2"}
    with db.transaction():
        shop = create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs")
        create_wallet(shop.id, CREDITS)
    running: list[Process] = []
    try:
        running = [
            Process(*command, forks=forks, **settings)
            for command in (("web", "--port", str(port)), ("worker", "--queue", "send", "--queue", "receipts"))
        ]
        made = Site(f"http://127.0.0.1:{port}", committed_outbox, replace(committed_outbox, shop=shop))
        until(lambda: answers(made.url), "the web process answers")
        yield made
    finally:
        for process in running:
            process.end()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=10).ok
    except requests.RequestException:
        return False


def test_receipts_that_misbehave_in_every_way_come_to_the_truth(site: Site) -> None:
    stand_in, ours, theirs = site.ours.mitto, site.ours, site.theirs
    people = {outbox.shop.id: subscribe(outbox.shop, number) for outbox, number in ((ours, 500), (theirs, 300))}
    stand_in.configure(
        seed=SEED,
        outcomes={"share": ENDS},
        faults=A_LOST_ANSWER,
        receipts={
            "url": f"{site.url}/webhooks/mitto/dlr",
            "proof": {"hmac_secret": SECRET},
            "array_size": 7,
            "repeats": 2,
            "sent_first": True,
            "loss_share": 0.1,
            "forged_share": 0.01,
            "unknown_share": 0.01,
            "order": "shuffled",
            "before_answer": True,
            "hold": False,
        },
    )
    early = site.start(ours)
    stand_in.configure(
        receipts={"before_answer": False, "hold": True, "order": "reversed", "connections": 1}, faults=A_LOST_ANSWER
    )
    late = site.start(theirs)
    lies = tell_lies(site, minute=1)  # before the truth
    assert stand_in.flush_receipts(wait=60)["unfinished_posts"] == 0
    lies += tell_lies(site, minute=2)  # and after it
    until(lambda: service.sweep() and not count("receipts", "state = 'new'"), "all receipts have been looked at")

    said = stand_in.counters()
    forged = [each for each in stand_in.receipts() if each["forged"]]
    assert len(forged) == said["receipts"]["forged"] > 0
    assert {each["answered"] for each in forged} == {401}
    assert said["posts"].get("abandoned", 0) == 0
    assert received_before_their_record() > 0
    assert said["receipts"]["lost"] > 0

    assert count("messages m", SENT_THOUGH_TOLD) == 0, "the last word to come is not the one that counts"
    ask_until_nothing_is_new()
    truth = truth_of(ours)
    for outbox, dispatch in ((ours, early), (theirs, late)):
        judge(outbox, dispatch, people[outbox.shop.id], truth)
    assert count("receipts", "state = 'refused'") == lies > 0, "those at the other shop's address"
    strangers = count("(SELECT DISTINCT provider_message_id FROM receipts WHERE state = 'orphan') r", "true")
    assert strangers == said["receipts"]["unknown"] > 0, "of texts that there are not"
    assert count("receipts", "state = 'stuck'") == 0


def tell_lies(site: Site, minute: int) -> int:
    """Well-signed receipts at each shop's address about some of the other shop's texts; how many."""
    chance = random.Random(SEED + minute)
    told = 0
    for outbox, other in ((site.ours, site.theirs), (site.theirs, site.ours)):
        about = [each for each in outbox.mitto.log() if each["sender"] == outbox.shop.sender]
        lies = [
            {"messageId": each["messageId"], "deliveryStatus": word, "updatedAt": f"2026-11-20T12:0{minute}:00Z"}
            for each in chance.sample(about, 10)
            for word in ("Delivered", "Failure")
        ]
        site.tell(f"/webhooks/mitto/dlr/{other.shop.domain}", lies)
        told += len(lies)
    return told


def ask_until_nothing_is_new() -> None:
    """What a clock does in time: asks whose the unknown ids are, and after texts that no receipt has told of."""
    with clock.frozen_at(clock.now() + timedelta(minutes=1)):
        assert service.ask_about_orphans().confirmed == 2 * config.current().mitto_batch_size
    apply_all()
    with clock.frozen_at(clock.now() + timedelta(minutes=config.current().stalled_minutes + 1)):
        before = -1
        while (now := count("messages", "state IN ('delivered', 'failed')")) != before:
            before = now
            assert service.refresh_unanswered(limit=1_000)


def apply_all() -> None:
    more = 1
    while more:
        with db.transaction():
            more = service.apply_receipts()


def truth_of(outbox: Outbox) -> dict[str, MessageState]:
    """Phone → the state that the stand-in's own answer about its text means."""
    client = MittoClient(outbox.mitto.url, config.current().mitto_api_key)
    found = {}
    for each in outbox.mitto.log():
        status = client.status(each["messageId"])
        assert status is not None
        assert each["destination"] not in found, "nobody is texted twice"
        found[each["destination"]] = MessageState(payloads.delivery_state(status.status_raw))
    client.close()
    return found


def judge(outbox: Outbox, dispatch: Dispatch, phones: list[str], truth: dict[str, MessageState]) -> None:
    """Each text's state is the stand-in's, and what was paid is what the price list says of those states."""
    with db.transaction():
        rows = queries.recipients(outbox.shop.id, dispatch.id, limit=10_000)
        prices = wallet.price_list_at(outbox.shop.id, clock.now())
    assert {str(row.phone): row.state for row in rows} == {phone: truth[phone] for phone in phones}
    assert prices.refund_failed
    paid = {
        str(row.phone): 0 if row.state is MessageState.FAILED else prices.credits("GR", row.segments) for row in rows
    }
    assert {str(row.phone): row.credits for row in rows} == paid
    assert outbox.spent() == sum(paid.values())
    assert len(Counter(row.state for row in rows)) == 3, "delivered, failed, and sent for ever"
    outbox.check_books(dispatch)


def received_before_their_record() -> int:
    with db.transaction() as session:
        return int(
            session.execute(
                text("""
                    SELECT count(*) FROM receipts r JOIN messages m ON m.id = r.message_id
                    JOIN attempts a ON a.id = m.attempt_id WHERE r.received_at < a.ended_at
                """)
            ).scalar_one()
        )


def count(table: str, condition: str) -> int:
    with db.transaction() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}")).scalar_one())

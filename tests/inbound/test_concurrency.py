"""Webhooks and jobs side by side, on real connections."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from flask import Flask
from sqlalchemy import text

from blossom.inbound import service as inbound
from blossom.platform import db
from tests.factories.consent import create_subscriber
from tests.factories.contacts import a_phone
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.inbound.conftest import Mitto, a_receipt, a_text

AT_ONCE = 6


def at_once(app: Flask, *calls: Callable[[], Any]) -> list[Any]:
    """Do all the calls at the same moment, each in a thread and an app context of its own."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        with app.app_context():
            barrier.wait()
            return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def count(query: str) -> int:
    with db.transaction():
        return int(db.session.execute(text(f"SELECT count(*) FROM {query}")).scalar_one())


def test_the_same_receipts_in_opposite_orders_never_wait_for_each_other_in_a_circle(committed_app: Flask) -> None:
    mitto = Mitto(committed_app)
    batch = [a_receipt(f"01K{number}") for number in range(400)]
    orders = [batch, batch[::-1]] * (AT_ONCE // 2)
    answers = at_once(committed_app, *[lambda body=body: mitto.post("dlr", body) for body in orders])
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    assert sum(answer.get_json()["accepted"] for answer in answers) == len(batch)
    assert count("receipts") == len(batch)


def test_one_stop_that_comes_many_times_at_once_is_one(committed_app: Flask) -> None:
    phone = a_phone()
    with db.transaction():
        for shop in (create_shop(), create_shop(domain="theirs.myshopify.com")):
            create_subscriber(shop, phone=phone)
    mitto = Mitto(committed_app)
    said = a_text(phone, "STOP", messageId="MO-1")
    answers = at_once(committed_app, *[lambda: mitto.post("inbound", said)] * AT_ONCE)
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    assert sum(answer.get_json()["accepted"] for answer in answers) == 1
    assert count("inbound_texts") == 2
    assert count("consent_events WHERE to_state = 'opted_out'") == 2
    assert count("inbound_texts WHERE handled_at IS NULL") == 1


def test_stops_of_the_same_people_in_opposite_orders_never_wait_in_a_circle(committed_app: Flask) -> None:
    phones = [a_phone() for _ in range(20)]
    with db.transaction():
        shops = [create_shop(), create_shop(domain="theirs.myshopify.com")]
        for shop in shops:
            for phone in phones:
                create_subscriber(shop, phone=phone)
    mitto = Mitto(committed_app)
    bodies = [[a_text(phone, "STOP") for phone in order] for order in (phones, phones[::-1])] * (AT_ONCE // 2)
    answers = at_once(committed_app, *[lambda body=body: mitto.post("inbound", body) for body in bodies])
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    assert count("consents WHERE state = 'opted_out'") == len(phones) * len(shops)
    assert count("inbound_texts") == len(phones) * len(shops)


def test_two_stops_of_one_phone_in_the_hands_of_two_workers_are_confirmed_once(committed_app: Flask) -> None:
    with db.transaction():
        shop = create_shop()
        create_wallet(shop.id, 100)
    mitto = Mitto(committed_app)
    mitto.post("inbound", [a_text("+306984303406", "STOP", messageId=f"MO-{n}") for n in range(AT_ONCE)])
    with db.transaction():
        ids = db.session.execute(text("SELECT id FROM inbound_texts")).scalars().all()

    def handle(text_id: int) -> None:
        with db.transaction():
            inbound.handle_text(shop.id, text_id)

    at_once(committed_app, *[lambda text_id=text_id: handle(text_id) for text_id in ids])
    assert count("dispatches") == 1
    assert count("inbound_texts WHERE unanswered = 'answered_before'") == AT_ONCE - 1

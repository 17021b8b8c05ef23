"""Several customers written at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from blossom.contacts.rules import Person, normalise_phone
from blossom.contacts.rules.customers import Customer, SmsConsent
from blossom.customers.service.applying import save_together
from blossom.platform import db
from blossom.platform.db import transaction
from tests.customers.conftest import Shop
from tests.faults.processes import until

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def customer(number: int, phone: str, minutes: int) -> Customer:
    person = Person(phone=normalise_phone(phone, "GR"), zone="Europe/Athens", shopify_customer_id=number)
    at = NOON + timedelta(minutes=minutes)
    return Customer(number, at, person, None, SmsConsent("SUBSCRIBED", None, at, None))


def test_numbers_that_go_round_are_locked_in_the_one_order_of_all(shop: Shop) -> None:
    low, high = sorted((f"+3069843034{n:02}" for n in range(2)), key=shop.hash_of)
    with transaction():
        save_together(shop.id, [customer(7, high, 0), customer(8, low, 1)])

    def go_round() -> None:
        with shop.connected.app.app_context(), transaction():
            save_together(shop.id, [customer(7, "+306984303499", 2), customer(8, high, 3)])

    saving = threading.Thread(target=go_round)
    with db.engine().connect() as other, other.begin():
        lock = text("SELECT FROM consents WHERE shop_id = :shop AND phone_hash = :phone_hash FOR UPDATE")
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        other.execute(text("SET LOCAL lock_timeout = '3s'"))
        other.execute(lock, {"shop": shop.id, "phone_hash": shop.hash_of(low)})
        saving.start()
        until(lambda: other.scalar(waiting), "the other's wait")
        other.execute(lock, {"shop": shop.id, "phone_hash": shop.hash_of(high)})
    saving.join(timeout=20)
    assert shop.contacts() == {"+306984303499": 7, high: 8}

"""Our app and the stand-in's Shopify, on a database whose commits are real: other processes must see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.contacts.models import Contact
from blossom.customers import queries, service
from blossom.customers.models import CustomerImport
from blossom.customers.rules import Progress
from blossom.customers.service import turns
from blossom.platform import clock, crypto
from blossom.platform.db import session, transaction
from blossom.sandbox.shopify.process import StandIn
from tests.faults.processes import until
from tests.shops.conftest import KEY, OURS, SECRET, Connected, connected, running_stand_in

__all__ = ["connected", "running_stand_in"]

PHONE, OTHER_PHONE = "+306984303406", "+306984303407"


@pytest.fixture
def stand_in(running_stand_in: StandIn, request: pytest.FixtureRequest) -> StandIn:
    """With so many customers in our shop as the test's parameter says: exports alone show them."""
    running_stand_in.reset(
        app={"api_key": KEY, "secret": SECRET, "refresh_retries": True},
        shops=[{"domain": OURS, "country": "GR", "timezone": "Europe/Athens", "crowd": getattr(request, "param", 0)}],
    )
    running_stand_in.install(OURS)
    return running_stand_in


class Shop:
    """A merchant's shop with the app in it."""

    def __init__(self, connected: Connected) -> None:
        self.connected = connected
        self.shopify = connected.shopify
        self.id = connected.install().shop_id

    def add(self, **fields: Any) -> int:
        """A customer at Shopify, of whom no webhook tells; their number there."""
        (customer,) = self.shopify.add_customers(OURS, fields)
        return int(customer["id"])

    def act(self, customer: int, do: str, **given: Any) -> None:
        self.shopify.act(OURS, customer, do, **given)

    def ask(self) -> None:
        with transaction():
            service.ask_import(self.id)

    def progress(self) -> Progress:
        with transaction():
            found = queries.latest_import(self.id)
            assert found is not None
            return found

    def step(self) -> Progress:
        """The next step, as if its time had come and whoever had the import was dead."""
        values = {"next_try_at": clock.now() - timedelta(hours=1), "in_hand_until": None}
        with transaction():
            session.execute(update(CustomerImport).where(CustomerImport.finished_at.is_(None)).values(values))
        service.run_imports()
        return self.progress()

    def finish(self) -> Progress:
        """Steps until the import has ended."""
        until(lambda: not self.step().is_open, "the import's end", 60)
        return self.progress()

    def hash_of(self, phone: str) -> bytes:
        with transaction():
            return crypto.for_shop(self.id).lookup(phone)

    def state(self, phone: str = PHONE) -> State:
        with transaction():
            return consents.state_of(self.id, crypto.for_shop(self.id).lookup(phone))

    def contacts(self) -> dict[str, int | None]:
        """Phone → customer's number."""
        with transaction():
            query = select(Contact).where(Contact.shop_id == self.id, Contact.phone_hash.is_not(None))
            return {str(each.phone): each.shopify_customer_id for each in session.scalars(query)}

    def wake(self) -> None:
        """End the pause of a shop for which Shopify failed, not the count of its failures."""
        for each in turns._shops.values():
            each.paused_until = None


@pytest.fixture
def shop(connected: Connected) -> Shop:
    turns.forget_turns()
    return Shop(connected)

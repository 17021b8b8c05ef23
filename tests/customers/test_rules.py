"""A chunk of customers, taken apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blossom.contacts.rules import Person, normalise_phone
from blossom.contacts.rules.customers import Customer, SmsConsent
from blossom.customers.rules import Chunk, chunk_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PHONE, OTHER_PHONE = "+306984303406", "+306984303407"


def customer(number: int, phone: str, state: str) -> Customer:
    person = Person(phone=normalise_phone(phone, "GR"), shopify_customer_id=number)
    return Customer(number, NOON, person, None, SmsConsent(state, None, NOON, None))


def read(*customers: Customer) -> Chunk:
    return chunk_of(customers, lambda line: line)


@pytest.mark.parametrize("states", [("SUBSCRIBED", "UNSUBSCRIBED"), ("UNSUBSCRIBED", "SUBSCRIBED")])
def test_of_two_customers_with_one_number_the_first_is_kept_and_an_opt_out_of_either(states: tuple[str, str]) -> None:
    chunk = read(customer(1, PHONE, states[0]), customer(2, PHONE, states[1]), customer(3, OTHER_PHONE, "SUBSCRIBED"))

    assert [(each.id, each.consent and each.consent.state) for each in chunk.customers] == [
        (1, "UNSUBSCRIBED"),
        (3, "SUBSCRIBED"),
    ]
    assert (chunk.lines, chunk.without_phone, chunk.refused) == (3, 0, {"phone_doubled": 1})

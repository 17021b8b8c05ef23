"""The nightly comparison finds what webhooks have missed, and goes on after a death."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from blossom.consent.rules import State
from blossom.contacts import service as contacts
from blossom.customers import jobs, rules, service
from blossom.customers.models import CustomerComparison
from blossom.customers.service import comparing
from blossom.platform import clock
from blossom.platform.db import session, transaction
from tests.customers.conftest import OTHER_PHONE, PHONE, Shop

SEARCH = "CustomersUpdatedSince"


def comparison() -> CustomerComparison:
    with transaction():
        return session.scalars(select(CustomerComparison)).one()


def night_comes() -> None:
    values = {"next_try_at": clock.now() - timedelta(hours=1), "in_hand_until": None}
    with transaction():
        session.execute(update(CustomerComparison).values(values))
    jobs.compare()


@pytest.fixture
def imported(shop: Shop) -> Shop:
    """A shop whose first import is over."""
    shop.ask()
    shop.finish()
    return shop


def test_a_customer_of_whom_no_webhook_told_is_found_with_their_consent(imported: Shop) -> None:
    assert service.compare_due() == 0  # it is not night
    eleni = imported.add(first_name="Eleni", phone=PHONE, consent={"state": "SUBSCRIBED"})
    night_comes()
    assert imported.contacts() == {PHONE: eleni}
    assert imported.state() is State.OPTED_IN
    done = comparison()
    assert (done.looked_at, done.found, done.fault) == (1, 1, None)
    assert done.next_try_at > clock.now()


def test_a_change_that_was_missed_is_made_up_for_and_what_was_known_changes_nothing(imported: Shop) -> None:
    eleni = imported.add(phone=PHONE, consent={"state": "SUBSCRIBED"})
    night_comes()
    imported.act(eleni, "consent", fields={"state": "UNSUBSCRIBED"})
    night_comes()
    assert imported.state() is State.OPTED_OUT
    night_comes()
    assert comparison().found == 0


def test_many_pages_are_read_and_a_death_in_between_costs_the_page_in_hand_only(
    imported: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    monkeypatch.setattr(comparing, "PAGE", 2)
    for number in range(5):
        imported.add(phone=f"+30698430340{number}")
        imported.shopify.advance(1200)
    store, left = comparing._store, iter((1, 0))

    def store_or_die(*given: Any) -> None:
        store(*given)
        if next(left) == 0:
            raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(comparing, "_store", store_or_die)
        with pytest.raises(KilledError):
            night_comes()
    assert len(imported.contacts()) == 2
    night_comes()
    assert len(imported.contacts()) == 5
    assert comparison().found == 5
    calls = [each["variables"]["query"] for each in imported.shopify.calls() if each["operation"] == SEARCH]
    assert calls[-1] > calls[0]


def test_more_than_one_search_can_page_through_is_read_by_several(
    imported: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGE", 1)
    monkeypatch.setattr(comparing, "_PAGES_IN_A_SEARCH", 2)
    for number in range(5):
        imported.add(phone=f"+30698430340{number}")
        imported.shopify.advance(60)
    night_comes()
    assert len(imported.contacts()) == 5


def test_a_failure_is_tried_again_before_the_next_night(imported: Shop) -> None:
    imported.add(phone=PHONE)
    imported.shopify.fail({"kind": "403", "area": "graphql", "operation": SEARCH, "next": 1})
    night_comes()
    failed = comparison()
    assert failed.fault == "access_denied"
    assert failed.next_try_at < clock.now() + timedelta(minutes=1)
    night_comes()
    assert PHONE in imported.contacts()


def test_a_customer_who_goes_while_a_page_is_on_its_way_is_not_brought_back(
    imported: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    eleni = imported.add(phone=PHONE)
    imported.add(phone=OTHER_PHONE)
    store = comparing._store

    def page_by_page(row: Any, chunk: Any, latest: datetime) -> None:
        service.note_gone(imported.id, eleni)
        contacts.remove_customer(imported.id, eleni)
        store(row, chunk, latest)

    monkeypatch.setattr(comparing, "_store", page_by_page)
    night_comes()
    assert list(imported.contacts()) == [OTHER_PHONE]


@pytest.mark.parametrize(
    ("now", "zone", "night"),
    [
        ("2026-11-20T00:00", "Europe/Athens", "2026-11-20T01:30"),
        ("2026-11-20T01:30", "Europe/Athens", "2026-11-21T01:30"),
        ("2026-11-20T09:00", "America/New_York", "2026-11-21T08:30"),
    ],
)
def test_night_is_the_shops_own(now: str, zone: str, night: str) -> None:
    moments = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (now, night)]
    assert rules.next_night(moments[0], zone) == moments[1]

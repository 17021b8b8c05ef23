"""The nightly comparison finds what webhooks have missed, and goes on after a death."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from blossom.consent import service as consent
from blossom.consent.rules import Source, State
from blossom.contacts import service as contacts
from blossom.contacts.models import Contact
from blossom.customers import jobs, rules, service
from blossom.customers.models import CustomerComparison
from blossom.customers.service import comparing
from blossom.platform import clock, queue
from blossom.platform.db import session, transaction
from blossom.shopify.client import ShopifyClient
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


def days_pass(shop: Shop) -> None:
    """What is known of every customer is old by now, and no change of them is of tonight."""
    with transaction():
        session.execute(update(Contact).values(shopify_updated_at=Contact.shopify_updated_at - timedelta(days=1)))
        session.execute(update(CustomerComparison).values(in_step_until=clock.now() + 2 * rules.LOOK_BACK))
    shop.shopify.advance(3600)


def crowd(shop: Shop, number: int) -> list[int]:
    """So many customers, known here since long."""
    people = [shop.add(phone=f"+30698430340{each}", consent={"state": "SUBSCRIBED"}) for each in range(number)]
    night_comes()
    days_pass(shop)
    return people


def there(shop: Shop) -> list[int]:
    return sorted(each for each in shop.contacts().values() if each is not None)


def test_who_is_gone_without_a_word_is_found_and_with_them_what_only_shopify_had_said(imported: Shop) -> None:
    eleni, nikos = crowd(imported, 2)
    phone_hash = imported.hash_of("+306984303401")
    with transaction():
        consent.opt_out(imported.id, phone_hash, source=Source.KEYWORD)
    for each in (eleni, nikos):
        imported.act(each, "delete")
    night_comes()
    assert imported.contacts() == {}
    assert imported.state("+306984303400") is State.NEVER_SUBSCRIBED
    assert imported.state("+306984303401") is State.OPTED_OUT
    assert (comparison().asked, comparison().gone) == (2, 2)


def test_of_a_merge_that_no_webhook_told_the_one_that_stays_keeps_the_number(imported: Shop) -> None:
    (gone,) = crowd(imported, 1)
    kept = imported.add(first_name="Eleni", email="eleni@example.com")
    imported.act(kept, "merge", other=gone)
    night_comes()
    assert imported.contacts() == {"+306984303400": kept}
    assert imported.state("+306984303400") is State.OPTED_IN


def test_a_number_that_went_over_to_another_customer_leaves_nobody_s_contact_behind(imported: Shop) -> None:
    eleni, nikos = crowd(imported, 2)
    imported.act(nikos, "update", fields={"phone": "+306984303409"})
    imported.act(eleni, "update", fields={"phone": "+306984303401"})
    night_comes()
    assert imported.contacts() == {"+306984303401": eleni, "+306984303409": nikos}


def test_who_was_heard_of_just_now_or_came_by_a_file_alone_is_not_asked_for(imported: Shop) -> None:
    eleni, nikos = crowd(imported, 2)
    imported.act(eleni, "update", fields={"first_name": "Eleni"})
    with transaction():
        session.execute(update(Contact).where(Contact.shopify_customer_id == nikos).values(shopify_updated_at=None))
    imported.act(nikos, "delete")
    night_comes()
    assert comparison().asked == 0
    assert there(imported) == [eleni, nikos]


def test_a_customer_whom_one_replica_doesn_t_know_stays(imported: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (eleni,) = crowd(imported, 1)
    run, answers = ShopifyClient.run, iter([{"nodes": [None]}])

    def lag(client: ShopifyClient, operation: str, **variables: Any) -> dict[str, Any]:
        told = run(client, operation, **variables)
        return next(answers, told) if operation == "customers_there" else told

    monkeypatch.setattr(ShopifyClient, "run", lag)
    night_comes()
    assert there(imported) == [eleni]


def test_so_many_are_asked_for_in_a_night_and_the_next_goes_on_from_there(
    imported: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "ASK", 2)
    monkeypatch.setattr(comparing, "ASKED_A_NIGHT", 3)
    people = crowd(imported, 6)
    for each in (people[0], people[5]):
        imported.act(each, "delete")
    night_comes()
    assert (there(imported), comparison().asked, comparison().asked_up_to) == (people[1:], 4, people[3])
    night_comes()
    assert there(imported) == people[1:5]
    assert comparison().asked == 2
    night_comes()
    assert (comparison().asked, comparison().asked_up_to) == (4, people[4]), "it begins anew after the last one"


def test_a_death_while_asking_costs_one_question_and_the_night_s_count_goes_on(
    imported: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: Any) -> list[int]:
        raise KilledError

    monkeypatch.setattr(comparing, "ASK", 2)
    people = crowd(imported, 5)
    imported.act(people[0], "delete")
    missing, left = comparing._missing, iter((0, 0))
    with monkeypatch.context() as dying:
        dying.setattr(comparing, "_missing", lambda *given: missing(*given) if next(left, None) == 0 else die())
        with pytest.raises(KilledError):
            night_comes()
    assert there(imported) == people[1:]
    night_comes()
    assert (comparison().asked, comparison().gone) == (5, 1)


def test_more_than_can_be_true_are_not_believed_to_be_gone_in_one_night(
    imported: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(comparing, "ASK", 2)
    monkeypatch.setattr(comparing, "GONE_A_NIGHT", 2)
    for each in crowd(imported, 5):
        imported.act(each, "delete")
    night_comes()
    assert len(imported.contacts()) == 3
    assert "customers.many_gone" in caplog.text


def test_a_long_night_is_had_in_several_jobs(imported: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (eleni,) = crowd(imported, 1)
    imported.act(eleni, "delete")
    ticks = iter([0.0] * 3)
    with monkeypatch.context() as short:
        short.setattr(comparing, "time", SimpleNamespace(monotonic=lambda: next(ticks, 1e9)))
        night_comes()
    assert there(imported) == [eleni]
    assert "customers.compare" in [str(job.description) for job in queue.rq_queue("sync").jobs]
    night_comes()
    assert imported.contacts() == {}


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

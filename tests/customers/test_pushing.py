"""Consent that changed here, told to the stand-in's Shopify until it is done. What the stand-in holds is the judge."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.models import ConsentPush
from blossom.consent.rules import Keyword, Source, State
from blossom.consent.service import syncing
from blossom.consent.service.erasing import erase_people
from blossom.contacts import queries as contact_queries
from blossom.contacts import service as contacts
from blossom.contacts.rules import Person, normalise_phone
from blossom.contacts.rules.customers import read_customer
from blossom.customers import jobs, queries, service
from blossom.customers.rules import Push, PushState
from blossom.customers.service import pushing
from blossom.platform import clock, crypto, queue
from blossom.platform.db import session, transaction
from blossom.shopify.client import ShopifyClient
from blossom.shops import service as shop_service
from tests.customers.conftest import OTHER_PHONE, PHONE, Shop
from tests.shops.conftest import OURS

UPDATE, CREATE, LOOK = "CustomerSmsMarketingConsentUpdate", "CustomerCreate", "CustomerByPhone"


def changes(shop: Shop, deed: Any, source: Source = Source.STOREFRONT, **proof: Any) -> None:
    """The person of PHONE changes their mind here, being a contact by then."""
    with transaction():
        person = Person(phone=normalise_phone(PHONE, "GR"), first_name="Eleni", zone="Europe/Athens")
        (saved,) = contacts.save_people(shop.id, [person], given=())
        deed(shop.id, saved.phone_hash, source=source, contact_id=saved.contact_id, **proof)


def push(shop: Shop) -> Push:
    with transaction():
        found = queries.push_of(shop.id, crypto.for_shop(shop.id).lookup(PHONE))
        assert found is not None
        return found


def try_again(shop: Shop) -> None:
    """Let the time come of what was put off, or in a dead worker's hands."""
    shop.wake()
    values = {"next_try_at": clock.now() - timedelta(hours=1), "in_hand_until": None}
    with transaction():
        session.execute(update(ConsentPush).where(ConsentPush.next_try_at.is_not(None)).values(values))
    service.run_pushes()


def there(shop: Shop) -> list[tuple[str | None, str, str]]:
    """Each customer at Shopify: first name, consent, level."""
    found = shop.shopify.shop(OURS)["customers"].values()
    return [(each["first_name"], each["consent"]["state"], each["consent"]["level"]) for each in found]


def story(shop: Shop) -> list[tuple[str, str]]:
    with transaction():
        events = consents.events(shop.id, crypto.for_shop(shop.id).lookup(PHONE))
        return [(each.to_state, each.source) for each in events]


def test_a_customer_s_new_consent_is_told_by_a_job_of_after_the_commit(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    assert "customers.push_consent" in [str(job.description) for job in queue.rq_queue("shopify").jobs]
    assert push(shop).state is PushState.OWED
    jobs.push_consent()
    assert there(shop) == [("Eleni", "SUBSCRIBED", "SINGLE_OPT_IN")]
    assert (push(shop).state, push(shop).words) == (PushState.DONE, None)


def test_a_change_that_is_rolled_back_owes_nothing(shop: Shop) -> None:
    with contextlib.suppress(ZeroDivisionError), transaction():
        consent.opt_in(shop.id, crypto.for_shop(shop.id).lookup(PHONE), source=Source.STOREFRONT)
        raise ZeroDivisionError
    assert service.run_pushes() == 0


def test_an_opt_in_that_was_confirmed_is_told_as_confirmed(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in, details={"double_opt_in": True})
    service.run_pushes()
    assert there(shop) == [("Eleni", "SUBSCRIBED", "CONFIRMED_OPT_IN")]


def test_two_changes_in_a_row_tell_the_last_state_only(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    changes(shop, consent.opt_out, Source.KEYWORD)
    service.run_pushes()
    assert [each[1] for each in there(shop)] == ["UNSUBSCRIBED"]
    assert shop.connected.calls(UPDATE) == 1


def test_a_change_during_the_call_is_told_after_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    tell = pushing._tell

    def tell_while_they_opt_out(row: Any, client: Any) -> Any:
        told = tell(row, client)
        if row.revision == 1:
            with clock.frozen_at(clock.now() + timedelta(seconds=2)):
                changes(shop, consent.opt_out, Source.KEYWORD)
        return told

    monkeypatch.setattr(pushing, "_tell", tell_while_they_opt_out)
    service.run_pushes()
    try_again(shop)
    assert [each[1] for each in there(shop)] == ["UNSUBSCRIBED"]
    assert push(shop).state is PushState.DONE


def test_no_transaction_is_held_during_a_call(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []
    run = ShopifyClient.run

    def look(client: ShopifyClient, operation: str, **variables: Any) -> dict[str, Any]:
        held.append(session().in_transaction())
        return run(client, operation, **variables)

    monkeypatch.setattr(ShopifyClient, "run", look)
    changes(shop, consent.opt_in)
    service.run_pushes()
    assert held == [False, False]


def test_a_new_customer_keeps_the_tags_of_the_contact_that_it_was_made_of(shop: Shop) -> None:
    with transaction():
        phone = normalise_phone(PHONE, "GR")
        person = Person(phone=phone, first_name="Eleni", zone="Europe/Athens", tags=("vip", "μάρτιος 2026"))
        contacts.save_people(shop.id, [person])
    changes(shop, consent.opt_in)
    service.run_pushes()
    (customer,) = shop.shopify.shop(OURS)["customers"].values()
    assert sorted(customer["tags"]) == ["vip", "μάρτιος 2026"], "else its echo takes them from whoever asks by tag"


def test_a_new_person_becomes_a_customer_once_though_the_answer_got_lost(shop: Shop) -> None:
    changes(shop, consent.opt_in)
    shop.shopify.fail({"kind": "timeout", "area": "graphql", "operation": CREATE, "next": 1, "done": True})
    service.run_pushes()
    owed = push(shop)
    assert (owed.state, owed.tries) == (PushState.OWED, 1)
    try_again(shop)
    assert there(shop) == [("Eleni", "SUBSCRIBED", "SINGLE_OPT_IN")]
    assert (push(shop).state, shop.connected.calls(CREATE)) == (PushState.DONE, 1)


def test_somebody_unknown_who_opted_out_is_not_made_a_customer(shop: Shop) -> None:
    changes(shop, consent.opt_out, Source.KEYWORD)
    service.run_pushes()
    assert there(shop) == []
    assert push(shop).state is PushState.DONE


@pytest.mark.parametrize("before", ["a stop, before the customer is known", "a stop, before the app was there"])
def test_an_opt_out_that_nobody_at_shopify_could_be_told_of_is_told_once_they_are_known(
    shop: Shop, before: str
) -> None:
    phone_hash = shop.hash_of(PHONE)
    with transaction():
        consent.record_keyword(shop.id, phone_hash, Keyword.STOP)
    if before.endswith("there"):
        with transaction():
            session.execute(delete(ConsentPush))
    service.run_pushes()
    earlier = (clock.now() - timedelta(days=30)).isoformat()
    shop.add(first_name="Eleni", phone=PHONE, consent={"state": "SUBSCRIBED", "updated_at": earlier})

    shop.ask()
    shop.finish()
    service.run_pushes()

    assert [each[1] for each in there(shop)] == ["UNSUBSCRIBED"]
    assert shop.state() is State.OPTED_OUT
    shop.ask()
    shop.finish()
    with transaction():
        assert session.query(ConsentPush).one().next_try_at is None, "said once, it is not said again"


def test_what_fails_is_tried_again_with_growing_delay_until_it_is_done(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    shop.shopify.fail({"kind": "403", "area": "graphql", "share": 1.0})
    delays = []
    for _ in range(2):
        try_again(shop)
        with transaction():
            row = session.query(ConsentPush).one()
            assert row.next_try_at is not None
            delays.append(row.next_try_at - clock.now())
    assert timedelta(seconds=3) < delays[0] < delays[1]
    assert service.run_pushes() == 0
    shop.shopify.fail()
    try_again(shop)
    assert [each[1] for each in there(shop)] == ["SUBSCRIBED"]


def test_what_shopify_refuses_is_kept_with_its_words_and_not_tried_again(shop: Shop) -> None:
    shop.add(first_name="Other", email="eleni@example.com")
    changes(shop, consent.opt_in)
    with transaction():
        contact = contact_queries.contact_by_phone(shop.id, PHONE)
        assert contact is not None
        contact.email, contact.email_hash = "eleni@example.com", b"hash"
    service.run_pushes()
    try_again(shop)
    refused = push(shop)
    assert refused.state is PushState.REFUSED
    assert "Email has already been taken" in str(refused.words)
    assert shop.connected.calls(CREATE) == 1


def test_who_becomes_a_customer_while_we_look_is_told_of_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes(shop, consent.opt_in)
    run = ShopifyClient.run

    def run_beside_a_checkout(self: ShopifyClient, name: str, **variables: Any) -> Any:
        if name == "customer_create":
            shop.add(first_name="At the checkout", phone=PHONE)
        return run(self, name, **variables)

    monkeypatch.setattr(ShopifyClient, "run", run_beside_a_checkout)
    service.run_pushes()
    assert there(shop) == [("At the checkout", "SUBSCRIBED", "SINGLE_OPT_IN")]
    assert push(shop).state is PushState.DONE


def test_another_number_of_the_customer_is_not_subscribed_in_its_place(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    run = ShopifyClient.run

    def run_late(self: ShopifyClient, name: str, **variables: Any) -> Any:
        answer = run(self, name, **variables)
        if name == "customer_by_phone":  # found by what an index still knew
            shop.act(customer, "update", fields={"phone": OTHER_PHONE})
            answer = {
                "customerByIdentifier": run(self, "customer", id=f"gid://shopify/Customer/{customer}")["customer"]
            }
        return answer

    monkeypatch.setattr(ShopifyClient, "run", run_late)
    service.run_pushes()
    assert [each[1] for each in there(shop)] == ["NOT_SUBSCRIBED"]
    assert push(shop).state is PushState.REFUSED
    assert "another number" in str(push(shop).words)


def test_a_later_opt_out_at_shopify_is_heard_instead_of_overwritten(shop: Shop) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_in)
    later = (clock.now() + timedelta(seconds=30)).isoformat()
    shop.act(customer, "consent", fields={"state": "UNSUBSCRIBED", "updated_at": later})
    service.run_pushes()
    assert [each[1] for each in there(shop)] == ["UNSUBSCRIBED"]
    assert shop.state() is State.OPTED_OUT
    assert push(shop).state is PushState.DONE


def test_an_opt_out_here_stands_though_shopify_keeps_a_later_opt_in_and_the_contact_says_so(shop: Shop) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_out, Source.KEYWORD)
    later = (clock.now() + timedelta(seconds=30)).isoformat()
    shop.act(customer, "consent", fields={"state": "SUBSCRIBED", "updated_at": later})
    service.run_pushes()
    assert shop.state() is State.OPTED_OUT
    refused = push(shop)
    assert refused.state is PushState.REFUSED
    assert "later word" in str(refused.words)


def sync(shop: Shop) -> None:
    """Shopify's record of PHONE is read and taken, as by a webhook."""
    facts = shop_service.client(shop.id).run("customer_by_phone", phone=PHONE)["customerByIdentifier"]
    customer = read_customer(facts, default_country="GR", shop_zone="Europe/Athens")
    assert customer is not None
    with transaction():
        syncing.save_customers(shop.id, [customer])


@pytest.mark.parametrize("whose", [Source.KEYWORD, Source.SHOPIFY])
@pytest.mark.parametrize("how", ["another app's word", "made anew", "forgotten and made anew"])
def test_a_yes_that_shopify_has_after_it_was_told_of_a_stop_is_answered_once_and_the_contact_says_so(
    shop: Shop, how: str, whose: Source
) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_out, whose)
    service.run_pushes()
    yes = {"state": "SUBSCRIBED", "updated_at": (clock.now() + timedelta(seconds=30)).isoformat()}
    if how == "another app's word":
        shop.act(customer, "consent", fields=yes)
    else:
        shop.act(customer, "delete")
        shop.add(first_name="Eleni", phone=PHONE, consent=yes)
    if how == "forgotten and made anew":
        phone_hash = shop.hash_of(PHONE)
        with transaction():
            erase_people(shop.id, [phone_hash], actor="shopify")

    sync(shop)
    assert push(shop).state is PushState.OWED
    assert service.run_pushes() == 1
    assert (push(shop).state, shop.state()) == (PushState.REFUSED, State.OPTED_OUT)
    assert "Shopify holds a later word" in str(push(shop).words)
    for _ in range(2):
        sync(shop)
        assert service.run_pushes() == 0, "answered once"


def test_once_shopify_says_the_same_again_the_contact_says_that_it_knows(shop: Shop) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_out, Source.KEYWORD)
    for seconds, said, end in ((30, "SUBSCRIBED", PushState.REFUSED), (60, "UNSUBSCRIBED", PushState.DONE)):
        later = (clock.now() + timedelta(seconds=seconds)).isoformat()
        shop.act(customer, "consent", fields={"state": said, "updated_at": later})
        sync(shop)
        service.run_pushes()
        sync(shop)
        assert (push(shop).state, service.run_pushes()) == (end, 0)


def test_who_confirmed_to_shopify_after_the_opt_out_is_heard_instead(shop: Shop) -> None:
    customer = shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.opt_out, Source.KEYWORD)
    later = (clock.now() + timedelta(minutes=5)).isoformat()
    given = {"state": "SUBSCRIBED", "updated_at": later, "level": "CONFIRMED_OPT_IN", "collected_from": "SHOPIFY"}
    shop.act(customer, "consent", fields=given)
    service.run_pushes()
    assert shop.state() is State.OPTED_IN
    assert (push(shop).state, push(shop).words) == (PushState.DONE, None)


def test_who_is_asked_to_confirm_is_pending_there_and_then_subscribed(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    changes(shop, consent.ask)
    service.run_pushes()
    assert there(shop) == [("Eleni", "PENDING", "CONFIRMED_OPT_IN")]
    changes(shop, consent.opt_in, details={"double_opt_in": True})
    service.run_pushes()
    assert there(shop) == [("Eleni", "SUBSCRIBED", "CONFIRMED_OPT_IN")]


@pytest.mark.parametrize(("said", "here"), [("SUBSCRIBED", State.PENDING), ("UNSUBSCRIBED", State.OPTED_OUT)])
def test_being_asked_is_told_over_nothing_that_somebody_said(shop: Shop, said: str, here: State) -> None:
    before = (clock.now() - timedelta(hours=1)).isoformat()
    shop.add(first_name="Eleni", phone=PHONE, consent={"state": said, "updated_at": before})
    changes(shop, consent.ask)
    service.run_pushes()
    assert [each[1] for each in there(shop)] == [said]
    assert (shop.state(), push(shop).state) == (here, PushState.DONE)


def test_who_is_asked_and_unknown_there_is_not_made_a_customer(shop: Shop) -> None:
    changes(shop, consent.ask)
    service.run_pushes()
    assert (there(shop), push(shop).state) == ([], PushState.DONE)


def test_the_echo_of_our_own_word_changes_nothing_and_owes_nothing(shop: Shop) -> None:
    shop.add(first_name="Eleni", phone=PHONE)
    for deed, source in ((consent.opt_in, Source.STOREFRONT), (consent.opt_out, Source.KEYWORD)):
        changes(shop, deed, source)
        service.run_pushes()
        before = story(shop)
        facts = shop_service.client(shop.id).run("customer_by_phone", phone=PHONE)["customerByIdentifier"]
        customer = read_customer(facts, default_country="GR", shop_zone="Europe/Athens")
        assert customer is not None
        with transaction():
            syncing.save_customers(shop.id, [customer])
        assert story(shop) == before
        assert service.run_pushes() == 0


def test_what_shopify_itself_told_is_not_told_back(shop: Shop) -> None:
    changes(shop, consent.opt_in, Source.SHOPIFY)
    assert service.run_pushes() == 0


def test_without_access_nothing_is_tried_and_a_shop_that_refuses_is_left_alone_for_a_while(shop: Shop) -> None:
    changes(shop, consent.opt_in)
    with transaction():
        consent.opt_in(shop.id, b"another phone, no contact", source=Source.IMPORT)
    shop.shopify.fail({"kind": "403", "area": "graphql", "share": 1.0})
    assert service.run_pushes() == 1
    assert service.run_pushes() == 0
    assert (push(shop).state, push(shop).words is None) == (PushState.OWED, False)
    with transaction():
        shop_service.uninstall(shop.id)
    try_again(shop)
    assert (push(shop).tries, shop.connected.calls(LOOK)) == (1, 1)


def test_a_worker_that_died_leaves_its_phone_to_the_next_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: Any) -> None:
        raise KilledError

    changes(shop, consent.opt_in)
    with monkeypatch.context() as dying:
        dying.setattr(pushing, "_settle", die)
        with pytest.raises(KilledError):
            service.run_pushes()
    assert service.run_pushes() == 0  # in the dead one's hands, for a while
    try_again(shop)
    assert push(shop).state is PushState.DONE
    assert (shop.connected.calls(CREATE), shop.connected.calls(UPDATE)) == (1, 0)

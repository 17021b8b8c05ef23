"""Customers at the stand-in's Shopify, and what our contacts and consent come to by its webhooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.rules import Source, State
from blossom.consent.service import syncing
from blossom.contacts.models import Contact
from blossom.contacts.rules.customers import read_customer
from blossom.inbound.service import handling
from blossom.platform import crypto, db
from tests.inbound.merchant import OURS, Merchant, contacts, ends, handle, merchant, minutes_ago, running, try_again

__all__ = ["merchant", "running"]

PHONE, OTHER_PHONE = "+306984303406", "+306984303407"
ELENI = {"first_name": "Eleni", "last_name": "Papa", "email": "eleni@example.com", "phone": PHONE, "country": "GR"}


def the_contact() -> Contact:
    (found,) = contacts()
    return found


def state(merchant: Merchant, phone: str = PHONE) -> State:
    return consents.state_of(merchant.shop_id, crypto.for_shop(merchant.shop_id).lookup(phone))


def story(merchant: Merchant, phone: str = PHONE) -> list[tuple[str, str]]:
    found = consents.events(merchant.shop_id, crypto.for_shop(merchant.shop_id).lookup(phone))
    return [(each.to_state, each.source) for each in found]


def by_the_person(merchant: Merchant, deed: Any, source: Source = Source.STOREFRONT) -> None:
    deed(merchant.shop_id, crypto.for_shop(merchant.shop_id).lookup(PHONE), source=source)
    db.session.commit()


def test_a_new_customer_becomes_a_contact(merchant: Merchant) -> None:
    merchant.add(**ELENI, tags=["athens", "vip"], orders=3, amount_spent=12_345, locale="el")
    merchant.tell()
    found = the_contact()
    assert (found.first_name, found.last_name, found.email, found.phone) == tuple(ELENI.values())[:4]
    assert (found.country, found.zone, found.locale) == ("GR", "Europe/Athens", "el")
    assert (found.tags, found.orders_count, found.total_spent_minor) == (["athens", "vip"], 3, 12_345)
    assert ends() == [("customers/create", "done", "applied")]
    assert state(merchant) is State.NEVER_SUBSCRIBED


def test_a_customer_without_a_phone_is_no_contact(merchant: Merchant) -> None:
    merchant.add(first_name="Eleni", email="eleni@example.com")
    merchant.tell()
    assert contacts() == []
    assert ends() == [("customers/create", "done", "applied")]


def test_a_number_that_can_t_be_texted_is_no_contact(merchant: Merchant) -> None:
    merchant.add(first_name="Eleni", phone="+302101234567")
    merchant.tell()
    assert contacts() == []


def test_changes_come_in_step(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    merchant.tell()
    before = the_contact().id
    merchant.act(eleni, "update", fields={"first_name": "Helen", "phone": OTHER_PHONE, "tags": ["vip"]})
    merchant.tell()
    found = the_contact()
    assert (found.id, found.first_name, found.phone, found.tags) == (before, "Helen", OTHER_PHONE, ["vip"])


def test_what_is_known_already_is_not_asked_about(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    news = merchant.news()
    merchant.stand_in.advance(5)
    merchant.act(eleni, "update", fields={"tags": ["vip"]})
    merchant.tell()
    asked = len(merchant.stand_in.calls())
    merchant.tell(news)
    assert ends()[-1] == ("customers/create", "done", "known_already")
    assert len(merchant.stand_in.calls()) == asked
    assert the_contact().tags == ["vip"]


@pytest.mark.parametrize(
    ("said", "ours", "events"),
    [
        ("SUBSCRIBED", State.OPTED_IN, [("opted_in", "checkout")]),  # confirmed to Shopify itself: the person's own act
        ("UNSUBSCRIBED", State.OPTED_OUT, [("opted_out", "shopify")]),
        ("PENDING", State.PENDING, [("pending", "shopify")]),
    ],
)
def test_each_of_shopify_s_states_is_one_of_ours(
    merchant: Merchant, said: str, ours: State, events: list[tuple[str, str]]
) -> None:
    eleni = merchant.add(**ELENI)
    merchant.tell()
    at = minutes_ago(60)
    consent_given = {"state": said, "level": "CONFIRMED_OPT_IN", "updated_at": at, "collected_from": "SHOPIFY"}
    merchant.act(eleni, "consent", fields=consent_given)
    merchant.tell()
    assert state(merchant) is ours
    assert story(merchant) == events
    (event,) = consents.events(merchant.shop_id, the_contact().phone_hash or b"")
    assert event.details == {"level": "CONFIRMED_OPT_IN", "collected_from": "SHOPIFY"}
    assert (event.occurred_at, event.contact_id) == (datetime.fromisoformat(at), the_contact().id)
    assert event.recorded_at > event.occurred_at


def test_who_opted_out_here_is_not_opted_in_by_what_shopify_says(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI, consent={"state": "SUBSCRIBED", "updated_at": minutes_ago(60)})
    merchant.tell()
    by_the_person(merchant, consent.opt_out, Source.KEYWORD)
    merchant.act(eleni, "update", fields={"tags": ["vip"]})
    merchant.act(eleni, "consent", fields={"state": "SUBSCRIBED", "level": "CONFIRMED_OPT_IN"})
    merchant.tell()
    assert state(merchant) is State.OPTED_OUT
    assert story(merchant) == [("opted_in", "shopify"), ("opted_out", "keyword")]


def test_who_agreed_here_is_not_taken_back_by_what_shopify_has_not_heard(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    merchant.tell()
    by_the_person(merchant, consent.opt_in)
    merchant.act(eleni, "update", fields={"tags": ["vip"]})
    merchant.tell()
    assert state(merchant) is State.OPTED_IN


def test_an_opt_out_of_before_is_no_answer_to_who_agreed_here_since(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI, consent={"state": "UNSUBSCRIBED", "updated_at": minutes_ago(60)})
    merchant.tell()
    by_the_person(merchant, consent.opt_in)
    merchant.act(eleni, "update", fields={"tags": ["vip"]})
    merchant.tell()
    assert state(merchant) is State.OPTED_IN
    merchant.act(eleni, "consent", fields={"state": "UNSUBSCRIBED"})
    merchant.tell()
    assert state(merchant) is State.OPTED_OUT, "a new one is"


def test_an_opt_out_that_is_overtaken_when_we_look_holds_all_the_same(merchant: Merchant) -> None:
    """So it comes to the same as if each had been looked at in its turn."""
    eleni = merchant.add(**ELENI)
    for said in ("UNSUBSCRIBED", "SUBSCRIBED"):
        merchant.stand_in.advance(5)
        merchant.act(eleni, "consent", fields={"state": said})
    merchant.tell(reversed(merchant.news()))
    assert state(merchant) is State.OPTED_OUT


def test_an_opt_out_goes_ahead_of_all_that_waits(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many do after an import: what we tell Shopify of each comes back."""
    monkeypatch.setattr(handling, "TOGETHER", 3)
    eleni = merchant.add(**ELENI)
    merchant.tell()
    for _ in range(8):
        merchant.stand_in.advance(5)
        merchant.act(eleni, "update", fields={"tags": ["vip"]})
    merchant.act(eleni, "consent", fields={"state": "UNSUBSCRIBED"})
    merchant.bring(merchant.news())
    (first, *_) = handling._take(handling._topics(asks=True))
    assert first.topic == "customers_marketing_consent/update"


def test_an_opt_out_is_heard_also_of_a_customer_who_is_gone(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    merchant.act(eleni, "consent", fields={"state": "UNSUBSCRIBED"})
    merchant.act(eleni, "delete")
    merchant.tell(reversed(merchant.news()))
    assert contacts() == []
    assert state(merchant) is State.OPTED_OUT


def test_what_was_read_before_what_we_have_changes_nothing(merchant: Merchant) -> None:
    """A handler that was held up for minutes between its reading and its writing."""
    merchant.add(**ELENI, consent={"state": "SUBSCRIBED"})
    merchant.tell()
    now = the_contact().shopify_updated_at
    assert now is not None
    facts = {
        "id": f"gid://shopify/Customer/{the_contact().shopify_customer_id}",
        "firstName": "Old",
        "defaultPhoneNumber": {"phoneNumber": PHONE, "smsMarketingConsent": {"state": "UNSUBSCRIBED"}},
    }
    for age, name, stands in ((1, "Eleni", State.OPTED_IN), (0, "Old", State.OPTED_OUT)):
        read = read_customer(
            {**facts, "updatedAt": (now - timedelta(seconds=age)).isoformat()}, default_country="GR", shop_zone="UTC"
        )
        assert read is not None
        syncing.save_customers(merchant.shop_id, [read])
        db.session.commit()
        (found,) = contacts()
        assert (found.first_name, state(merchant)) == (name, stands)


def test_a_customer_that_is_gone_is_no_contact_and_their_opt_out_stays(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    merchant.tell()
    by_the_person(merchant, consent.opt_out, Source.KEYWORD)
    merchant.act(eleni, "delete")
    merchant.tell()
    assert contacts() == []
    assert state(merchant) is State.OPTED_OUT


def test_with_a_customer_goes_what_only_shopify_had_said(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI, consent={"state": "SUBSCRIBED"})
    merchant.tell()
    merchant.act(eleni, "delete")
    merchant.tell()
    assert state(merchant) is State.NEVER_SUBSCRIBED


def test_a_change_that_comes_after_the_end_brings_nobody_back(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    late = merchant.news()
    merchant.act(eleni, "delete")
    merchant.tell()
    merchant.tell(late)
    assert contacts() == []
    assert ends()[-1] == ("customers/create", "done", "applied")


def test_of_two_merged_customers_the_contact_of_one_stays(merchant: Merchant) -> None:
    kept = merchant.add(first_name="Eleni", email="eleni@example.com")
    gone = merchant.add(first_name="E.", phone=PHONE, country="GR", consent={"state": "SUBSCRIBED"})
    merchant.tell()
    assert the_contact().shopify_customer_id == gone
    merchant.act(kept, "merge", other=gone)
    merchant.tell()
    found = the_contact()
    assert (found.shopify_customer_id, found.phone, found.email) == (kept, PHONE, "eleni@example.com")
    assert state(merchant) is State.OPTED_IN


def test_two_merged_customers_with_a_phone_each_leave_one_contact(merchant: Merchant) -> None:
    kept, gone = merchant.add(**ELENI), merchant.add(first_name="E.", phone=OTHER_PHONE)
    merchant.tell()
    merchant.act(kept, "merge", other=gone)
    merchant.tell()
    assert (the_contact().shopify_customer_id, the_contact().phone) == (kept, PHONE)


def test_the_customers_of_many_webhooks_are_read_by_one_question(merchant: Merchant) -> None:
    for number in range(5):
        eleni = merchant.add(first_name=f"P{number}", phone=f"+30698430340{number}")
        merchant.act(eleni, "consent", fields={"state": "SUBSCRIBED"})
    merchant.tell()
    assert len(contacts()) == 5
    asked = [call["operation"] for call in merchant.stand_in.calls() if call["operation"].startswith("Customer")]
    assert asked == ["CustomersById"]
    assert {each[1] for each in ends()} == {"done"}
    assert len(ends()) == 15


def test_a_customer_that_can_t_be_saved_holds_no_other_up(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    save = syncing.save_customers

    def save_but_one(shop_id: int, customers: Any) -> Any:
        saved = save(shop_id, customers)
        if any(each.person.first_name == "Bad" for each in customers):
            raise ValueError("a fault of ours")
        return saved

    for number, name in enumerate(["Eleni", "Bad", "Nikos"]):
        merchant.add(first_name=name, phone=f"+30698430340{number}")
    with monkeypatch.context() as broken:
        broken.setattr(syncing, "save_customers", save_but_one)
        merchant.tell()
    assert [each.first_name for each in contacts()] == ["Eleni", "Nikos"]
    assert [each[1:] for each in ends()] == [("done", "applied"), ("new", "ValueError"), ("done", "applied")]
    try_again()
    assert len(contacts()) == 3


def test_numbers_that_went_round_come_to_the_same_however_many_webhooks_are_handled_at_once(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_round() -> list[tuple[int | None, str | None]]:
        people = [merchant.add(first_name=f"P{each}", phone=f"+30698430340{each}") for each in range(3)]
        merchant.tell()
        merchant.act(people[2], "update", fields={"phone": "+306984303409"})
        for each in (1, 0):
            merchant.stand_in.advance(5)
            merchant.act(people[each], "update", fields={"phone": f"+30698430340{each + 1}"})
        merchant.tell()
        found = [(people.index(each.shopify_customer_id or 0), each.phone) for each in contacts()]
        for each in people:
            merchant.act(each, "delete")
        merchant.tell()
        return sorted(found)

    together = go_round()
    monkeypatch.setattr(handling, "TOGETHER", 1)
    assert together == go_round() == [(0, "+306984303401"), (1, "+306984303402"), (2, "+306984303409")]


@pytest.mark.parametrize("seed", range(3))
def test_doubled_and_in_any_order_it_comes_to_the_same(merchant: Merchant, seed: int) -> None:
    kept, gone = merchant.add(**ELENI), merchant.add(first_name="E.", phone=OTHER_PHONE)
    left = merchant.add(first_name="Nikos", phone="+306984303408", consent={"state": "SUBSCRIBED"})
    merchant.act(kept, "consent", fields={"state": "SUBSCRIBED", "updated_at": minutes_ago(60)})
    merchant.act(kept, "update", fields={"first_name": "Helen"})
    merchant.act(kept, "consent", fields={"state": "UNSUBSCRIBED"})
    merchant.act(kept, "merge", other=gone)
    merchant.act(left, "delete")
    merchant.tell_in_disorder(seed)
    assert (the_contact().shopify_customer_id, the_contact().first_name) == (kept, "Helen")
    assert state(merchant) is State.OPTED_OUT
    assert state(merchant, "+306984303408") is State.NEVER_SUBSCRIBED
    assert {each[1] for each in ends()} == {"done"}


def test_what_shopify_fails_to_answer_is_asked_again(merchant: Merchant) -> None:
    merchant.add(**ELENI)
    merchant.stand_in.fail({"kind": "404", "area": "graphql", "next": 1})
    merchant.tell()
    assert contacts() == []
    ((_, waiting, _),) = ends()
    assert waiting == "new"
    merchant.stand_in.fail()
    try_again()
    assert the_contact().phone == PHONE
    assert [each[1] for each in ends()] == ["done"]


def test_after_the_shop_has_left_nothing_is_read(merchant: Merchant) -> None:
    merchant.add(**ELENI)
    news = merchant.news()
    merchant.stand_in.uninstall(OURS)
    merchant.tell()
    merchant.tell(news)
    assert contacts() == []
    assert ends()[-1] == ("customers/create", "ignored", "shop_left")


def test_a_payload_that_names_no_customer_is_given_up(merchant: Merchant) -> None:
    for topic in ("customers/update", "customers/delete", "customers/merge"):
        merchant.shopify.post(topic, {"id": "nobody"}, secret="stand-in-secret")
    handle()
    assert ends() == [
        (topic, "dead", "no_customer_named") for topic in ("customers/update", "customers/delete", "customers/merge")
    ]


def test_a_replica_that_has_not_heard_of_a_change_is_asked_again(merchant: Merchant) -> None:
    eleni = merchant.add(**ELENI)
    (told,) = merchant.news()
    told["body"]["updated_at"] = datetime(2100, 1, 1, tzinfo=UTC).isoformat()
    merchant.tell([told])
    assert ends() == [("customers/create", "new", "shopify_lags")]
    assert eleni
    assert contacts() == []

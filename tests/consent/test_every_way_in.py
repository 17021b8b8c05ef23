"""Nobody is texted marketing without having opted in, whichever way their number came."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from blossom.consent import queries
from blossom.consent import service as consent
from blossom.consent.rules import BY_THE_PERSON, Deed, Keyword, Purpose, Source, State
from blossom.consent.service import Asked, Step, syncing
from blossom.contacts import service as contacts
from blossom.contacts.rules import Attestation, Person, Phone
from blossom.contacts.rules.customers import Customer, SmsConsent
from blossom.platform import clock, crypto, db
from blossom.shops.models import Shop
from tests.architecture import tree
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop

ELENI = "+306912345678"


def form(shop: Shop, settle: bool = True) -> str:
    """A form with her number; the code, if a text with one was asked for."""
    codes: list[str] = []

    def ask(asked: Asked) -> int:
        codes.append(asked.code)
        return dispatch(shop)

    consent.receive_request(
        shop.id, Phone(ELENI, "GR"), form=f"form {clock.now()}", locale="en", path_prefix="/apps/x",
        wording="Yes, texts", ip=None, user_agent=None,
    )  # fmt: skip
    if settle:
        for shop_id, request_id in queries.unsettled_requests(clock.now() + timedelta(minutes=5)):
            consent.settle_request(shop_id, request_id, ask)
    return codes[-1] if codes else ""


def dispatch(shop: Shop) -> int:
    found = db.session.execute(
        db.db.text(
            "INSERT INTO dispatches (shop_id, kind, state, rank, priority, source, trigger, sender, created_at) "
            "VALUES (:shop, 'reply', 'sending', 0, 0, 'x', 'campaign', 'Ours', :now) RETURNING id"
        ),
        {"shop": shop.id, "now": clock.now()},
    )
    return int(found.scalar_one())


def import_file(shop: Shop, said: str, attested: bool) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["Phone", "Accepts SMS Marketing"], [ELENI, said]])
    attestation = Attestation("staff:1", "These people agreed.") if attested else None
    db.session.commit()
    consent.import_customers(shop.id, io.BytesIO(out.getvalue().encode()), filename="c.csv", attestation=attestation)


def step(deed: Deed, source: Source) -> Callable[[Shop], None]:
    return lambda shop: discard(consent.apply(shop.id, [Step(her_hash(shop), deed, source)]))


def discard(_: object) -> None: ...


def shopify_says(shop: Shop, state: str, phone: str = ELENI, level: str = "SINGLE_OPT_IN") -> None:
    """Shopify's record of a customer, as a bulk import, a webhook, the nightly comparison and a push read it."""
    at = clock.now()
    person = Person(phone=Phone(phone, "GR"), zone="Europe/Athens", shopify_customer_id=7)
    said = SmsConsent(state, level, at - timedelta(days=1), "SHOPIFY")
    syncing.save_customers(shop.id, [Customer(7, at, person, None, said)])


def her_hash(shop: Shop) -> bytes:
    return crypto.for_shop(shop.id).lookup(ELENI)


def double(shop: Shop) -> None:
    consent.update_settings(shop.id, double_opt_in=True)


WITHOUT_CONSENT: dict[str, Callable[[Shop], object]] = {
    "nothing ever happened": lambda shop: None,
    "a contact made by hand": lambda shop: create_contact(shop, phone=ELENI),
    "a list that says yes, without the merchant's word": lambda shop: import_file(shop, "yes", attested=False),
    "a list that says no": lambda shop: import_file(shop, "no", attested=True),
    "a list that says unsubscribed": lambda shop: import_file(shop, "unsubscribed", attested=True),
    "a form that no job has read": lambda shop: form(shop, settle=False),
    "a form, not confirmed": lambda shop: (double(shop), form(shop)),
    "a form, confirmed by a wrong code": lambda shop: (
        double(shop), form(shop), consent.confirm(shop.id, "0" * 16, ip=None, user_agent=None),
    ),
    "HELP": lambda shop: consent.record_keyword(shop.id, her_hash(shop), Keyword.HELP),
    **{
        f"a customer at Shopify: {state}": lambda shop, state=state: shopify_says(shop, state)
        for state in ("NEVER_SUBSCRIBED", "NOT_SUBSCRIBED", "PENDING", "UNSUBSCRIBED", "REDACTED", "A_NEW_WORD")
    },
    "a customer who agreed, and who has another number now": lambda shop: (
        shopify_says(shop, "SUBSCRIBED"), shopify_says(shop, "SUBSCRIBED", "+306912345679"),
    ),
    "a customer who agreed, and who is gone": lambda shop: (
        shopify_says(shop, "SUBSCRIBED"), contacts.remove_customer(shop.id, 7),
        syncing.forget_list(shop.id, her_hash(shop)),
    ),
    "a customer who agreed, which Shopify took back": lambda shop: (
        shopify_says(shop, "SUBSCRIBED"), shopify_says(shop, "NEVER_SUBSCRIBED"),
    ),
    "another number of a customer who agreed": lambda shop: shopify_says(shop, "SUBSCRIBED", "+306912345679"),
    **{f"asked by {source.value}": step(Deed.ASK, source) for source in Source},
    **{f"lapsed by {source.value}": step(Deed.LAPSE, source) for source in Source},
    **{f"retracted by {source.value}": step(Deed.RETRACT, source) for source in Source},
    **{f"opted out by {source.value}": step(Deed.OPT_OUT, source) for source in Source},
}  # fmt: skip

WITH_CONSENT: dict[str, Callable[[Shop], object]] = {
    "a list that says yes, with the merchant's word": lambda shop: import_file(shop, "yes", attested=True),
    "a form": form,
    "a form, confirmed": lambda shop: (
        double(shop), consent.confirm(shop.id, form(shop), ip=None, user_agent=None),
    ),
    "a customer at Shopify: SUBSCRIBED": lambda shop: shopify_says(shop, "SUBSCRIBED"),
    "a customer who confirmed to Shopify": lambda shop: shopify_says(shop, "SUBSCRIBED", level="CONFIRMED_OPT_IN"),
    "START": lambda shop: consent.record_keyword(shop.id, her_hash(shop), Keyword.START),
    **{f"opted in by {source.value}": step(Deed.OPT_IN, source) for source in Source},
}  # fmt: skip

BY_LISTS = (
    "a list that says yes, with the merchant's word",
    "a customer at Shopify: SUBSCRIBED",
    "a customer who confirmed to Shopify",  # before the opt-out
    *(f"opted in by {source.value}" for source in Source if source not in BY_THE_PERSON),
)


@pytest.fixture
def shop(app: Flask) -> Shop:
    return create_shop()


def marketing(shop: Shop) -> bool:
    shop_id, phone_hash = shop.id, her_hash(shop)
    allowed, why = queries.may_text(shop_id, phone_hash, Purpose.MARKETING)
    assert queries.may_text_many(shop_id, [phone_hash], Purpose.MARKETING)[phone_hash] == (allowed, why)
    assert queries.may_text(shop_id, phone_hash, Purpose.MARKETING, at=clock.now()) == (allowed, why)
    return allowed


@pytest.fixture
def reload(shop: Shop) -> Callable[[], Shop]:
    shop_id = shop.id
    return lambda: db.session.get_one(Shop, shop_id)


@pytest.mark.parametrize("way", WITHOUT_CONSENT)
def test_this_way_in_gives_no_consent(shop: Shop, reload: Callable[[], Shop], way: str) -> None:
    WITHOUT_CONSENT[way](shop)
    assert not marketing(reload())


@pytest.mark.parametrize("way", WITH_CONSENT)
def test_this_way_in_gives_consent(shop: Shop, reload: Callable[[], Shop], way: str) -> None:
    WITH_CONSENT[way](shop)
    assert marketing(reload())


@pytest.mark.parametrize("way", [*WITHOUT_CONSENT, *BY_LISTS])
def test_after_an_opt_out_nothing_but_the_person_brings_texts_back(
    shop: Shop, reload: Callable[[], Shop], way: str
) -> None:
    consent.opt_out(shop.id, her_hash(shop), source=Source.KEYWORD)
    db.session.flush()
    {**WITHOUT_CONSENT, **WITH_CONSENT}[way](shop)
    shop = reload()
    assert queries.state_of(shop.id, her_hash(shop)) is State.OPTED_OUT


def test_a_contact_without_a_number_gets_no_text_of_any_kind(shop: Shop) -> None:
    contact = create_contact(shop, phone=None)
    for purpose in Purpose:
        assert queries.may_text(shop.id, contact.phone_hash, purpose) == (False, "no_phone")


def test_what_was_allowed_then_is_answered_for_then(shop: Shop) -> None:
    start = clock.now()
    for hours, deed in ((1, Deed.OPT_IN), (2, Deed.OPT_OUT)):
        with clock.frozen_at(start + timedelta(hours=hours)):
            consent.apply(shop.id, [Step(her_hash(shop), deed, Source.KEYWORD)])

    allowed = [
        queries.may_text(shop.id, her_hash(shop), Purpose.MARKETING, at=start + timedelta(hours=hours))[0]
        for hours in (0.5, 1.5, 2.5)
    ]
    assert allowed == [False, True, False]


def test_consent_is_never_dated_ahead(shop: Shop) -> None:
    consent.opt_in(shop.id, her_hash(shop), source=Source.CHECKOUT, occurred_at=clock.now() + timedelta(days=9))
    consent.opt_out(shop.id, her_hash(shop), source=Source.KEYWORD)
    with clock.frozen_at(clock.now() + timedelta(hours=1)):
        consent.opt_in(shop.id, her_hash(shop), source=Source.KEYWORD)

    assert queries.state_of(shop.id, her_hash(shop)) is State.OPTED_IN
    assert all(event.occurred_at <= event.recorded_at for event in queries.events(shop.id, her_hash(shop)))


def test_only_one_place_writes_consent_and_one_forgets_people() -> None:
    writes = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM)\s+(consents|consent_events)\b", re.IGNORECASE)
    models = re.compile(r"\b(insert|update|delete)\(\s*(Consent|ConsentEvent)\b")
    found = set()
    for source in tree.sources():
        if source.is_in("blossom/sandbox/"):  # Shopify's own consent, of its stand-in
            continue
        constants = [node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant)]
        if any(isinstance(value, str) and writes.search(value) for value in constants) or models.search(source.text):
            found.add(source.path)
        calls = {ast.unparse(call.func).rpartition(".")[2] for call in source.calls()}
        if calls & {"Consent", "ConsentEvent"}:
            found.add(source.path)
    assert found == {"blossom/consent/service/changes.py", "blossom/consent/service/erasing.py"}

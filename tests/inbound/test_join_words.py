"""A shop's own words by which a text opts in; STOP wins over all of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from blossom.audit import queries as trail
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.models import OptInRequest
from blossom.consent.rules import Source, State
from blossom.contacts import queries as contacts
from blossom.platform import clock, db
from blossom.platform.errors import InvalidInput
from blossom.shops import service as shop_service
from blossom.shops.models import Shop
from blossom.storefront import jobs as storefront
from tests.factories.consent import create_subscriber
from tests.factories.wallet import create_wallet
from tests.inbound.conftest import Mitto, a_text, texts
from tests.inbound.test_texts import shops_of_texts, state
from tests.personas import Personas

PHONE = "+306984303406"
WORDS = ["VIP", "Μπλούζα", "sale 24"]


def take_words(shop: Shop, words: list[str] = WORDS, **settings: bool) -> None:
    consent.update_settings(shop.id, join_keywords=words, **settings)


@pytest.mark.parametrize(
    "said", ["VIP", "vip!", " Vip please", "vip vip", "ΜΠΛΟΥΖΑ", "μπλούζα", "MΠΛOYZA", "Sale  24."]
)
def test_who_texts_one_is_opted_in_and_becomes_a_contact(mitto: Mitto, personas: Personas, said: str) -> None:
    take_words(personas.ours)
    mitto.post("inbound", a_text(PHONE, said))
    assert state(personas.ours, PHONE) is State.OPTED_IN
    contact = contacts.contact_by_phone(personas.ours.id, PHONE)
    assert contact is not None
    assert contact.phone_hash is not None
    (event,) = consents.events(personas.ours.id, contact.phone_hash)
    assert (event.source, event.wording) == (Source.KEYWORD, said.strip())
    assert [stored.keyword for stored in texts()] == ["join"]
    assert [entry.action for entry in trail.entries(personas.ours.id)] == ["consent.opted_in"]


@pytest.mark.parametrize("said", ["I am a VIP", "vips", "VIP STOP", "sale", "blouse"])
def test_a_sentence_or_another_word_opts_nobody_in(mitto: Mitto, personas: Personas, said: str) -> None:
    take_words(personas.ours)
    mitto.post("inbound", a_text(PHONE, said))
    assert state(personas.ours, PHONE) is State.NEVER_SUBSCRIBED


def test_in_a_shop_that_has_not_that_word_it_is_a_text_for_the_merchant(mitto: Mitto, personas: Personas) -> None:
    take_words(personas.theirs)
    mitto.post("inbound/ours.myshopify.com", a_text(PHONE, "VIP", to="Ours"))
    assert [stored.keyword for stored in texts()] == [None]
    assert state(personas.theirs, PHONE) is State.NEVER_SUBSCRIBED


def test_of_shops_that_share_a_sender_the_one_whose_word_it_is_takes_it(mitto: Mitto, personas: Personas) -> None:
    personas.theirs.sender = personas.ours.sender
    db.session.flush()
    take_words(personas.theirs)
    mitto.post("inbound", a_text(PHONE, "VIP", to="Ours"))
    assert shops_of_texts() == [personas.theirs.id]
    assert state(personas.theirs, PHONE) is State.OPTED_IN


def test_stop_ends_it_and_the_word_begins_it_anew_but_not_one_from_before(mitto: Mitto, personas: Personas) -> None:
    take_words(personas.ours)
    now = clock.now()
    mitto.post("inbound", [a_text(PHONE, "VIP"), a_text(PHONE, "STOP")])
    assert state(personas.ours, PHONE) is State.OPTED_OUT
    mitto.post("inbound", a_text(PHONE, "VIP", receivedAt=(now - timedelta(minutes=2)).isoformat()))
    assert state(personas.ours, PHONE) is State.OPTED_OUT
    mitto.post("inbound", a_text(PHONE, "VIP", receivedAt=(clock.now() + timedelta(minutes=1)).isoformat()))
    assert state(personas.ours, PHONE) is State.OPTED_IN


def test_a_word_that_becomes_a_stop_word_is_a_stop(mitto: Mitto, personas: Personas) -> None:
    take_words(personas.ours)
    shop_service.update_settings(personas.ours.id, stop_keywords=["vip"])
    create_subscriber(personas.ours, phone=PHONE)
    mitto.post("inbound", a_text(PHONE, "VIP"))
    assert state(personas.ours, PHONE) is State.OPTED_OUT


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["STOP"], "means STOP"),
        (["Στόπ"], "means STOP"),
        (["Start"], "means START"),
        (["info!"], "means HELP"),
        (["no more"], "means STOP"),
        (["x"], "2 to 30"),
        (["!!!"], "by chance"),
        (["V\0IP"], "by chance"),
        (["thank you"], "by chance"),
        (["v" * 31], "2 to 30"),
        ([f"word{place}" for place in range(11)], "10 words"),
    ],
)
def test_a_word_that_could_not_work_is_refused(personas: Personas, words: list[str], why: str) -> None:
    shop_service.update_settings(personas.ours.id, stop_keywords=["No more"])
    with pytest.raises(InvalidInput) as refused:
        take_words(personas.ours, words)
    assert why in refused.value.details["fields"]["join_keywords"]
    assert consents.settings(personas.ours.id).join_keywords == ()


def test_with_double_opt_in_the_word_asks_and_the_link_opts_in(mitto: Mitto, personas: Personas) -> None:
    take_words(personas.ours, double_opt_in=True)
    create_wallet(personas.ours.id)
    personas.ours.proxy_path = "/a/texts"  # where the merchant has moved it
    mitto.post("inbound", a_text(PHONE, "Μπλούζα"))
    mitto.post("inbound", a_text(PHONE, "Μπλούζα"))
    assert state(personas.ours, PHONE) is State.NEVER_SUBSCRIBED
    form = select(OptInRequest).order_by(OptInRequest.id)
    for each in db.session.scalars(form).all():
        storefront.settle(each.shop_id, each.id)
    asked = db.session.scalars(form).first()
    assert asked is not None
    assert (asked.outcome, asked.locale, asked.path_prefix) == ("asked", "el", "/a/texts")
    assert "Ours" in asked.wording
    assert state(personas.ours, PHONE) is State.PENDING


def test_with_double_opt_in_too_who_had_said_stop_takes_it_back_by_the_same_phone(
    mitto: Mitto, personas: Personas
) -> None:
    take_words(personas.ours, double_opt_in=True)
    mitto.post("inbound", a_text(PHONE, "STOP", receivedAt=(clock.now() - timedelta(minutes=2)).isoformat()))
    mitto.post("inbound", a_text(PHONE, "VIP"))
    assert state(personas.ours, PHONE) is State.OPTED_IN

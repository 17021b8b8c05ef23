"""What people text us: stored once, in the right shops, and STOP takes effect at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from blossom.audit import queries as trail
from blossom.consent import queries as consents
from blossom.consent.rules import Source, State
from blossom.contacts import queries as contacts
from blossom.messaging import service as messaging
from blossom.mitto import signature
from blossom.platform import clock, crypto, db, queue
from blossom.replies import queries
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import a_phone, create_contact
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.inbound.conftest import FORM, SECRET, Mitto, a_text, texts
from tests.personas import Personas

GOLDEN = Path(__file__).parent / "golden" / "texts"


def state(shop: Shop, phone: str) -> State:
    return consents.state_of(shop.id, crypto.for_shop(shop.id).lookup(phone))


def shops_of_texts() -> list[int]:
    return [each.shop_id for each in texts()]


# --- what is read and stored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_each_known_shape_is_read_and_a_greek_stop_is_a_stop(mitto: Mitto, personas: Personas, name: str) -> None:
    create_subscriber(personas.ours, phone="+306984303406")
    content_type = FORM if name.endswith(".form") else "application/json"
    answer = mitto.post("inbound", (GOLDEN / name).read_bytes(), content_type=content_type)
    assert answer.status_code == 200
    assert answer.get_json() == {"ok": True, "accepted": 1, "repeated": 0, "unplaced": 0, "refused": []}
    [stored] = texts()
    assert (stored.shop_id, stored.phone, stored.text, stored.keyword) == (
        personas.ours.id, "+306984303406", "Στοπ!", "stop",
    )  # fmt: skip
    assert state(personas.ours, "+306984303406") is State.OPTED_OUT


def test_what_is_no_keyword_is_kept_for_the_merchant_to_read(mitto: Mitto, personas: Personas) -> None:
    contact = create_subscriber(personas.ours)
    mitto.post("inbound", a_text(contact.phone, "Please stop by: are you open on Sunday? 😀"))
    [stored] = queries.texts(personas.ours.id)
    assert (stored.text, stored.keyword, stored.contact_id) == (
        "Please stop by: are you open on Sunday? 😀", None, contact.id,
    )  # fmt: skip
    assert stored.handled_at is not None
    assert state(personas.ours, contact.phone) is State.OPTED_IN
    assert queries.texts(personas.theirs.id) == []


def test_neither_phone_nor_text_stands_in_clear(mitto: Mitto, personas: Personas) -> None:
    mitto.post("inbound", a_text("+306984303406", "my secret question", messageId="MO-77"))
    row = str(db.session.execute(text("SELECT inbound_texts::text FROM inbound_texts")).scalar_one())
    for told in ("306984303406", "my secret question", "MO-77"):
        assert told not in row
        assert told.encode().hex() not in row


def test_texts_are_read_newest_first_page_by_page(mitto: Mitto, personas: Personas) -> None:
    mitto.post("inbound", [a_text("+306984303406", f"text {n}", messageId=f"MO-{n}") for n in range(5)])
    first = queries.texts(personas.ours.id, limit=3)
    rest = queries.texts(personas.ours.id, before_id=first[-1].id, limit=3)
    assert [each.text for each in (*first, *rest)] == ["text 4", "text 3", "text 2", "text 1", "text 0"]


def test_a_contact_that_is_deleted_leaves_the_text(mitto: Mitto, personas: Personas) -> None:
    contact = create_contact(personas.ours)
    mitto.post("inbound", a_text(contact.phone, "hello"))
    db.session.delete(contact)
    db.session.flush()
    assert [each.contact_id for each in texts()] == [None]


# --- once -----------------------------------------------------------------------------------------------------------


def test_a_text_with_an_id_is_stored_once_per_shop(mitto: Mitto, personas: Personas) -> None:
    one = a_text("+306984303406", "hello", messageId="MO-1")
    mitto.post("inbound", one)
    again = mitto.post("inbound", [one, one, a_text("+306984303406", "hello", messageId="MO-2")])
    assert again.get_json() == {"ok": True, "accepted": 1, "repeated": 2, "unplaced": 0, "refused": []}
    mitto.post("inbound", a_text("+306984303406", "hello", to="Theirs", messageId="MO-1"))
    assert shops_of_texts() == [personas.ours.id, personas.ours.id, personas.theirs.id]


def test_a_text_without_id_and_time_is_stored_once_within_a_minute(mitto: Mitto, personas: Personas) -> None:
    start = clock.now().replace(second=59)
    counts = []
    for seconds in (0, 1, 30, 121):
        with clock.frozen_at(start + timedelta(seconds=seconds)):
            counts.append(mitto.post("inbound", a_text("+306984303406", "hello")).get_json()["accepted"])
    assert counts == [1, 0, 0, 1]


def test_a_repeated_stop_is_one_event_and_one_entry(mitto: Mitto, personas: Personas) -> None:
    contact = create_subscriber(personas.ours)
    for _ in range(3):
        mitto.post("inbound", a_text(contact.phone, "STOP", messageId="MO-1"))
    assert [e.to_state for e in consents.events(personas.ours.id, contact.phone_hash)] == ["opted_in", "opted_out"]
    assert [e.action for e in trail.entries(personas.ours.id)] == ["consent.opted_out"]


# --- keywords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["STOP", "stop.", " Stop! ", "UNSUBSCRIBE", "stopall", "CANCEL", "End", "quit", "REVOKE", "opt out", "OPT-OUT",
     "ΣΤΟΠ", "στοπ", "Στόπ!!", "ΔΙΑΓΡΑΦΗ", "διαγραφή", "stop stop", "please stop"],
)  # fmt: skip
def test_every_stop_word_opts_out_with_its_own_wording_as_proof(mitto: Mitto, personas: Personas, word: str) -> None:
    contact = create_subscriber(personas.ours)
    mitto.post("inbound", a_text(contact.phone, word))
    event = consents.events(personas.ours.id, contact.phone_hash)[-1]
    assert (event.to_state, event.source, event.wording, event.contact_id) == (
        "opted_out", Source.KEYWORD, word.strip(), contact.id,
    )  # fmt: skip
    [entry] = trail.entries(personas.ours.id)
    assert (entry.action, entry.actor, entry.subject_id) == ("consent.opted_out", "shopper", texts()[0].id)
    assert entry.details == {"changed": True}


def test_a_shops_own_word_stops_that_shop_only(mitto: Mitto, personas: Personas) -> None:
    personas.ours.stop_keywords = ["ΤΕΛΟΣ"]
    db.session.flush()
    phone = a_phone()
    for shop in (personas.ours, personas.theirs):
        create_subscriber(shop, phone=phone)
    mitto.post("inbound", a_text(phone, "τέλος"))
    mitto.post("inbound", a_text(phone, "τέλος", to="Theirs"))
    assert state(personas.ours, phone) is State.OPTED_OUT
    assert state(personas.theirs, phone) is State.OPTED_IN


def test_who_is_no_contact_can_say_stop_too(mitto: Mitto, personas: Personas) -> None:
    mitto.post("inbound", a_text("+306984303406", "STOP"))
    assert state(personas.ours, "+306984303406") is State.OPTED_OUT


@pytest.mark.parametrize("word", ["START", "unstop", "Start!"])
def test_start_opts_in_again(mitto: Mitto, personas: Personas, word: str) -> None:
    contact = create_subscriber(personas.ours)
    mitto.post("inbound", [a_text(contact.phone, "STOP"), a_text(contact.phone, word)])
    assert state(personas.ours, contact.phone) is State.OPTED_IN
    assert [e.action for e in trail.entries(personas.ours.id)] == ["consent.opted_in", "consent.opted_out"]


@pytest.mark.parametrize("word", ["START", "Έναρξη"])
def test_a_new_number_that_says_start_becomes_a_contact_who_is_texted(
    mitto: Mitto, personas: Personas, word: str
) -> None:
    create_wallet(personas.ours.id)
    mitto.post("inbound", [a_text("+306984303406", word), a_text("+306984303407", "hello")])
    plan = messaging.DispatchPlan(
        shop_id=personas.ours.id, audience=Audience(everybody=True), source="Hi. Reply STOP to opt out", sender="Ours"
    )
    dispatch = messaging.start_dispatch(plan)
    messaging.prepare_dispatch(personas.ours.id, dispatch.id)

    recipients = db.session.scalars(
        text("SELECT phone_hash FROM messages WHERE dispatch_id = :id"), {"id": dispatch.id}
    )
    contact = contacts.contact_by_phone(personas.ours.id, "+306984303406")
    assert contact is not None
    assert [bytes(phone_hash) for phone_hash in recipients] == [contact.phone_hash]
    assert contacts.contact_by_phone(personas.ours.id, "+306984303407") is None
    assert contacts.contact_by_phone(personas.theirs.id, "+306984303406") is None


def test_a_start_that_was_said_before_the_stop_but_comes_after_it_changes_nothing(
    mitto: Mitto, personas: Personas
) -> None:
    contact = create_subscriber(personas.ours)
    now = clock.now()
    mitto.post("inbound", a_text(contact.phone, "STOP", receivedAt=(now - timedelta(minutes=1)).isoformat()))
    mitto.post("inbound", a_text(contact.phone, "START", receivedAt=(now - timedelta(minutes=2)).isoformat()))
    assert state(personas.ours, contact.phone) is State.OPTED_OUT
    assert trail.entries(personas.ours.id)[0].details == {"changed": False, "why": "older_than_opt_out"}


def test_a_provider_whose_clock_is_ahead_does_not_outdate_what_is_said_next(mitto: Mitto, personas: Personas) -> None:
    contact = create_subscriber(personas.ours)
    ahead = (clock.now() + timedelta(hours=3)).isoformat()
    mitto.post("inbound", a_text(contact.phone, "STOP", receivedAt=ahead))
    mitto.post("inbound", a_text(contact.phone, "START"))
    assert state(personas.ours, contact.phone) is State.OPTED_IN


def test_whoever_said_stop_before_their_batch_was_claimed_is_not_texted(mitto: Mitto, personas: Personas) -> None:
    create_wallet(personas.ours.id)
    contact = create_subscriber(personas.ours)
    plan = messaging.DispatchPlan(
        shop_id=personas.ours.id, audience=Audience(everybody=True), source="Hi. Reply STOP to opt out", sender="Ours"
    )
    dispatch = messaging.start_dispatch(plan)
    messaging.prepare_dispatch(personas.ours.id, dispatch.id)
    mitto.post("inbound", a_text(contact.phone, "STOP"))
    messaging.run_lane(seconds=5, worker="test")
    states = db.session.execute(
        text("SELECT state, reason FROM messages WHERE dispatch_id = :id"), {"id": dispatch.id}
    ).all()
    assert states == [("skipped", "opted_out")]


# --- which shop -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["+306912345678", "306912345678", "0030 691 2345678"])
def test_a_shop_is_found_by_the_number_that_it_texts_from(mitto: Mitto, personas: Personas, to: str) -> None:
    shop = create_shop(domain="third.myshopify.com", sender="+306912345678")
    mitto.post("inbound", a_text("+306984303406", "hello", to=to))
    assert shops_of_texts() == [shop.id]


@pytest.mark.parametrize("path", ["inbound/theirs.myshopify.com", "inbound?shop=theirs.myshopify.com"])
def test_the_address_may_name_the_shop(mitto: Mitto, personas: Personas, path: str) -> None:
    mitto.post(path, a_text("+306984303406", "hello", to=None))
    assert shops_of_texts() == [personas.theirs.id]


def test_a_stop_reaches_the_named_shop_and_the_one_that_it_was_sent_to(mitto: Mitto, personas: Personas) -> None:
    phone = a_phone()
    mitto.post("inbound/theirs.myshopify.com", a_text(phone, "STOP", to="Ours"))
    assert state(personas.ours, phone) is state(personas.theirs, phone) is State.OPTED_OUT


def test_shops_that_share_a_number_share_a_stop_but_no_other_text(mitto: Mitto, personas: Personas) -> None:
    third = create_shop(domain="third.myshopify.com", sender="Ours")
    phone = a_phone()
    for shop in (personas.ours, third):
        create_subscriber(shop, phone=phone)
    create_message(create_batch(create_dispatch(third.id)), "01K1", phone=phone)
    mitto.post("inbound", a_text(phone, "hello"))
    assert shops_of_texts() == [third.id]
    mitto.post("inbound", a_text(phone, "STOP"))
    assert state(personas.ours, phone) is state(third, phone) is State.OPTED_OUT
    owed = [each.shop_id for each in texts() if each.handled_at is None]
    assert owed == [third.id], "one confirmation, from the shop that texted last"
    mitto.post("inbound", a_text(phone, "START"))
    assert state(personas.ours, phone) is state(third, phone) is State.OPTED_IN


@pytest.mark.parametrize("to", [None, "54321", "+306900000000", "Unknown"])
def test_a_stop_that_names_no_shop_of_ours_holds_wherever_the_phone_is_known(
    mitto: Mitto, personas: Personas, to: str | None
) -> None:
    phone = a_phone()
    stranger = create_shop(domain="third.myshopify.com", sender="Third")
    create_subscriber(personas.ours, phone=phone)
    create_contact(personas.theirs, phone=phone)
    answer = mitto.post("inbound", a_text(phone, "STOP", to=to))
    assert answer.get_json()["accepted"] == 1
    assert state(personas.ours, phone) is state(personas.theirs, phone) is State.OPTED_OUT
    assert state(stranger, phone) is State.NEVER_SUBSCRIBED


def test_a_stop_to_a_shop_that_does_not_know_the_phone_holds_where_it_is_known_too(
    mitto: Mitto, personas: Personas
) -> None:
    """The number may have been another shop's until last week."""
    phone = a_phone()
    create_subscriber(personas.theirs, phone=phone)
    mitto.post("inbound", a_text(phone, "STOP", to="Ours"))
    assert state(personas.ours, phone) is state(personas.theirs, phone) is State.OPTED_OUT


def test_another_text_to_a_shop_that_does_not_know_the_phone_is_for_that_shop_alone(
    mitto: Mitto, personas: Personas
) -> None:
    phone = a_phone()
    create_subscriber(personas.theirs, phone=phone)
    mitto.post("inbound", a_text(phone, "hello", to="Ours"))
    assert shops_of_texts() == [personas.ours.id]


def test_a_text_that_no_shop_can_be_found_for_is_counted_and_not_kept(mitto: Mitto, personas: Personas) -> None:
    answer = mitto.post("inbound", a_text("+306984303406", "STOP", to=None))
    assert answer.get_json() == {"ok": True, "accepted": 0, "repeated": 0, "unplaced": 1, "refused": []}
    assert texts() == []


def test_a_stop_in_one_shop_leaves_the_other_alone(mitto: Mitto, personas: Personas) -> None:
    phone = a_phone()
    for shop in (personas.ours, personas.theirs):
        create_subscriber(shop, phone=phone)
    mitto.post("inbound", a_text(phone, "STOP", to="Ours"))
    assert (state(personas.ours, phone), state(personas.theirs, phone)) == (State.OPTED_OUT, State.OPTED_IN)


def test_a_shop_that_has_left_is_stopped_too_and_one_whose_keys_are_gone_hears_nothing(
    mitto: Mitto, personas: Personas
) -> None:
    phone = a_phone()
    create_subscriber(personas.ours, phone=phone)
    personas.ours.uninstalled_at = clock.now()
    db.session.flush()
    crypto.destroy_shop_keys(personas.theirs.id)
    assert mitto.post("inbound", a_text(phone, "STOP", to=None)).get_json()["accepted"] == 1
    assert state(personas.ours, phone) is State.OPTED_OUT
    assert mitto.post("inbound", a_text(phone, "hello", to="Theirs")).get_json()["accepted"] == 1
    assert shops_of_texts() == [personas.ours.id, personas.ours.id]


# --- the door -------------------------------------------------------------------------------------------------------


def test_without_a_valid_proof_nothing_is_stored(mitto: Mitto, personas: Personas) -> None:
    raw = b'{"from": "+306984303406", "to": "Ours", "text": "STOP"}'
    for headers in ({}, {"X-Mitto-Signature": signature.sign(raw, "wrong")}):
        answer = mitto.send("inbound", raw, headers, content_type="application/json")
        assert (answer.status_code, answer.get_json()["code"]) == (401, "unproven")
    form = b"from=%2B306984303406&text=STOP"
    proof = {"X-Hub-Signature-256": "sha256=" + signature.sign(form, SECRET)}
    assert mitto.send("inbound", form + b"&to=Ours", proof, content_type=FORM).status_code == 401
    assert texts() == []
    assert db.session.execute(text("SELECT count(*) FROM consents")).scalar_one() == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"nonsense", "not JSON"),
        (b"[" * 50_000 + b"]" * 50_000, "not JSON"),
        (b'{"from": "+306984303406"}', "position 0, the text is missing"),
        (b'{"from": "+306984303406", "text": "ST\\u0000OP"}', "NUL"),
        (b'{"from": "Vodafone", "to": "Ours", "text": "hello"}', "position 0, the sender is not a phone"),
        (b'{"from": "12345", "text": "hello"}', "position 0, the sender is not a phone"),
        (b"[" + b"{}," * 1_000 + b"{}]", "more than 1000 elements"),
    ],
)
def test_a_body_of_which_nothing_can_be_used_is_refused(
    mitto: Mitto, personas: Personas, body: bytes, told: str
) -> None:
    answer = mitto.post("inbound", body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "unreadable")
    assert told in answer.get_json()["message"]
    assert texts() == []


def test_of_an_array_the_good_ones_are_stored_and_the_bad_ones_named(mitto: Mitto, personas: Personas) -> None:
    body = [{}, a_text("Vodafone", "x"), a_text("+306984303406", "hello"), 7, a_text("12345", "x")]
    answer = mitto.post("inbound", body).get_json()
    assert (answer["accepted"], [each["position"] for each in answer["refused"]]) == (1, [0, 3, 1, 4])
    assert [each.text for each in texts()] == ["hello"]


def test_a_huge_body_and_an_unknown_shop_are_refused(mitto: Mitto, personas: Personas) -> None:
    assert mitto.post("inbound", b" " * 1_000_001).status_code == 413
    assert mitto.post("inbound/nobody.myshopify.com", a_text("+306984303406", "STOP")).status_code == 404
    assert mitto.get("inbound?from=1&text=STOP").status_code == 405
    assert texts() == []


def test_a_form_of_another_encoding_loses_letters_not_the_text(mitto: Mitto, personas: Personas) -> None:
    mitto.post("inbound", b"from=%2B306984303406&to=Ours&text=caf%E9", content_type=FORM)
    assert [each.text for each in texts()] == ["caf�"]


def test_only_what_calls_for_an_answer_gets_a_job(mitto: Mitto, personas: Personas) -> None:
    contact = create_subscriber(personas.ours)
    mitto.post("inbound", [a_text(contact.phone, words) for words in ("hello", "START")])
    assert queue.rq_queue("default").count == 0
    mitto.post("inbound", [a_text(contact.phone, words) for words in ("STOP", "HELP")])
    assert queue.rq_queue("default").count == 2


def test_an_opt_out_that_was_there_already_is_said_so_in_the_trail(mitto: Mitto, personas: Personas) -> None:
    contact = create_subscriber(personas.ours)
    opt_out(contact)
    an_hour_ago = (clock.now() - timedelta(hours=1)).isoformat()
    mitto.post("inbound", a_text(contact.phone, "STOP", receivedAt=an_hour_ago))
    assert trail.entries(personas.ours.id)[0].details == {"changed": False, "why": "already"}

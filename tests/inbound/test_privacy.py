"""People and shops that are to be forgotten, and people who want to see what is held on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import LargeBinary, func, select, text, update
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from blossom import cli
from blossom.audit.models import AuditEntry
from blossom.commands import shop as shop_commands
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.models import ConsentEvent, OptInRequest
from blossom.consent.rules import Source, State
from blossom.consent.service import erasing as consent_erasing
from blossom.consent.service import people
from blossom.contacts import queries as contact_queries
from blossom.contacts.rules import Phone
from blossom.inbound import jobs
from blossom.inbound.models import DataExport, Erasure, ShopifyWebhook
from blossom.inbound.service import erasing, exporting
from blossom.messaging import service as messaging
from blossom.messaging.models import Dispatch, EarlierTry, Message
from blossom.messaging.rules.states import SkipReason
from blossom.messaging.service import claiming, composing
from blossom.messaging.service import erasing as texts
from blossom.platform import clock, crypto, db, stopping
from blossom.platform.crypto import Sealed, SealedValueError
from blossom.platform.db import session, transaction
from blossom.platform.errors import NotFound
from blossom.shops import queries as shop_queries
from blossom.shops import service as shops
from blossom.shops.models import Shop
from tests.factories.campaigns import create_campaign, create_sending, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.processes import until
from tests.inbound.conftest import Mitto, a_text
from tests.inbound.merchant import OURS, SECRET, Merchant, ends, handle, merchant, running
from tests.inbound.test_concurrency import at_once
from tests.inbound.test_shopify_customers import ELENI, PHONE
from tests.inbound.test_shopify_installation import leave

__all__ = ["merchant", "running"]

IP, AGENT, NIKOS = "203.0.113.77", "Eleni's own browser", "+306984303408"
HERS = (PHONE, "Eleni", IP, AGENT)


def everywhere(shop_id: int) -> Iterator[tuple[str, str]]:
    """Each value of the shop's in the database, opened where it is sealed: its table, and the value as text."""
    for table in db.Base.metadata.sorted_tables:
        if "shop_id" not in table.c or table.name == "shop_keys":
            continue
        for row in session.execute(select(table).where(table.c.shop_id == shop_id)).mappings():
            for column in table.columns:
                value = row[column.name]
                if isinstance(column.type, Sealed) and value is not None:
                    value = crypto.for_shop(shop_id).open(value, column.type.purpose)
                elif isinstance(column.type, LargeBinary) and value is not None:
                    value = value.hex()
                elif isinstance(value, list):
                    value = [each.hex() if isinstance(each, bytes) else each for each in value]
                yield table.name, str(value)


def traces(shop_id: int, *words: str) -> set[str]:
    """The tables in which one of the words stands."""
    return {table for table, value in everywhere(shop_id) if any(word in value for word in words)}


def hash_of(shop_id: int, phone: str = PHONE) -> bytes:
    return crypto.for_shop(shop_id).lookup(phone)


def eleni(merchant: Merchant, mitto: Mitto, texts: int = 3) -> int:
    """A customer of whom everything is held that can be; her number at Shopify."""
    customer = merchant.add(**ELENI)
    merchant.tell()
    shop_id = merchant.shop_id
    consent.opt_in(
        shop_id, hash_of(shop_id), source=Source.STOREFRONT, wording="Yes", ip=IP, user_agent=AGENT
    )  # fmt: skip
    consent.receive_request(
        shop_id, Phone(PHONE, "GR"), form="f", locale="el", path_prefix="/a", wording="Yes", ip=IP, user_agent=AGENT
    )
    create_wallet(shop_id, 100)
    for place in range(texts):
        batch = create_batch(create_dispatch(shop_id))
        create_message(batch, f"hers-{place}", phone=PHONE)
        create_message(batch, f"his-{place}", phone=NIKOS)
    shops.set_trial_numbers(shop_id, [PHONE, NIKOS])
    db.session.commit()
    mitto.post(f"inbound/{OURS}", a_text(PHONE, "Is the blue one back?"))
    return customer


def ask(merchant: Merchant, customer: int, what: str) -> None:
    merchant.act(customer, what)
    merchant.tell()


def test_of_whom_is_forgotten_nothing_is_left_but_that_they_said_no(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    shop_id = merchant.shop_id
    ask(merchant, customer, "data_request")
    hers = hash_of(shop_id).hex()
    assert traces(shop_id, hers, *HERS) >= {
        "contacts", "messages", "consents", "consent_events", "opt_in_requests", "inbound_texts", "data_exports",
        "shopify_webhooks", "trial_numbers",
    }  # fmt: skip
    mitto.post(f"inbound/{OURS}", a_text(PHONE, "STOP"))
    ask(merchant, customer, "redact")
    with capture_logs() as told:
        jobs.erase()
    assert traces(shop_id, *HERS, f"'id': {customer}", f'"id":{customer}', ELENI["email"]) == set()
    assert traces(shop_id, hers) == {"consents", "consent_events"}
    assert shop_queries.trial_numbers(shop_id) == [NIKOS], "only hers goes from the numbers to try texts on"
    assert consents.state_of(shop_id, bytes.fromhex(hers)) is State.OPTED_OUT
    assert [event.to_state for event in consents.events(shop_id, bytes.fromhex(hers))][-1] == State.OPTED_OUT
    consent.opt_in(shop_id, bytes.fromhex(hers), source=Source.IMPORT)
    assert consents.state_of(shop_id, bytes.fromhex(hers)) is State.OPTED_OUT, "no list undoes it"
    assert ends()[-1] == ("customers/redact", "done", "applied")
    assert [(each["event"], each["what"]) for each in told if each["event"].startswith("privacy")] == [
        ("privacy.erased", "customer")
    ]
    assert not any(word in str(told) for word in (PHONE, hers, str(customer)))
    assert session.scalar(select(func.count()).select_from(Erasure)) == 0
    deeds = list(session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("privacy.%"))))
    assert deeds == ["privacy.data_requested", "privacy.customer_redacted"]


def test_others_keep_theirs_and_the_bill_stays_as_it_was(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    merchant.add(first_name="Nikos", phone=NIKOS)
    merchant.tell()
    shop_id = merchant.shop_id
    bill = select(Message.id, Message.state, Message.segments, Message.credits, Message.provider_message_id)
    before = session.execute(bill.order_by(Message.id)).all()
    ask(merchant, customer, "redact")
    jobs.erase()
    assert session.execute(bill.order_by(Message.id)).all() == before
    assert {"contacts", "messages"} <= traces(shop_id, NIKOS)
    forgotten = session.scalars(select(Message.phone_hash).where(Message.phone_sealed.is_(None))).all()
    assert len(set(forgotten)) == 3, "not even to one another do they lead"


def test_who_had_agreed_and_is_forgotten_is_not_texted_when_an_import_brings_them_back(
    merchant: Merchant, mitto: Mitto
) -> None:
    customer = eleni(merchant, mitto)
    shop_id = merchant.shop_id
    assert consents.state_of(shop_id, hash_of(shop_id)) is State.OPTED_IN
    ask(merchant, customer, "redact")
    assert consents.state_of(shop_id, hash_of(shop_id)) is State.NEVER_SUBSCRIBED


def test_hundreds_of_texts_are_forgotten_in_batches_and_a_break_loses_none(
    merchant: Merchant, mitto: Mitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = eleni(merchant, mitto, texts=300)
    monkeypatch.setattr(erasing, "BATCH", 50)
    left = func.count().filter(Message.phone_hash == hash_of(merchant.shop_id))
    ask(merchant, customer, "redact")
    assert session.scalar(select(left)) == 300
    with monkeypatch.context() as broken:
        forget, runs = texts.forget_people, iter(range(3))

        def forget_some(*given: Any) -> int:
            next(runs)  # the fourth time it fails
            return forget(*given)

        broken.setattr(texts, "forget_people", forget_some)
        jobs.erase()
    assert session.scalar(select(left)) == 150
    jobs.erase()
    assert session.scalar(select(left)) == 0
    assert session.scalar(select(func.count()).select_from(Erasure)) == 0


def test_what_waits_to_be_sent_to_them_is_skipped(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    waiting = create_message(create_batch(create_dispatch(merchant.shop_id, kind="test")), phone=PHONE)
    db.session.commit()
    ask(merchant, customer, "redact")
    jobs.erase()
    claim = claiming.claim_batch("test", clock.now())
    while claim is not None and claim.dispatch_id != waiting.dispatch_id:
        claim = claiming.claim_batch("test", clock.now())
    assert claim is not None
    composed = composing.compose(claim, composing.load(claim, clock.now()), clock.now())
    assert (composed.texts, composed.skipped) == ([], {waiting.id: SkipReason.NO_PHONE})


def test_webhooks_that_wait_or_were_given_up_and_speak_of_them_are_closed(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    other = merchant.add(first_name="Nikos", phone=NIKOS)
    merchant.tell()
    spoken = select(ShopifyWebhook).where(ShopifyWebhook.topic == "customers/create").order_by(ShopifyWebhook.id)
    hers, his = session.scalars(spoken)
    session.execute(update(ShopifyWebhook).where(ShopifyWebhook.id.in_([hers.id, his.id])).values(state="dead"))
    db.session.commit()
    ask(merchant, customer, "redact")
    jobs.erase()
    hers, his = session.scalars(spoken)
    assert (hers.state, hers.outcome, hers.payload) == ("ignored", "person_redacted", None)
    assert (his.state, orjson.loads(his.payload)["id"]) == ("dead", other)


def test_behind_more_waiting_webhooks_than_one_turn_looks_at_a_person_is_forgotten_all_the_same(
    merchant: Merchant, mitto: Mitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = eleni(merchant, mitto)
    for number in range(8):
        merchant.shopify.post("customers/delete", {"id": number + 1_000}, secret=SECRET)
    last = merchant.shopify.post("customers/update", {"id": customer}, secret=SECRET)
    assert last.status_code == 200
    waiting = (ShopifyWebhook.state == "new", ShopifyWebhook.payload_sealed.is_not(None))
    erasing.erase_person(merchant.shop_id, erasing.Person(customer, hash_of(merchant.shop_id)), actor="test")
    db.session.commit()
    monkeypatch.setattr(erasing, "BATCH", 10)
    for _ in range(20):
        looks = iter([False] * 3)
        monkeypatch.setattr(stopping, "requested", lambda looks=looks: next(looks, True))
        jobs.erase()
    assert session.scalar(select(func.count()).select_from(Erasure)) == 0
    assert session.scalar(select(func.count()).where(*waiting)) == 8, "not who is told of there"


def test_an_audience_that_is_just_being_fixed_is_waited_for(committed_app: Flask) -> None:
    """It reads people that were there when it began: their messages come after the person went."""
    with transaction():
        shop = create_shop()
        person = create_subscriber(shop, phone=PHONE)
        make_ready(shop)
        sending = create_sending(shop)
        phone_hash = person.phone_hash
    begun, removed = threading.Event(), threading.Event()

    def fix() -> None:
        with transaction():
            session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            session.get(Shop, shop.id)
            begun.set()
            removed.wait(60)
            assert messaging.prepare_dispatch(shop.id, sending.dispatch_id or 0)

    def forget() -> None:
        begun.wait(60)
        with transaction():
            erasing.erase_person(shop.id, erasing.Person(None, phone_hash), actor="test")
        removed.set()

    at_once(committed_app, fix, forget)
    with transaction():
        assert session.scalar(select(func.count()).where(Message.phone_hash == phone_hash)) == 1
    with transaction():
        pending = create_sending(shop)
    assert pending.dispatch_id is not None
    with db.engine().begin() as elsewhere:  # a worker that fixes the next one
        elsewhere.execute(texts._TRY_LOCK, {"id": pending.dispatch_id})
        jobs.erase()
        with transaction():
            assert session.scalar(select(func.count()).select_from(Erasure)) == 1
    jobs.erase()
    with transaction():
        assert session.scalar(select(func.count()).where(Message.phone_hash == phone_hash)) == 0
        assert session.scalar(select(func.count()).select_from(Erasure)) == 0


def crowd(shop: Shop, people: int = 3_000) -> None:
    """People with consent who wrote and got a text each, with statistics: an empty table is read by any index."""
    create_subscriber(shop)
    session.execute(
        text("""
            INSERT INTO contacts (shop_id, phone_sealed, phone_hash, phone_country, zone, created_at, updated_at)
            SELECT shop_id, phone_sealed, substring(sha256(CAST(n AS text)::bytea) FOR 16), 'GR', zone, created_at,
                updated_at FROM contacts, generate_series(1, :people) AS n WHERE shop_id = :shop
        """),
        {"people": people, "shop": shop.id},
    )
    session.execute(
        text("""
            INSERT INTO consents (shop_id, phone_hash, contact_id, state, changed_at, source)
            SELECT shop_id, phone_hash, id, 'opted_out', created_at, 'import' FROM contacts WHERE shop_id = :shop
            ON CONFLICT DO NOTHING
        """),
        {"shop": shop.id},
    )
    session.execute(
        text("""
            INSERT INTO inbound_texts (shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, contact_id,
                received_at)
            SELECT shop_id, phone_sealed, phone_hash, phone_sealed, phone_hash, id, created_at FROM contacts
            WHERE shop_id = :shop
        """),
        {"shop": shop.id},
    )
    first = create_message(create_batch(create_dispatch(shop.id)))
    others = ", ".join(each.name for each in Message.__table__.columns if each.name not in ("id", "phone_hash"))
    session.execute(
        text(f"""
            INSERT INTO messages (id, phone_hash, {others})
            SELECT id + n, substring(sha256(CAST(n AS text)::bytea) FOR 16), {others}
            FROM messages, generate_series(1, :people) AS n WHERE id = :first
        """),
        {"people": people, "first": first.id},
    )
    session.execute(text("ANALYZE contacts, consents, inbound_texts, messages"))


def test_a_batch_is_no_larger_than_it_may_be_however_it_is_planned(app: Flask) -> None:
    """A LIMIT within IN is asked again for each row where the planner joins by a loop: all went at once."""
    shop = create_shop()
    batch = create_batch(create_dispatch(shop.id))
    hashes = sorted({create_message(batch).phone_hash for _ in range(20)})
    for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material"):
        session.execute(text(f"SET LOCAL enable_{way} = off"))
    assert texts.forget_people(shop.id, hashes, 5) == 5


def test_a_person_is_found_by_indexes(app: Flask) -> None:
    shop = create_shop()
    crowd(shop)
    for statement, index in (
        (texts._FORGET, "uq_messages_phone_hash_dispatch_id"),
        (contact_queries._IDS_BY_ADDRESS, "ix_contacts_shop_id_email_hash"),
        (erasing._PHONES, "ix_consents_shop_id_contact_id"),
        (erasing._PHONES, "ix_inbound_texts_shop_id_contact_id"),
        (
            text("DELETE FROM inbound_texts WHERE shop_id = :shop AND phone_hash = :phone_hash"),
            "ix_inbound_texts_shop_id_phone_hash_id",
        ),
    ):  # fmt: skip
        given = {
            "shop": shop.id,
            "phone_hashes": r'{"\\x01"}',
            "phone_hash": b"1",
            "customer": 1,
            "ids": "{1}",
            "email_hash": b"1",
            "limit": 9,
        }
        wanted = {name: given[name] for name in statement.compile().params}
        plan = "\n".join(session.scalars(text(f"EXPLAIN {statement.text}"), wanted))
        assert index in plan
        assert "Seq Scan" not in plan


WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


def asks_by_mail(merchant: Merchant, topic: str, email: str) -> None:
    """A customer of whom Shopify has no number."""
    body = {"shop_domain": OURS, "customer": {"id": 99, "email": email, "phone": None}}
    merchant.shopify.post(topic, body, secret=SECRET)
    handle()


def test_a_person_whom_only_their_address_names_is_found_and_forgotten(merchant: Merchant) -> None:
    """Somebody of a file: Shopify has no number of theirs, so no sync ever made the contact its customer's."""
    shop = session.get_one(Shop, merchant.shop_id)
    theirs, his = create_subscriber(shop, phone=PHONE), create_subscriber(shop, phone=NIKOS)
    for contact, email, customer in ((theirs, "Eleni@Example.gr", None), (his, "eleni@example.gr", 7)):
        contact.email, contact.email_hash = email, crypto.for_shop(shop.id).lookup(email.lower())
        contact.shopify_customer_id = customer
    db.session.commit()
    asks_by_mail(merchant, "customers/data_request", " eleni@example.GR")
    (listed,) = exporting.exports(shop.id)
    held = orjson.loads(exporting.fetch(shop.id, listed.id, actor="staff:1"))
    assert [each["phone"] for each in held["contacts"]] == [PHONE], "another customer's stays theirs"
    asks_by_mail(merchant, "customers/redact", "eleni@example.gr")
    assert traces(shop.id, PHONE, "Eleni@Example.gr") == set()
    assert "contacts" in traces(shop.id, NIKOS)
    assert consents.state_of(shop.id, hash_of(shop.id)) is State.NEVER_SUBSCRIBED


def test_an_address_that_many_have_names_nobody(merchant: Merchant) -> None:
    shop = session.get_one(Shop, merchant.shop_id)
    for _ in range(4):
        contact = create_subscriber(shop)
        contact.email, contact.email_hash = "till@shop.gr", crypto.for_shop(shop.id).lookup("till@shop.gr")
    db.session.commit()
    asks_by_mail(merchant, "customers/redact", "till@shop.gr")
    assert "contacts" in traces(shop.id, "till@shop.gr")


def test_who_is_forgotten_while_their_form_is_in_hand_is_not_waited_for_in_a_circle(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        shop = create_shop()
        phone_hash = create_subscriber(shop, phone=PHONE, shopify_customer_id=7).phone_hash
        consent.opt_out(shop.id, hash_of(shop.id), source=Source.MERCHANT)
        form = consent.receive_request(
            shop.id, Phone(PHONE, "GR"), form="f", locale="el", path_prefix="/a", wording="Yes", ip=IP, user_agent=AGENT
        )
    in_hand = threading.Event()

    def settle() -> None:
        with transaction():
            session.scalars(select(OptInRequest).where(OptInRequest.id == form).with_for_update()).one()
            in_hand.set()
            until(lambda: session.scalar(WAITING), "whoever forgets them to wait")
            people.contact_for(shop.id, Phone(PHONE, "GR"))

    def forget() -> None:
        assert in_hand.wait(60)
        with transaction():
            erasing.erase_person(shop.id, erasing.Person(7, phone_hash), actor="test")

    at_once(committed_app, settle, forget)
    with transaction():
        assert traces(shop.id, AGENT) == set()


def test_a_shop_s_rows_are_found_by_indexes_and_so_is_what_points_to_them(app: Flask) -> None:
    """A key that points to a row is looked for whenever the row goes: in the rows of all shops, if by no index."""
    shop = create_shop()
    session.execute(text("SET LOCAL enable_seqscan = off"))
    tables, emptied = db.Base.metadata.tables, {*erasing._OF_A_SHOP, *consent_erasing._OF_A_SHOP}
    looked_for = [(table, ["shop_id"]) for table in sorted(emptied)]
    looked_for += [
        (table.name, [column.name for column in key.columns])
        for table in tables.values()
        for key in table.foreign_key_constraints
        if key.referred_table.name in emptied
    ]
    for table, columns in looked_for:
        wanted = " AND ".join(f"{column} = {shop.id}" for column in columns)
        plan = "\n".join(session.scalars(text(f"EXPLAIN SELECT ctid FROM {table} WHERE {wanted}")))
        assert "Seq Scan" not in plan, (table, columns)


@pytest.mark.parametrize(
    ("erasing_what", "statement"),
    [
        ("", "UPDATE consent_events SET ip = NULL"),
        ("", "DELETE FROM consent_events"),
        ("person", "UPDATE consent_events SET to_state = 'opted_in'"),
        ("person", "UPDATE consent_events SET ip = NULL, wording = 'Oh yes'"),
        ("person", "DELETE FROM consent_events"),
        ("shop", "UPDATE consent_events SET ip = NULL"),
        ("shop", "TRUNCATE consent_events"),
    ],
)
def test_of_an_event_nothing_else_is_ever_edited_or_removed(app: Flask, erasing_what: str, statement: str) -> None:
    create_subscriber(create_shop())
    session.execute(text("SELECT set_config('blossom.erasing', :what, true)"), {"what": erasing_what})
    with pytest.raises(DBAPIError, match="never edited or removed"):
        session.execute(text(statement))


def test_a_shop_s_rows_go_in_batches_and_its_bill_stays(
    merchant: Merchant, mitto: Mitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = eleni(merchant, mitto)
    ask(merchant, customer, "data_request")
    shop_id = merchant.shop_id
    theirs = create_shop(domain="theirs.myshopify.com").id
    create_subscriber(session.get_one(Shop, theirs), phone=NIKOS)
    create_campaign(
        session.get_one(Shop, shop_id), body="Hello {{ first_name | default: 'you' }}. Reply STOP to opt out"
    )
    db.session.commit()
    money = "SELECT count(*), sum(amount) FROM wallet_entries"
    before = session.execute(text(money)).one()
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    merchant.tell()
    monkeypatch.setattr(erasing, "BATCH", 2)
    jobs.erase()
    assert session.scalar(select(func.count()).select_from(Erasure)) == 0
    left = {
        table.name
        for table in db.Base.metadata.sorted_tables
        if "shop_id" in table.c
        and session.scalar(select(func.count()).select_from(table).where(table.c.shop_id == shop_id))
    }
    assert left <= {
        "audit_entries", "batches", "dispatches", "installations", "messages", "price_lists", "provider_messages",
        "reservations", "shopify_webhooks", "wallet_entries", "wallets", "attempts",
    }  # fmt: skip
    assert session.scalars(select(Message.phone_sealed).where(Message.phone_sealed.is_not(None))).all() == []
    assert set(session.scalars(select(Dispatch.source))) == {"(forgotten)"}
    kept = select(ShopifyWebhook.payload_sealed).where(
        ShopifyWebhook.shop_id == shop_id, ShopifyWebhook.topic != "shop/redact"
    )
    assert set(session.scalars(kept)) == {None}
    assert session.execute(text(money)).one() == before
    assert "contacts" in traces(theirs, NIKOS), "another shop's stay"
    with pytest.raises(SealedValueError):
        crypto.for_shop(shop_id)


def test_webhooks_that_wait_behind_a_shop_s_end_are_closed_with_it(merchant: Merchant) -> None:
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    redact, behind = merchant.news(), {"id": 99}
    for each in redact:
        merchant.shopify.post(each["topic"], each["body"], secret=SECRET, Triggered_At=each["triggered_at"])
    merchant.shopify.post("customers/delete", behind, secret=SECRET)
    handle()
    assert ends()[-2:] == [("shop/redact", "done", "applied"), ("customers/delete", "ignored", "shop_redacted")]


def test_a_customer_who_asks_gets_all_that_is_held(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    again, *_ = session.scalars(select(Message).where(Message.phone_hash == hash_of(merchant.shop_id))).all()
    failed_at, again_at = clock.now() - timedelta(minutes=2), clock.now() - timedelta(minutes=1)
    session.add(
        EarlierTry(
            message_id=again.id, number=0, shop_id=merchant.shop_id, dispatch_id=again.dispatch_id, batch_number=0,
            state="failed", failed_at=failed_at, again_at=again_at,
        )
    )  # fmt: skip
    session.commit()
    ask(merchant, customer, "data_request")
    assert ends()[-1] == ("customers/data_request", "done", "applied")
    (listed,) = exporting.exports(merchant.shop_id)
    assert listed.customer == customer
    assert listed.fetched_at is None
    held = orjson.loads(exporting.fetch(merchant.shop_id, listed.id, actor="staff:1"))
    assert [(each["phone"], each["first_name"], each["email"]) for each in held["contacts"]] == [
        (PHONE, "Eleni", ELENI["email"])
    ]
    (agreed,) = held["consent"]
    assert agreed["state"] == "opted_in"
    assert (agreed["events"][-1]["ip"], agreed["events"][-1]["wording"]) == (IP, "Yes")
    assert [form["user_agent"] for form in held["forms"]] == [AGENT]
    assert [each["state"] for each in held["texts_to_them"]] == ["sent"] * 3
    assert {each["words"] for each in held["texts_to_them"]} == {"Hello! Reply STOP to opt out"}
    ((tried,),) = [each["earlier_tries"] for each in held["texts_to_them"] if each["earlier_tries"]]
    assert (tried["state"], tried["sent_at"]) == ("failed", None)
    assert [datetime.fromisoformat(tried[at]) for at in ("failed_at", "sent_again_at")] == [failed_at, again_at]
    assert [each["text"] for each in held["texts_from_them"]] == ["Is the blue one back?"]
    assert NIKOS not in str(held)
    (listed,) = exporting.exports(merchant.shop_id)
    assert listed.fetched_at is not None
    noted = select(AuditEntry.action, AuditEntry.actor).where(AuditEntry.subject_type == "data_export")
    assert session.execute(noted.order_by(AuditEntry.id)).all() == [
        ("privacy.data_requested", "shopify"),
        ("privacy.data_fetched", "staff:1"),
    ]


def test_a_merchant_s_exports_are_at_hand_by_command(
    merchant: Merchant, mitto: Mitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(merchant, eleni(merchant, mitto), "data_request")
    monkeypatch.setattr(shop_commands, "application", mitto.app.app_context)

    def run(*arguments: str) -> Any:
        return orjson.loads(CliRunner().invoke(cli.main, ["shop", *arguments], catch_exceptions=False).output)

    (listed,) = run("data-requests", OURS)["requests"]
    assert listed["fetched_at"] is None
    assert run("data-request", OURS, str(listed["id"]))["contacts"][0]["phone"] == PHONE
    (listed,) = run("data-requests", OURS)["requests"]
    assert listed["fetched_at"]


def test_of_whom_nothing_is_held_the_merchant_learns_that(merchant: Merchant) -> None:
    body = {"shop_domain": OURS, "customer": {"id": 99, "phone": "+306900000099"}, "orders_requested": []}
    merchant.shopify.post("customers/data_request", body, secret="stand-in-secret")
    jobs.handle_webhooks()
    (listed,) = exporting.exports(merchant.shop_id)
    held = orjson.loads(exporting.fetch(merchant.shop_id, listed.id, actor="staff:1"))
    assert (held["contacts"], held["texts_to_them"]) == ([], [])


def test_an_export_is_its_shop_s_alone_and_goes_after_a_month(merchant: Merchant, mitto: Mitto) -> None:
    ask(merchant, eleni(merchant, mitto), "data_request")
    (listed,) = exporting.exports(merchant.shop_id)
    theirs = create_shop(domain="theirs.myshopify.com")
    with pytest.raises(NotFound):
        exporting.fetch(theirs.id, listed.id, actor="staff:1")
    with clock.frozen_at(clock.now() + timedelta(days=30, minutes=1)):
        assert exporting.exports(merchant.shop_id) == []
        with pytest.raises(NotFound):
            exporting.fetch(merchant.shop_id, listed.id, actor="staff:1")
        jobs.prune_webhooks()
    assert session.scalar(select(func.count()).select_from(DataExport)) == 0


def test_the_events_of_the_forgotten_lose_no_more_than_who_acted_from_where(merchant: Merchant, mitto: Mitto) -> None:
    customer = eleni(merchant, mitto)
    facts = select(ConsentEvent.id, ConsentEvent.to_state, ConsentEvent.source, ConsentEvent.occurred_at)
    before = session.execute(facts.order_by(ConsentEvent.id)).all()
    ask(merchant, customer, "redact")
    after = session.execute(facts.order_by(ConsentEvent.id)).all()
    assert after[: len(before)] == before
    assert [(each.to_state, each.source) for each in after[len(before) :]] == [("never_subscribed", "shopify")]

"""Giving consent on the shop's site, and confirming it; what a stranger can do and learn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from blossom.audit import queries as trail
from blossom.consent import queries as consents
from blossom.consent import rules
from blossom.consent import service as consent
from blossom.consent.rules import Keyword, Outcome, Purpose, Source, State
from blossom.contacts import queries as contacts
from blossom.messaging.models import Dispatch, Message
from blossom.platform import clock, crypto, db, queue
from blossom.storefront import jobs
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.shops import create_shop
from tests.storefront.conftest import ELENI, PREFIX, Shopper, requests, work


def test_a_form_makes_a_subscriber_with_proof(shopper: Shopper) -> None:
    response = shopper.send()
    work()

    assert response.status_code == 200
    assert "Thank you" in response.text
    assert shopper.state() is State.OPTED_IN
    contact = contacts.contact_by_phone(shopper.shop_id, ELENI)
    assert contact is not None
    [agreed] = consents.events(shopper.shop_id, shopper.phone_hash())
    assert (agreed.source, agreed.ip, agreed.user_agent, agreed.contact_id) == (
        "storefront",
        "192.0.2.7",
        "Firefox",
        contact.id,
    )
    assert agreed.wording is not None
    assert agreed.wording.startswith("Yes, Ours & Co may send me marketing texts")
    assert agreed.occurred_at == requests()[0].requested_at
    assert requests()[0].outcome == Outcome.OPTED_IN
    assert requests()[0].phone_sealed is None, "the number is not kept twice"
    assert shopper.texts() == []
    assert [entry.action for entry in trail.entries(shopper.shop_id)] == ["consent.opted_in"]


def test_with_double_opt_in_nobody_is_subscribed_before_the_button_behind_the_link(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    sent = shopper.send()
    work()

    assert "a text with a link is on its way" in sent.text
    assert shopper.state() is State.PENDING
    assert not consents.may_text(shopper.shop_id, shopper.phone_hash(), Purpose.MARKETING)[0]
    [text] = shopper.texts()
    code = shopper.code()
    assert f"https://ours.myshopify.com{PREFIX}/confirm/{code}" in text
    kept = requests()[0]
    assert code.encode() not in bytes(kept.code_hash or b"")
    assert all(code not in str(value) for value in vars(kept).values())

    page = shopper.get(f"confirm/{code}")
    assert page.status_code == 200
    assert "may send me marketing texts" in page.text
    assert page.text.count("<button") == 1
    assert shopper.state() is State.PENDING

    shopper.headers |= {"X-Forwarded-For": "198.51.100.9, 203.0.113.1", "User-Agent": "Her phone " * 700}
    done = shopper.post(f"confirm/{code}")
    assert done.status_code == 200
    assert shopper.state() is State.OPTED_IN
    asked, agreed = consents.events(shopper.shop_id, shopper.phone_hash())
    assert (asked.to_state, agreed.to_state) == ("pending", "opted_in")
    assert (agreed.ip, agreed.user_agent) == ("198.51.100.9", ("Her phone " * 700)[:500])
    assert agreed.details["double_opt_in"] is True
    assert agreed.details["form_ip"] == "192.0.2.7"
    assert agreed.wording == asked.wording


def test_a_confirmation_pressed_twice_counts_once(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()
    code = shopper.code()

    first, second = shopper.post(f"confirm/{code}"), shopper.post(f"confirm/{code}")

    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert len(consents.events(shopper.shop_id, shopper.phone_hash())) == 2


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "spoil", ["too old", "another shop's", "unknown", "not a code", "opted out since", "confirmed, then opted out"]
)
def test_a_code_that_confirms_nothing_says_nothing(shopper: Shopper, spoil: str, method: str) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()
    code, there = shopper.code(), shopper
    before = shopper.state()
    if spoil == "another shop's":
        there = replace(shopper, shop_id=create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs").id)
    elif spoil == "unknown":
        code = "0" * len(code)
    elif spoil == "not a code":
        code = "Ω\u200b" + "x" * 3_000
    elif spoil == "opted out since":
        consent.opt_out(shopper.shop_id, shopper.phone_hash(), source=Source.KEYWORD)
        before = State.OPTED_OUT
    elif spoil == "confirmed, then opted out":
        shopper.post(f"confirm/{code}")
        with clock.frozen_at(clock.now() + timedelta(minutes=1)):
            consent.opt_out(shopper.shop_id, shopper.phone_hash(), source=Source.KEYWORD)
        before = State.OPTED_OUT
    moment = clock.now() + (timedelta(hours=25) if spoil == "too old" else timedelta(0))
    with clock.frozen_at(moment):
        response = getattr(there, method)(f"confirm/{code}")

    assert response.status_code == 404
    assert "This link doesn" in response.text
    assert shopper.state() is before


def test_what_nobody_confirmed_lapses(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()
    with clock.frozen_at(clock.now() + timedelta(hours=25)):
        jobs.sweep()

    assert shopper.state() is State.NEVER_SUBSCRIBED
    assert requests()[0].outcome == Outcome.LAPSED
    assert requests()[0].phone_sealed is None


def test_the_code_is_forgotten_where_the_text_stood_once_it_has_left(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()
    code = shopper.code()
    jobs.sweep()
    assert code in shopper.texts()[0], "it has not left yet"
    db.session.execute(db.db.update(Dispatch).values(state="completed", finished_at=clock.now()))
    jobs.sweep()

    assert shopper.texts() == ["(forgotten)"]
    assert shopper.post(f"confirm/{code}").status_code == 200


def test_a_settled_form_is_deleted_after_a_month_and_an_open_one_never(shopper: Shopper) -> None:
    start = clock.now()
    shopper.send()
    work()
    with clock.frozen_at(start + timedelta(days=29)):
        jobs.sweep()
        assert [request.outcome for request in requests()] == ["opted_in"]
        shopper.send("691 234 5679")
        queue.rq_queue("default").empty()
    with clock.frozen_at(start + timedelta(days=31)):
        consent.prune_requests()
        assert [request.outcome for request in requests()] == [None]

    assert shopper.state() is State.OPTED_IN


# What a stranger can do and learn


def _nobody(shopper: Shopper, phone: str) -> None: ...


def _subscriber(shopper: Shopper, phone: str = ELENI) -> None:
    create_subscriber(shopper.shop, phone=phone)


def _pending(shopper: Shopper, phone: str) -> None:
    consent.ask(shopper.shop_id, shopper.phone_hash(phone), source=Source.STOREFRONT)


def _stopped(shopper: Shopper, phone: str = ELENI) -> None:
    opt_out(create_subscriber(shopper.shop, phone=phone))


def _left_by_link(shopper: Shopper, phone: str = ELENI) -> None:
    create_subscriber(shopper.shop, phone=phone)
    consent.opt_out_by_code(shopper.shop_id, consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash(phone)))


@pytest.mark.parametrize("double_opt_in", [False, True])
def test_the_answer_is_the_same_whatever_is_known_of_the_number(shopper: Shopper, double_opt_in: bool) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=double_opt_in)
    crypto.for_shop(shopper.shop_id)  # is read once a minute, by whoever comes first
    seen = []
    for last, make in enumerate((_nobody, _subscriber, _pending, _stopped, _left_by_link)):
        phone = f"+3069{last:08}"
        make(shopper, phone)
        fields = {"token": shopper.form(), "phone": phone, "country": "GR", "agreed": "yes"}
        with statements() as executed:
            response = shopper.post("consent", fields)
        queued = len(queue.rq_queue("default").jobs)
        queue.rq_queue("default").empty()
        headers = {name: value for name, value in response.headers.items() if name != "X-Request-Id"}
        seen.append((response.status_code, response.text, headers, executed, queued))

    assert seen[0][4] == 1
    assert all(each == seen[0] for each in seen), "the same page for the same work, so in the same time"


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL that is executed within the block."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement.split(" sa_savepoint")[0])

    engine = db.session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    yield executed
    event.remove(engine, "before_cursor_execute", note)


def test_a_stranger_cannot_undo_a_stop(shopper: Shopper) -> None:
    _stopped(shopper)
    shopper.send()
    work()

    assert shopper.state() is State.OPTED_OUT
    assert shopper.texts() == []
    assert requests()[0].outcome == Outcome.OPTED_OUT_STANDS


def test_who_left_by_a_link_comes_back_by_confirming_only_and_even_without_double_opt_in(shopper: Shopper) -> None:
    _left_by_link(shopper)
    shopper.send()
    work()

    assert shopper.state() is State.OPTED_OUT, "anybody could have typed the number"
    assert not consents.may_text(shopper.shop_id, shopper.phone_hash(), Purpose.TRANSACTIONAL)[0]
    kind = db.session.scalar(select(Dispatch.kind))
    assert kind == "confirmation"

    shopper.post(f"confirm/{shopper.code()}")
    assert shopper.state() is State.OPTED_IN


def test_who_answers_the_question_with_stop_is_not_asked_again_and_its_link_is_dead(shopper: Shopper) -> None:
    _left_by_link(shopper)
    shopper.send()
    work()
    code, later = shopper.code(), clock.now() + timedelta(days=2)
    consent.record_keyword(shopper.shop_id, shopper.phone_hash(), Keyword.STOP)

    assert shopper.post(f"confirm/{code}").status_code == 404
    assert shopper.state() is State.OPTED_OUT
    with clock.frozen_at(later):
        shopper.send()
        work()
    assert len(shopper.texts()) == 1
    assert requests()[-1].outcome == Outcome.OPTED_OUT_STANDS


def test_one_number_is_not_asked_again_and_again(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    start = clock.now()
    for minutes in (0, 1, 10, 60, 300):
        with clock.frozen_at(start + timedelta(minutes=minutes)):
            shopper.send()
            work()

    assert [request.outcome for request in requests()] == [
        "asked",
        "asked_before",
        "asked",
        "asked_before",
        "asked_before",
    ]
    assert len(shopper.texts()) == 2


def test_who_types_strangers_numbers_soon_costs_the_shop_nothing_more(
    shopper: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "ASKED_IN_VAIN", 3)
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    for n in range(6):
        replace(shopper, headers={"X-Forwarded-For": f"192.0.2.{n}"}).send(f"691234560{n}")
    work()
    assert [request.outcome for request in requests()] == ["asked"] * 3 + ["too_many_asked"] * 3
    assert len(shopper.texts()) == 3

    shopper.post(f"confirm/{shopper.code()}")
    shopper.send()
    work()
    assert requests()[-1].outcome == Outcome.ASKED, "a shop whose shoppers confirm may ask more"
    with clock.frozen_at(clock.now() + timedelta(days=1)):
        shopper.send("6912345699")
        work()
    assert requests()[-1].outcome == Outcome.ASKED


def test_one_who_is_subscribed_is_not_texted_for_it(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    _subscriber(shopper)
    shopper.send()
    work()

    assert shopper.texts() == []
    assert shopper.state() is State.OPTED_IN


def test_without_credit_nothing_is_pending(connected: Flask) -> None:
    shopper = Shopper(connected, create_shop().id)
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()

    assert requests()[0].outcome == Outcome.NO_CREDIT
    assert shopper.state() is State.NEVER_SUBSCRIBED
    assert db.session.scalar(select(func.count()).select_from(Message)) == 0


def test_a_stop_between_the_form_and_its_job_stays(shopper: Shopper) -> None:
    shopper.send()
    with clock.frozen_at(clock.now() + timedelta(seconds=1)):
        consent.opt_out(shopper.shop_id, shopper.phone_hash(), source=Source.SHOPIFY)
        work()

    assert shopper.state() is State.OPTED_OUT


def test_a_lost_job_is_found_by_the_sweep(shopper: Shopper) -> None:
    shopper.send()
    queue.rq_queue("default").empty()
    jobs.sweep()
    assert shopper.state() is State.NEVER_SUBSCRIBED, "it may still be on its way"
    with clock.frozen_at(clock.now() + timedelta(minutes=1)):
        jobs.sweep()

    assert shopper.state() is State.OPTED_IN


def test_many_behind_one_address_opt_out_but_nobody_guesses_for_long(shopper: Shopper) -> None:
    """A mobile network may hold them all; and a code that leads nowhere is somebody's who tries."""
    hers = [
        shopper.post(f"unsubscribe/{consent.unsubscribe_code(shopper.shop_id, bytes([n] * 16))}") for n in range(40)
    ]
    assert {answer.status_code for answer in hers} == {200}
    guessed = [shopper.get(f"{page}/{'x' * 20}").status_code for page in ("unsubscribe", "confirm") for _ in range(16)]
    assert guessed == [404] * 30 + [429] * 2
    assert shopper.get(f"unsubscribe/{consent.unsubscribe_code(shopper.shop_id, b'x' * 16)}").status_code == 200


def test_whoever_confirmed_opts_out_in_the_language_of_the_form(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    shopper.send()
    work()
    shopper.headers |= {"Accept-Language": "el"}
    done = shopper.post(f"confirm/{shopper.code()}").text
    [path] = re.findall(r'href="[^"]*/(unsubscribe/[^"?]+)\?locale=en"', done)
    assert "End the texts" in shopper.get(path, locale="en").text

"""The shopper's pages as a shopper, a stranger and a robot meet them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import liquid
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from werkzeug.test import TestResponse

from blossom.audit import queries as trail
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.models import OptInRequest
from blossom.consent.rules import Outcome, Purpose, Source, State
from blossom.contacts import queries as contacts
from blossom.messaging.models import Dispatch, Message
from blossom.platform import clock, config, crypto, db, queue
from blossom.storefront import jobs
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.shops import create_shop
from tests.storefront.conftest import ELENI, PREFIX, SHE_TYPES, Shopper, signed, token_in, work


def requests() -> list[OptInRequest]:
    return list(db.session.scalars(select(OptInRequest).order_by(OptInRequest.id)))


def rendered(response: TestResponse) -> str:
    """What Shopify's theme makes of an answer."""
    return liquid.Environment(undefined=liquid.StrictUndefined).from_string(response.text).render()


# Consent


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

    shopper.headers |= {"X-Forwarded-For": "198.51.100.9, 203.0.113.1", "User-Agent": "Her phone"}
    done = shopper.post(f"confirm/{code}")
    assert done.status_code == 200
    assert shopper.state() is State.OPTED_IN
    asked, agreed = consents.events(shopper.shop_id, shopper.phone_hash())
    assert (asked.to_state, agreed.to_state) == ("pending", "opted_in")
    assert (agreed.ip, agreed.user_agent) == ("198.51.100.9", "Her phone")
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


# Opting out


def test_robots_that_open_links_change_nothing(shopper: Shopper) -> None:
    _subscriber(shopper)
    code = consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash())
    for _ in range(3):
        page = shopper.get(f"unsubscribe/{code}")
        head = shopper.app.test_client().head(f"/proxy/unsubscribe/{code}?{shopper.query()}")
        assert (page.status_code, head.status_code) == (200, 200)
        assert page.text.count("<button") == 1

    assert shopper.state() is State.OPTED_IN
    assert "noindex" in page.headers["X-Robots-Tag"]


def test_one_button_ends_the_texts_however_often_it_is_pressed(shopper: Shopper) -> None:
    _subscriber(shopper)
    code = consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash())

    first, second = shopper.post(f"unsubscribe/{code}"), shopper.post(f"unsubscribe/{code}")

    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert shopper.state() is State.OPTED_OUT
    story = consents.events(shopper.shop_id, shopper.phone_hash())
    assert [each.to_state for each in story] == ["opted_in", "opted_out"]
    assert (story[-1].source, story[-1].ip) == ("storefront", "192.0.2.7")


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_shops_or_a_changed_opt_out_code_is_none(shopper: Shopper, method: str) -> None:
    _subscriber(shopper)
    code = consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash())
    theirs = replace(shopper, shop_id=create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs").id)

    assert getattr(theirs, method)(f"unsubscribe/{code}").status_code == 404
    for place in range(len(code)):
        changed = code[:place] + ("A" if code[place] != "A" else "B") + code[place + 1 :]
        assert consent.phone_hash_of(shopper.shop_id, changed) is None
    assert shopper.state() is State.OPTED_IN


@given(st.text(max_size=60))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_a_code(shopper: Shopper, code: str) -> None:
    assert consent.phone_hash_of(shopper.shop_id, code) is None
    assert consent.open_confirmation(shopper.shop_id, code) is None


# The form


@pytest.mark.parametrize(
    ("typed", "country"),
    [
        ("6912345678", "GR"),
        ("691 234 5678", "GR"),
        ("691-234-5678", "GR"),
        ("(691) 234.5678", "GR"),
        ("+30 691 234 5678", "GR"),
        ("0030 691 234 5678", "GR"),
        ("+306912345678", "DE"),
        ("٦٩١٢٣٤٥٦٧٨", "GR"),
        (" 6912345678 ", "GR"),
    ],
)
def test_a_number_typed_in_any_form_works(shopper: Shopper, typed: str, country: str) -> None:
    shopper.send(typed, country=country)
    work()

    assert shopper.state() is State.OPTED_IN


@pytest.mark.parametrize(
    ("typed", "country", "phone"),
    [("0151 23456789", "DE", "+4915123456789"), ("07400 123456", "GB", "+447400123456"), ("06 12 34 56 78", "FR",
     "+33612345678"), ("(201) 555-0123", "US", "+12015550123"), ("312 345 6789", "IT", "+393123456789")],
)  # fmt: skip
def test_a_visitor_from_abroad_types_it_as_at_home(shopper: Shopper, typed: str, country: str, phone: str) -> None:
    shopper.send(typed, country=country)
    work()

    assert shopper.state(phone) is State.OPTED_IN


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Please enter your mobile number."),
        ("69123", "too short for Greece. A mobile number there looks like 691 234 5678."),
        ("6912345678999999", "too long for Greece"),
        ("hello", "look like a phone number"),
        ("210 331 2345", "receive texts. Please enter a mobile number"),
        ("691 234 5678, 691 234 5679", "more than one number"),
    ],
)
def test_a_wrong_number_gets_a_kind_exact_error_and_nothing_is_lost(shopper: Shopper, typed: str, said: str) -> None:
    response = shopper.send(typed)

    assert response.status_code == 422
    assert said in response.text
    assert f'value="{typed}"' in response.text
    assert 'name="agreed" type="checkbox" value="yes" required checked' in response.text
    assert '<option value="GR" selected>' in response.text
    assert re.search(r'aria-describedby="blossom-phone-hint blossom-phone-fault" aria-invalid="true"', response.text)
    assert requests() == []
    again = shopper.post("consent", {"token": token_in(response), "phone": SHE_TYPES, "country": "GR", "agreed": "yes"})
    assert again.status_code == 200


def test_nobody_agrees_by_leaving_a_box_empty(shopper: Shopper) -> None:
    response = shopper.send(agreed="")

    assert response.status_code == 422
    assert "Please tick the box" in response.text
    assert f'value="{SHE_TYPES}"' in response.text
    assert requests() == []


def test_a_form_sent_twice_counts_once_and_answers_the_same(shopper: Shopper) -> None:
    token = shopper.form()
    fields = {"token": token, "phone": SHE_TYPES, "country": "GR", "agreed": "yes"}
    first, second = shopper.post("consent", fields), shopper.post("consent", fields)

    assert first.text == second.text
    assert len(requests()) == 1
    shopper.post("consent", fields | {"phone": "691 234 5679"})
    assert len(requests()) == 2, "another number in the same form is another request"


@pytest.mark.parametrize("spoil", ["forged", "too old", "another shop's", "another customer's", "huge"])
def test_a_form_that_we_did_not_just_show_comes_back_filled_in(shopper: Shopper, spoil: str) -> None:
    token = shopper.form()
    moment = clock.now()
    if spoil == "another shop's":
        theirs = replace(shopper, shop_id=create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs").id)
        token = theirs.form()
    elif spoil == "another customer's":
        token = replace(shopper, customer_id="7").form()
    elif spoil == "too old":
        moment += timedelta(hours=3)
    else:
        token = {"forged": token[:-2] + "xx", "huge": token * 100}[spoil]
    with clock.frozen_at(moment):
        response = shopper.send(token=token)

    assert response.status_code == 422
    assert "please send it once more" in response.text
    assert f'value="{SHE_TYPES}"' in response.text
    assert requests() == []


def test_a_number_typed_into_the_themes_block_waits_in_the_form_for_consent(shopper: Shopper) -> None:
    response = shopper.post("consent", {"phone": SHE_TYPES, "country": "GR"}, locale="el")
    wrong = shopper.post("consent", {"phone": "12", "country": "GR"})

    assert response.status_code == 200
    assert f'value="{SHE_TYPES}"' in response.text
    assert "checked" not in response.text
    assert "blossom-fault" not in response.text.partition("</style>")[2]
    assert (wrong.status_code, "too short" in wrong.text) == (422, True)
    assert requests() == []
    fields = {"token": token_in(response), "phone": SHE_TYPES, "country": "GR", "agreed": "yes", "locale": "el"}
    assert shopper.post("consent", fields).status_code == 200
    assert len(requests()) == 1


def test_words_that_changed_while_the_form_was_open_are_read_again(shopper: Shopper) -> None:
    token = shopper.form()
    consent.update_settings(shopper.shop_id, wordings={"en": "I agree to get three texts a week from Ours."})
    response = shopper.send(token=token)

    assert response.status_code == 422
    assert "These words have changed" in response.text
    assert "three texts a week" in response.text


def test_who_sends_too_many_forms_waits_and_loses_nothing(shopper: Shopper) -> None:
    answers = [shopper.send(f"69123456{n:02d}") for n in range(12)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    assert 'value="6912345611"' in answers[-1].text
    other = replace(shopper, headers={"X-Forwarded-For": "192.0.2.8"})
    assert other.send().status_code == 200


def test_without_redis_the_pages_go_on(shopper: Shopper) -> None:
    there = str(config.current().redis_url)
    queue.init("redis://127.0.0.1:1/0")
    try:
        response = shopper.send()
    finally:
        queue.init(there)

    assert response.status_code == 200
    assert len(requests()) == 1


# What is typed is harmless, to HTML and to Liquid

ATTACKS = [
    '"><script>alert(1)</script>',
    "{{ shop.email }}",
    "{% include 'x' %}",
    "{{'a'|append:'b'}}",
    "{%- raw -%}",
    "' onfocus='alert(1)",
    "</style><b>",
    "{ {",
    "%}{{",
    "&#123;&#123; 1 }}",
]


@pytest.mark.parametrize("in_theme", [True, False])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_typed_comes_back_as_typed_and_means_nothing(shopper: Shopper, attack: str, in_theme: bool) -> None:
    consent.update_settings(shopper.shop_id, in_theme=in_theme)
    check_harmless(shopper, attack, in_theme=in_theme)


@example("\0")
@example("\ud800")
@example("\u202e{{")
@given(st.text(max_size=120) | st.text(alphabet="{}%'\"<>&-| aΩ#;123", max_size=40))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_whatever_that_is_typed_means_anything(shopper: Shopper, typed: str) -> None:
    shopper.headers["X-Forwarded-For"] = ""  # or the limit would answer instead
    queue.connection().flushdb()
    check_harmless(shopper, typed, in_theme=True)


def check_harmless(shopper: Shopper, typed: str, *, in_theme: bool) -> None:
    response = shopper.post(
        "consent",
        {
            "phone": typed.encode("utf-8", "replace"),
            "token": typed.encode("utf-8", "replace"),
            "country": typed.encode("utf-8", "replace"),
        },
    )
    assert response.status_code == 422
    body = response.text.partition("</style>")[2] if in_theme else response.text.partition("</head>")[2]
    if in_theme:
        assert "{" not in body
        assert "}" not in body
        assert rendered(response) == response.text, "Liquid finds nothing to do"
    assert body.count("<script") == 0
    assert body.count("<b>") == 0
    assert body.count("<input") == 4
    assert " onfocus='" not in body


def test_a_shops_own_words_are_harmless_too(shopper: Shopper) -> None:
    shopper.shop.name = "{{ 'Ours' | upcase }} <b>"
    consent.update_settings(
        shopper.shop_id, wordings={"en": "I agree {{ shop.email }} {% x %} <script>alert(1)</script>"}
    )
    db.session.flush()
    response = shopper.get("consent")

    assert rendered(response) == response.text
    assert "<script" not in response.text


# In the theme, or a page of its own


def test_in_the_theme_it_is_a_fragment_of_liquid(shopper: Shopper) -> None:
    response = shopper.get("consent")

    assert response.content_type == "application/liquid; charset=utf-8"
    assert "<html" not in response.text
    assert f'action="{PREFIX}/consent"' in response.text
    assert "Set-Cookie" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"


def test_otherwise_it_is_a_page_that_runs_nothing(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, in_theme=False)
    response = shopper.get("consent")

    assert response.mimetype == "text/html"
    assert response.text.startswith("<!doctype html>")
    assert "<script" not in response.text
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


def test_links_begin_where_the_merchant_put_the_proxy(shopper: Shopper) -> None:
    moved = signed(
        shop=shopper.shop.domain, path_prefix="/tools/texts", timestamp=str(int(clock.now().timestamp())),
        logged_in_customer_id="",
    )  # fmt: skip
    response = shopper.app.test_client().get(f"/proxy/consent?{moved}")

    assert 'action="/tools/texts/consent"' in response.text


@pytest.mark.parametrize(
    ("query", "header", "locale"),
    [
        ({"locale": "el"}, "en", "el"),
        ({"locale": "el-GR"}, "", "el"),
        ({"locale": "fr"}, "el;q=0.5", "el"),
        ({}, "el-GR,el;q=0.9,en;q=0.8", "el"),
        ({}, "de", "en"),
        ({"locale": "x" * 500}, "\xff;;q=nan,,", "en"),
    ],
)
def test_pages_speak_the_shoppers_language(shopper: Shopper, query: dict[str, str], header: str, locale: str) -> None:
    shopper.headers["Accept-Language"] = header
    response = shopper.get("consent", **query)

    assert f'lang="{locale}"' in response.text
    assert ("Στέλνετέ μου SMS" in response.text) is (locale == "el")


def test_greek_stays_greek_from_the_form_to_the_text_and_its_button(shopper: Shopper) -> None:
    consent.update_settings(shopper.shop_id, double_opt_in=True)
    token = shopper.form(locale="el")
    wrong = shopper.send("12", token=token, locale="el")
    assert "πολύ μικρός για τη χώρα «Ελλάδα»" in wrong.text
    shopper.send(token=token_in(wrong), locale="el")
    work()

    [text] = shopper.texts()
    assert "ΘEΛETE TA SMS MAΣ;" in text
    shopper.headers["Accept-Language"] = "en"
    assert "Ναι, στέλνετέ μου SMS" in shopper.get(f"confirm/{shopper.code()}").text


# Who may ask at all

ROUTES = ["consent", "confirm/abc", "unsubscribe/abc"]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("spoil", ["unsigned", "another secret", "old", "changed", "no prefix", "odd prefix"])
def test_what_shopify_did_not_forward_is_refused(shopper: Shopper, route: str, method: str, spoil: str) -> None:
    fields = {"shop": shopper.shop.domain, "path_prefix": PREFIX, "timestamp": str(int(clock.now().timestamp()))}
    fields["logged_in_customer_id"] = ""
    if spoil == "old":
        fields["timestamp"] = str(int(clock.now().timestamp()) - 100)
    if spoil == "no prefix":
        del fields["path_prefix"]
    if spoil == "odd prefix":
        fields["path_prefix"] = "//evil.example/x"
    query = signed("wrong" if spoil == "another secret" else "hush", **fields)
    if spoil == "changed":
        query = query.replace("ours.", "theirs.")
    response = getattr(shopper.app.test_client(), method)(f"/proxy/{route}?{'' if spoil == 'unsigned' else query}")

    assert response.status_code == 401
    assert "Ours" not in response.text
    assert "Content-Security-Policy" in response.headers


def test_the_older_secret_still_proves_a_request(shopper: Shopper) -> None:
    fields = {"shop": shopper.shop.domain, "path_prefix": PREFIX, "timestamp": str(int(clock.now().timestamp()))}
    assert shopper.app.test_client().get(f"/proxy/consent?{signed('older', **fields)}").status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_a_shop_that_left_has_no_pages(shopper: Shopper, route: str) -> None:
    shopper.shop.uninstalled_at = clock.now()
    db.session.flush()
    assert shopper.get(route).status_code == 404


@pytest.mark.parametrize("route", ROUTES)
def test_without_shopifys_settings_there_are_no_pages(shopper: Shopper, route: str) -> None:
    config.use(replace(config.current(), shopify_api_key="", shopify_api_secrets=()))
    assert shopper.get(route).status_code == 404


def test_a_large_body_is_refused(shopper: Shopper) -> None:
    assert shopper.post("consent", {"phone": "1" * 20_000}).status_code == 413

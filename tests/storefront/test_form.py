"""The form: what may be typed, what comes back, and that nothing typed means anything."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import liquid
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from blossom.consent import service as consent
from blossom.consent.rules import State
from blossom.platform import clock, config, db, queue
from blossom.storefront import service as storefront
from tests.factories.shops import create_shop
from tests.storefront.conftest import SHE_TYPES, Shopper, requests, token_in, work


def rendered(response: TestResponse) -> str:
    """What Shopify's theme makes of an answer."""
    return liquid.Environment(undefined=liquid.StrictUndefined).from_string(response.text).render()


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
        ("+49 15", "too short for Germany. A mobile number there looks like 01512 3456789."),
        ("0049 1512", "No number of Germany begins like that"),
        ("++49 15", "too short for Germany"),
        ("+30+691", "look like a phone number"),
        ("00+30 691", "look like a phone number"),
        ("+999 123 456 789", "No country&#39;s numbers begin like that"),
        ("+1 201", "too short for United States"),
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


def test_who_sends_too_many_forms_takes_nothing_from_the_shops_other_visitors(
    shopper: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storefront, "SHOP_FORMS_A_MINUTE", 12)
    for n in range(14):
        shopper.send(f"69123456{n:02d}")

    assert replace(shopper, headers={"X-Forwarded-For": "192.0.2.8"}).send().status_code == 200


def test_one_line_has_one_limit_however_many_addresses_it_has(shopper: Shopper) -> None:
    lines = [replace(shopper, headers={"X-Forwarded-For": f"2001:db8::{n:x}"}) for n in range(11)]

    assert [line.send().status_code for line in lines] == [200] * 10 + [429]


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

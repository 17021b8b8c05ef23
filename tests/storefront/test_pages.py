"""Opting out, how pages stand on the shop's site, in which language, and who may ask for them at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.rules import State
from blossom.platform import clock, config, db
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.storefront.conftest import ELENI, PREFIX, Shopper, signed, token_in, work

# Opting out


def test_robots_that_open_links_change_nothing(shopper: Shopper) -> None:
    create_subscriber(shopper.shop, phone=ELENI)
    code = consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash())
    for _ in range(3):
        page = shopper.get(f"unsubscribe/{code}")
        head = shopper.app.test_client().head(f"/proxy/unsubscribe/{code}?{shopper.query()}")
        assert (page.status_code, head.status_code) == (200, 200)
        assert page.text.count("<button") == 1

    assert shopper.state() is State.OPTED_IN
    assert "noindex" in page.headers["X-Robots-Tag"]


def test_one_button_ends_the_texts_however_often_it_is_pressed(shopper: Shopper) -> None:
    create_subscriber(shopper.shop, phone=ELENI)
    code = consent.unsubscribe_code(shopper.shop_id, shopper.phone_hash())

    first, second = shopper.post(f"unsubscribe/{code}"), shopper.post(f"unsubscribe/{code}")

    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert shopper.state() is State.OPTED_OUT
    story = consents.events(shopper.shop_id, shopper.phone_hash())
    assert [each.to_state for each in story] == ["opted_in", "opted_out"]
    assert (story[-1].source, story[-1].ip) == ("storefront", "192.0.2.7")


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_shops_or_a_changed_opt_out_code_is_none(shopper: Shopper, method: str) -> None:
    create_subscriber(shopper.shop, phone=ELENI)
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

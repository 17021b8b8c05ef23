"""In which language a page in the admin's frame is: the admin says so, and nobody needs a cookie for it to stay."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.admin.conftest import Visitor

ENGLISH, GREEK = "<h1>Contacts</h1>", "<h1>Επαφές</h1>"
BOOSTED = {"HX-Boosted": "true"}


@pytest.mark.parametrize(
    ("asked", "header", "accepted", "heading"),
    [
        ("el", None, None, GREEK),
        ("el-GR", None, "en", GREEK),
        ("en", "el", "el", ENGLISH),
        (None, "el", "en", GREEK),
        (None, "en", "el", ENGLISH),
        (None, None, "el-GR,el;q=0.9", GREEK),
        (None, None, None, ENGLISH),
        ("tlh", None, None, ENGLISH),
        ("../el", "\u00e9", None, ENGLISH),
    ],
)
def test_the_address_says_it_then_the_page_that_fetches_then_the_browser(
    visitor: Visitor, asked: str | None, header: str | None, accepted: str | None, heading: str
) -> None:
    given = {"Blossom-Locale": header, "Accept-Language": accepted}
    headers = BOOSTED | {name: value for name, value in given.items() if value}
    response = visitor.fetch("/contacts", query_string={"locale": asked} if asked else {}, headers=headers)
    html, locale = response.get_data(as_text=True), "el" if heading == GREEK else "en"
    assert heading in html
    assert f'<html lang="{locale}">' in html
    assert f'{{"Blossom-Locale": "{locale}"}}' in html, "what the page fetches asks for the same"
    assert response.headers["Content-Language"] == locale


def test_one_reader_s_language_is_not_the_next_one_s(visitor: Visitor) -> None:
    greek = visitor.fetch("/contacts", query_string={"locale": "el"}, headers=BOOSTED)
    assert GREEK in greek.get_data(as_text=True)
    assert ENGLISH in visitor.fetch("/contacts", headers=BOOSTED).get_data(as_text=True)


def test_it_is_kept_over_the_bounce_page(visitor: Visitor) -> None:
    sent = visitor.ask("GET", "/contacts", query_string={"shop": visitor.shop, "locale": "el"})
    bounce = parse_qs(urlsplit(sent.location).query)
    assert bounce["locale"] == ["el"]
    assert parse_qs(urlsplit(bounce["shopify-reload"][0]).query)["locale"] == ["el"]
    assert '<html lang="el">' in visitor.ask("GET", sent.location).get_data(as_text=True)

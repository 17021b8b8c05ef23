"""The admin's page around the app, as far as it can be told without a browser."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from blossom.sandbox.shopify import signing
from tests.providers.shopify_stand_in.conftest import KEY, OURS, SECRET, Shopify

HOST = {"Host": "admin.shopify.test"}


def page_around(shopify: Shopify, page: str) -> str:
    shopify.stand_in.configure(app_url="http://app.test")
    return requests.get(f"{shopify.stand_in.url}/store/ours/apps/{KEY}/{page}", headers=HOST, timeout=10).text


def framed(shopify: Shopify, page: str) -> str:
    """What the admin loads into its frame for this page of the app."""
    answer = page_around(shopify, page)
    found = re.search(r'<iframe [^>]*src="([^"]*)"', answer)
    assert found, answer
    return html.unescape(found[1])


def test_the_admin_listens_before_its_frame_can_ask(shopify: Shopify) -> None:
    """A page that loads quicker than the admin's script asked nobody for its session token, and waited for ever."""
    page = page_around(shopify, "")
    assert page.index('src="/admin.js"') < page.index("<iframe ")


def test_the_frame_is_told_who_is_there_and_it_is_signed(shopify: Shopify) -> None:
    pairs = parse_qsl(urlsplit(framed(shopify, "contacts?state=opted_in&shop=evil.test&hmac=0")).query)
    given = dict(pairs)
    assert len(given) == len(pairs), "nothing is said twice"
    assert (given["shop"], given["embedded"], given["state"]) == (OURS, "1", "opted_in")
    assert given["hmac"] == signing.query_hmac(pairs, SECRET)
    claims = signing.read_id_token(given["id_token"], SECRET)
    assert claims is not None
    assert (claims["dest"], claims["aud"]) == (f"https://{OURS}", KEY)


@pytest.mark.parametrize("page", ["a%3Fb=1", "a%23b", "a%22%3E%3Cb%3E"])
def test_an_odd_page_is_the_apps_to_answer(shopify: Shopify, page: str) -> None:
    assert framed(shopify, page).partition("?")[0] == f"http://app.test/{page}".replace("=", "%3D")


@pytest.mark.parametrize("body", ["", "x", "[]", "{}", '{"count": "two"}'])
def test_what_is_no_number_of_stale_tokens_is_refused(shopify: Shopify, body: str) -> None:
    answer = requests.post(f"{shopify.stand_in.url}/tokens/stale", data=body, headers=HOST, timeout=10)
    assert answer.status_code == 400


def test_what_the_app_asks_for_is_shown_as_it_is_written(shopify: Shopify) -> None:
    shopify.stand_in.configure(name="<b>Blossom</b>", scopes=["<i>"])
    shopify.stand_in.open_shop("third.myshopify.com", name="Third & <u>Co</u>")
    for address, host in (
        (f"{shopify.stand_in.url}/store/third/apps/{KEY}/", HOST),
        (f"{shopify.admin('third.myshopify.com')}/oauth/authorize?client_id={KEY}&redirect_uri=http://a.test/", {}),
    ):
        shopify.stand_in.configure(redirect_urls=["http://a.test/"])
        page = requests.get(address, headers=host, timeout=10).text
        assert "Install &lt;b&gt;Blossom&lt;/b&gt; in Third &amp; &lt;u&gt;Co&lt;/u&gt;" in page
        assert "&lt;i&gt;" in page
        assert not re.search("<b>|<i>|<u>", page)

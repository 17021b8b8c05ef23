"""The shop's own site of Shopify's stand-in: what it signs, forwards, strips and renders; the theme's block."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server
from werkzeug.test import Client

from blossom.platform import clock
from blossom.sandbox.shopify import app as stand_in
from blossom.sandbox.shopify.state import State
from blossom.sandbox.shopify.storefront import theme
from blossom.shopify import signature

ROOT = Path(__file__).resolve().parents[2]
HOST = {"Host": "ours.storefront.test:8080"}


@dataclass
class Site:
    """A browser on the shop's site, and an app behind its proxy that answers `answer` and keeps what it was asked."""

    client: Client
    state: State
    asked: list[dict[str, object]]
    answer: Response


@pytest.fixture
def site() -> Iterator[Site]:
    behind = Flask("behind")
    state = State()
    found = Site(Client(stand_in.create_app(state)), state, [], Response("hello", mimetype="text/plain"))

    @behind.route("/proxy/<path:rest>", methods=["GET", "POST"])
    def answer(rest: str) -> Response:
        pairs = list(request.args.items(multi=True))
        found.asked.append(
            {
                "path": rest,
                "authentic": signature.proxy_is_authentic(pairs, ["stand-in-secret"], now=clock.now()),
                "prefix": request.args.get("path_prefix"),
                "cookies": dict(request.cookies),
                "form": request.form.to_dict(),
                "method": request.method,
                "address": request.headers.get("X-Forwarded-For"),
            }
        )
        return found.answer

    server = make_server("127.0.0.1", 0, behind, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    state.app.proxy_url = f"http://127.0.0.1:{server.server_port}/proxy"
    state.own_url = "http://127.0.0.1:8080"
    state.install(state.add_shop("ours.myshopify.com", name="Ours"))
    yield found
    server.shutdown()


def test_a_request_is_signed_and_forwarded_without_cookies(site: Site) -> None:
    site.client.set_cookie("session", "secret", domain="ours.storefront.test")
    site.answer.set_cookie("tracker", "1")
    response = site.client.post(
        "/apps/blossom/consent?a=1&a=2&shop=evil.myshopify.com&timestamp=1",
        data={"phone": "1 2"},
        headers=HOST,
        environ_base={"REMOTE_ADDR": "203.0.113.5"},
    )

    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert site.asked == [
        {
            "path": "consent",
            "authentic": True,
            "prefix": "/apps/blossom",
            "cookies": {},
            "form": {"phone": "1 2"},
            "method": "POST",
            "address": "203.0.113.5",
        }
    ]


def test_liquid_is_rendered_in_the_theme_and_all_else_stays(site: Site) -> None:
    plain = site.client.get("/apps/blossom/x", headers=HOST)
    assert plain.text == "hello"

    site.answer = Response("<p>{{ shop.name | upcase }} {{ 1 | plus: 1 }}</p>", 422, mimetype="application/liquid")
    rendered = site.client.get("/apps/blossom/x", headers=HOST)
    assert rendered.status_code == 422
    assert rendered.mimetype == "text/html"
    assert "<p>OURS 2</p>" in rendered.text
    assert "theme-header" in rendered.text

    site.answer = Response("{% broken", mimetype="application/liquid")
    assert "Liquid error" in site.client.get("/apps/blossom/x", headers=HOST).text


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/apps/other/consent", "ours.storefront.test"),
        ("/a/blossom/consent", "ours.storefront.test"),
        ("/apps/blossom/consent", "nobody.storefront.test"),
    ],
)
def test_where_there_is_no_proxy_there_is_nothing(site: Site, path: str, host: str) -> None:
    assert site.client.get(path, headers={"Host": host}).status_code == 404
    assert site.asked == []


def test_an_app_that_is_away_is_an_error_of_the_proxy(site: Site) -> None:
    site.state.app.proxy_url = "http://127.0.0.1:1/proxy"
    assert site.client.get("/apps/blossom/consent", headers=HOST).status_code == 502


def test_a_link_to_the_shops_domain_leads_to_its_site(site: Site) -> None:
    response = site.client.get("/shops/ours.myshopify.com/apps/blossom/confirm/abc?locale=el", headers={"Host": "x"})
    assert response.headers["Location"] == "http://ours.storefront.test:8080/apps/blossom/confirm/abc?locale=el"


@pytest.mark.parametrize(
    ("locale", "word"), [("en", "Mobile number"), ("el", "Αριθμός κινητού"), ("fr", "Mobile number")]
)
def test_the_home_page_has_the_apps_block_in_the_shoppers_language(site: Site, locale: str, word: str) -> None:
    page = site.client.get(f"/?locale={locale}", headers=HOST).text

    assert word in page
    assert f'action="/apps/blossom/consent?locale={locale}"' in page
    assert 'name="country" value="GR"' in page
    assert "<script" not in page
    assert "schema" not in page


def test_the_blocks_files_fit_each_other() -> None:
    folder = ROOT / "extensions" / "consent-form"
    declared = tomllib.loads((folder / "shopify.extension.toml").read_text())
    assert declared["extensions"][0]["type"] == "theme"
    schema = theme.embed_schema()
    assert schema["target"] == "body"
    assert (folder / "assets" / schema["stylesheet"]).is_file()
    block = (folder / "blocks" / "consent.liquid").read_text()
    used = set(re.findall(r"'([\w.]+)' \| t", block))
    for locale in ("en.default", "el"):
        words = json.loads((folder / "locales" / f"{locale}.json").read_text())["consent"]
        assert {f"consent.{key}" for key in words} == used, locale
    of_schema = json.loads((folder / "locales" / "en.default.schema.json").read_text())["consent"]
    assert set(re.findall(r'"t:consent\.(\w+)"', block)) == set(of_schema)
    assert {each["id"] for each in schema["settings"]} == set(re.findall(r"block\.settings\.(\w+)", block))

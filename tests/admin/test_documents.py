"""Pages in the admin's frame: what stands around them, the bounce page, and both installs."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from blossom.admin import rules, service
from blossom.platform import clock, config
from blossom.platform.config import Config
from blossom.platform.db import session
from blossom.sandbox.shopify import signing
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from blossom.shopify.oauth import Tokens
from blossom.shops.models import Installation, Shop, StaffMember
from tests.admin.conftest import ADMIN, API_KEY, APP, BRIDGE, SCOPES, SECRET, Visitor, install, token
from tests.factories.campaigns import create_campaign, make_ready
from tests.personas import Personas


def policy(response: TestResponse) -> dict[str, list[str]]:
    parts = (part.split() for part in response.headers["Content-Security-Policy"].split("; "))
    return {name: values for name, *values in parts}


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


class TestThePage:
    def test_begins_with_app_bridge(self, visitor: Visitor) -> None:
        html = visitor.document("/").get_data(as_text=True)
        head = html[: html.index("</head>")]
        assert f'<meta name="shopify-api-key" content="{API_KEY}">' in head
        scripts = re.findall(r'<script src="([^"]+)"([^>]*)>', html)
        assert scripts[0] == (BRIDGE, ""), "first of all, and not deferred"
        assert head.index("shopify-api-key") < head.index(BRIDGE)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html), "nothing inline"

    def test_may_be_framed_by_this_shop_and_the_admin_alone(self, visitor: Visitor) -> None:
        response = visitor.document("/")
        found = policy(response)
        assert found["frame-ancestors"] == ["https://ours.myshopify.com", ADMIN]
        assert found["script-src"] == ["'self'", "http://cdn.test:5002"]
        assert "'unsafe-inline'" not in response.headers["Content-Security-Policy"]

    def test_names_its_pages_for_the_admins_menu_and_has_no_other(self, visitor: Visitor) -> None:
        html = visitor.document("/settings").get_data(as_text=True)
        (menu,) = re.findall(r"<s-app-nav>(.*?)</s-app-nav>", html, re.DOTALL)
        pages = re.findall(r'href="([^"]+)"', menu)
        assert pages[0] == "/"
        assert {"/campaigns", "/contacts", "/settings"} <= set(pages)
        assert all(visitor.document(page).status_code == 200 for page in pages)
        assert "<header" not in html

    def test_is_never_asked_for_in_the_clear_where_there_is_https(
        self, visitor: Visitor, shopify: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "Strict-Transport-Security" not in visitor.document("/").headers
        monkeypatch.setattr(config, "_current", replace(shopify, app_url="https://app.test"))
        assert visitor.document("/").headers["Strict-Transport-Security"] == "max-age=31536000"

    def test_sets_no_cookie_and_is_not_stored(self, visitor: Visitor) -> None:
        for response in (visitor.document("/"), visitor.fetch("/settings"), visitor.document("/", {"id_token": "x"})):
            assert "Set-Cookie" not in response.headers
            assert response.headers["Cache-Control"] == "no-store"

    def test_of_a_campaign_is_live_without_a_pass(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        html = visitor.document(f"/campaigns/{campaign.id}").get_data(as_text=True)
        assert f'hx-sse:connect="/campaigns/{campaign.id}/events"' in html
        assert '<a class="back" href="/campaigns">' in html
        assert visitor.fetch(f"/campaigns/{campaign.id}/events").mimetype == "text/event-stream"

    def test_that_is_not_there_stands_in_the_frame_too(self, visitor: Visitor) -> None:
        response = visitor.document("/nowhere")
        assert response.status_code == 404
        assert policy(response)["frame-ancestors"] == ["https://ours.myshopify.com", ADMIN]
        html = response.get_data(as_text=True)
        assert '<a class="button" href="/">Go to Home</a>' in html
        assert "API" not in html

    def test_says_what_the_shop_has_yet_to_grant(self, app: Flask, personas: Personas, shopify: Config) -> None:
        install(personas.ours, scopes=["read_customers"])
        html = Visitor(app).document("/settings").get_data(as_text=True)
        wanted = re.search(r"What it still needs:</p>\s*<ul>(.*?)</ul>", html)
        assert wanted is not None
        assert re.findall(r"<li>([^<]*)</li>", wanted[1]) == [
            "Read your orders: who bought, how often, and for how much",
            "Tell Shopify who agreed to texts and who opted out",
        ]
        assert f'<a href="{APP}/auth?shop=ours.myshopify.com" target="_top">' in html

    def test_says_nothing_of_the_kind_when_all_is_granted(self, visitor: Visitor) -> None:
        assert "permission" not in visitor.document("/").get_data(as_text=True)


class TestTheWayThroughTheBouncePage:
    def test_leads_back_to_the_same_page(self, visitor: Visitor) -> None:
        first = visitor.document("/", {"id_token": "", "before": "7", "hmac": "x", "timestamp": "1"})
        asked = query_of(first.location)
        assert (asked["shop"], asked["host"]) == (visitor.shop, "YWRtaW4")
        page = visitor.ask("GET", first.location)
        assert page.status_code == 200
        assert BRIDGE in page.get_data(as_text=True)
        assert policy(page)["frame-ancestors"] == ["https://ours.myshopify.com", ADMIN]
        back = asked["shopify-reload"]
        assert back.startswith(f"{APP}/?")
        assert {name: value for name, value in query_of(back).items() if name != rules.BOUNCED} == {
            "embedded": "1", "shop": visitor.shop, "host": "YWRtaW4", "before": "7",
        }  # fmt: skip
        again = visitor.ask("GET", f"{back.removeprefix(APP)}&id_token={token()}")
        assert again.status_code == 200

    def test_is_not_gone_in_a_circle(self, visitor: Visitor) -> None:
        moment = str(int(clock.now().timestamp()))
        response = visitor.document("/", {"id_token": token(secret="another"), rules.BOUNCED: moment})
        assert response.status_code == 401
        assert "open Blossom from your Shopify admin" in response.get_data(as_text=True)
        assert policy(response)["frame-ancestors"] == ["https://ours.myshopify.com", ADMIN]

    def test_is_gone_again_for_a_page_that_bounced_long_ago(self, visitor: Visitor) -> None:
        moment = str(int(clock.now().timestamp()) - 3600)
        assert visitor.document("/", {"id_token": token(exp=1), rules.BOUNCED: moment}).status_code == 302

    @pytest.mark.parametrize(
        "given", ["https://evil.example/", "//evil.example", "/settings", "javascript:alert(1)", ""]
    )
    def test_leads_nowhere_else(self, visitor: Visitor, given: str) -> None:
        response = visitor.ask("GET", "/session/bounce", query_string={"shopify-reload": given})
        assert response.status_code == 400
        assert BRIDGE not in response.get_data(as_text=True), "App Bridge would follow it"

    @pytest.mark.parametrize("proof", [{}, {"id_token": ""}], ids=["proven", "unproven"])
    @pytest.mark.parametrize("path", ["/", "/settings", "/nowhere", "/campaigns/1"])
    def test_is_the_only_page_that_sends_on(self, visitor: Visitor, path: str, proof: dict[str, str]) -> None:
        """App Bridge loads what `shopify-reload` names, with a session token, on whatever page it stands."""
        response = visitor.document(path, {"shopify-reload": "https://evil.example/", **proof})
        assert response.status_code == 400
        assert BRIDGE not in response.get_data(as_text=True)

    def test_leads_to_one_page(self, visitor: Visitor) -> None:
        twice = [("shopify-reload", f"{APP}/"), ("shopify-reload", f"{APP}/settings")]
        assert visitor.ask("GET", "/session/bounce", query_string=twice).status_code == 400

    def test_names_no_shop_that_is_none(self, visitor: Visitor) -> None:
        given = {"shopify-reload": f"{APP}/", "shop": "evil.example; script-src *"}
        response = visitor.ask("GET", "/session/bounce", query_string=given)
        assert response.status_code == 400
        assert "evil" not in response.headers["Content-Security-Policy"]

    def test_is_not_for_forms(self, visitor: Visitor) -> None:
        response = visitor.ask("POST", "/settings", data={"sender": "Typed"})
        assert response.status_code == 401

    def test_without_a_shop_only_the_admin_may_frame_it(self, visitor: Visitor) -> None:
        response = visitor.ask("GET", "/settings")
        assert policy(visitor.ask("GET", response.location))["frame-ancestors"] == [ADMIN]


class TestOutsideOfTheFrame:
    TOP = {"Sec-Fetch-Dest": "document"}

    def test_a_page_of_a_known_shop_is_opened_in_the_admin(self, visitor: Visitor) -> None:
        response = visitor.ask("GET", "/settings", query_string={"shop": visitor.shop}, headers=self.TOP)
        assert response.status_code == 302
        assert response.location == f"{ADMIN}/store/ours/apps/{API_KEY}/settings"

    def test_a_page_of_nobody_says_where_it_lives(self, visitor: Visitor) -> None:
        response = visitor.ask("GET", "/settings", headers=self.TOP)
        assert response.status_code == 400
        assert "inside the Shopify admin" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "shop",
    ["", "ours", "ours.myshopify.com.evil.example", "evil.example", "ours.myshopify.com/",
     "https://ours.myshopify.com", "ours.myshopify.com\n", "öurs.myshopify.com", "-ours.myshopify.com", "x" * 100_000,
     "ours.myshopify.com; x", "\x00"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/session/bounce", "/auth", "/auth/callback", "/nowhere"])
def test_what_is_no_shop_is_refused_before_anything_sees_it(visitor: Visitor, path: str, shop: str) -> None:
    response = visitor.ask("GET", path, query_string={"shop": shop, "shopify-reload": f"{APP}/"})
    assert response.status_code == 400
    assert shop not in response.headers["Content-Security-Policy"] or not shop


def test_two_shops_are_none(visitor: Visitor) -> None:
    twice = [("shop", visitor.shop), ("shop", "theirs.myshopify.com"), ("id_token", token())]
    assert visitor.ask("GET", "/", query_string=twice).status_code == 400


def test_two_tokens_are_none(visitor: Visitor) -> None:
    assert visitor.ask("GET", "/", query_string=[("id_token", token()), ("id_token", token())]).status_code == 302


class Shopify:
    """Shopify's side of a grant, in the place of `oauth`'s calls. `refuses`: with which fault it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.refuses: str | None = None

    def exchange(self, shop: str, id_token: str, *, online: bool = False) -> Tokens:
        return self._grant("online" if online else "offline", shop, id_token)

    def redeem_code(self, shop: str, code: str) -> Tokens:
        return self._grant("code", shop, code)

    def _grant(self, way: str, shop: str, proof: str) -> Tokens:
        self.asked.append((way, shop, proof))
        if self.refuses:
            raise ShopifyError(self.refuses)
        if way == "online":
            return Tokens("online", SCOPES, clock.now(), user_id=42, user_scopes=SCOPES)
        ends_at = clock.now() + timedelta(hours=1)
        return Tokens("offline", SCOPES, ends_at, "refresh", ends_at + timedelta(days=90))


@pytest.fixture
def granting(monkeypatch: pytest.MonkeyPatch, shopify: Config) -> Shopify:
    stand_in = Shopify()
    monkeypatch.setattr(oauth, "exchange", stand_in.exchange)
    monkeypatch.setattr(oauth, "redeem_code", stand_in.redeem_code)
    return stand_in


NEW = "new.myshopify.com"


class TestTheInstall:
    def test_of_an_unknown_shop_happens_when_it_is_first_opened(self, app: Flask, granting: Shopify) -> None:
        given = token(NEW)
        response = Visitor(app, NEW).document("/", {"id_token": given})
        assert response.status_code == 200
        assert granting.asked == [("offline", NEW, given), ("online", NEW, given)]
        shop = session.query(Shop).filter_by(domain=NEW).one()
        assert session.query(Installation).filter_by(shop_id=shop.id).one().has_access
        assert session.query(StaffMember).filter_by(shop_id=shop.id).one().scopes == list(SCOPES)
        html = response.get_data(as_text=True)
        assert re.findall(r'data-figure="(\w+)">([^<]*)<', html) == [
            ("sent", "0"), ("delivered", "–"), ("opt_outs", "0"), ("credits", "0"), ("contacts", "0"),
            ("available", "0"), ("reserved", "0"),
        ]  # fmt: skip

    def test_is_not_repeated(self, app: Flask, granting: Shopify) -> None:
        for _ in range(3):
            assert Visitor(app, NEW).document("/settings").status_code == 200
        assert [way for way, _, _ in granting.asked] == ["offline", "online"]

    def test_stands_although_the_page_is_not_there(self, app: Flask, granting: Shopify) -> None:
        assert Visitor(app, NEW).document("/campaigns/999").status_code == 404
        assert session.query(Shop).filter_by(domain=NEW).count() == 1

    def test_happens_again_where_access_was_lost_or_the_shop_had_left(
        self, app: Flask, granting: Shopify, personas: Personas
    ) -> None:
        install(personas.ours, access_lost_at=clock.now())
        install(personas.theirs)
        personas.theirs.uninstalled_at = clock.now()
        for shop in (personas.ours, personas.theirs):
            assert Visitor(app, shop.domain).document("/").status_code == 200
            assert [asked[:2] for asked in granting.asked] == [("offline", shop.domain)]
            granting.asked.clear()
        assert personas.theirs.uninstalled_at is None

    def test_waits_for_a_new_token_when_shopify_takes_this_one_no_more(self, app: Flask, granting: Shopify) -> None:
        granting.refuses = "grant_refused"
        response = Visitor(app, NEW).document("/")
        assert response.status_code == 302
        assert response.location.startswith("/session/bounce?")
        again = query_of(response.location)["shopify-reload"].removeprefix(APP)
        assert Visitor(app, NEW).ask("GET", f"{again}&id_token={token(NEW)}").status_code == 401, "no circle"

    @pytest.mark.parametrize(("fault", "status"), [("could_not_connect", 503), ("app_refused", 502)])
    def test_says_what_shopify_failed_with(self, app: Flask, granting: Shopify, fault: str, status: int) -> None:
        granting.refuses = fault
        response = Visitor(app, NEW).document("/")
        assert response.status_code == status
        assert f"https://{NEW}" in response.headers["Content-Security-Policy"]

    @pytest.mark.parametrize("path", ["/", "/api/campaigns"])
    def test_is_no_fetchs_business(self, app: Flask, granting: Shopify, path: str) -> None:
        response = Visitor(app, NEW).fetch(path)
        assert response.status_code == 401
        assert granting.asked == []

    def test_is_what_a_fetch_leaves_the_frame_for(self, app: Flask, granting: Shopify) -> None:
        response = Visitor(app, NEW).fetch("/settings")
        assert response.headers["X-Shopify-API-Request-Failure-Reauthorize"] == "1"
        assert response.headers["X-Shopify-API-Request-Failure-Reauthorize-Url"] == f"{APP}/auth?shop={NEW}"

    def test_lets_in_to_look_whose_rights_shopify_does_not_tell(
        self, app: Flask, granting: Shopify, personas: Personas
    ) -> None:
        install(personas.ours)
        granting.refuses = "no_answer"
        response = Visitor(app).document("/settings", {"id_token": token(sub="77")})
        assert response.status_code == 200
        assert "<button" not in response.get_data(as_text=True)


class TestTheSecondWayToInstall:
    def callback(self, app: Flask, *, secret: str = SECRET, **changed: str) -> TestResponse:
        """What Shopify sends the merchant back with; `changed` before it is signed."""
        sent = Visitor(app, NEW).ask("GET", "/auth", query_string={"shop": NEW})
        state = query_of(sent.location)["state"]
        pairs = {"code": "c0de", "host": "YWRtaW4", "shop": NEW, "state": state, "timestamp": "1", **changed}
        pairs["hmac"] = signing.query_hmac(pairs.items(), secret)
        return Visitor(app, NEW).ask("GET", "/auth/callback", query_string=pairs)

    def test_leads_to_shopifys_page(self, app: Flask, shopify: Config) -> None:
        response = Visitor(app, NEW).ask("GET", "/auth", query_string={"shop": NEW})
        assert response.location.startswith(f"https://{NEW}/admin/oauth/authorize?")
        asked = query_of(response.location)
        assert (asked["client_id"], asked["redirect_uri"]) == (API_KEY, f"{APP}/auth/callback")
        assert set(asked["scope"].split(",")) == set(SCOPES)
        assert "Set-Cookie" not in response.headers

    def test_ends_where_the_admin_shows_the_app(self, app: Flask, granting: Shopify) -> None:
        response = self.callback(app)
        assert response.location == f"{ADMIN}/store/new/apps/{API_KEY}/"
        assert granting.asked == [("code", NEW, "c0de")]
        assert session.query(Shop).filter_by(domain=NEW).count() == 1

    @pytest.mark.parametrize(
        "changed",
        [{"secret": "guess"}, {"shop": "other.myshopify.com"}, {"state": "made-up"}, {"state": ""}],
        ids=str,
    )
    def test_is_closed_to_what_shopify_or_we_did_not_make(
        self, app: Flask, granting: Shopify, changed: dict[str, str]
    ) -> None:
        assert self.callback(app, **changed).status_code == 400
        assert granting.asked == []

    def test_is_closed_when_the_merchant_was_away_too_long(
        self, app: Flask, granting: Shopify, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "GRANT_SECONDS", -1)
        assert self.callback(app).status_code == 400

    def test_proof_over_altered_values_does_not_hold(self, app: Flask, granting: Shopify) -> None:
        sent = Visitor(app, NEW).ask("GET", "/auth", query_string={"shop": NEW})
        pairs = {"code": "c0de", "shop": NEW, "state": query_of(sent.location)["state"]}
        proof = signing.query_hmac(pairs.items(), SECRET)
        for altered in ({**pairs, "code": "other"}, {**pairs, "more": "x"}, pairs):
            given = {**altered, "hmac": proof if altered is not pairs else proof[:-1] + "é"}
            assert Visitor(app, NEW).ask("GET", "/auth/callback", query_string=given).status_code == 400
        assert granting.asked == []

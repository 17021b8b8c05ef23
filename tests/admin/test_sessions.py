"""Session tokens at the door of the admin's pages and of the JSON API: good ones, and every wrong form of one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blossom.audit.models import AuditEntry
from blossom.platform import clock, passes
from blossom.platform.config import Config
from blossom.platform.db import session
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from blossom.shopify.oauth import Tokens
from blossom.shops.models import Shop, StaffMember
from tests.admin.conftest import API_KEY, OLD_SECRET, SCOPES, Visitor, claims, member, part, signed, token
from tests.factories.campaigns import create_campaign, make_ready

RETRY = "X-Shopify-Retry-Invalid-Session-Request"


def now() -> int:
    return int(clock.now().timestamp())


GOOD: dict[str, Callable[[], str]] = {
    "as Shopify makes them": token,
    "signed with the secret of before": lambda: token(secret=OLD_SECRET),
    "expired a few seconds ago": lambda: token(exp=now() - 5),
    "of a few seconds from now": lambda: token(nbf=now() + 9, iat=now() + 9),
}

WRONG: dict[str, Callable[[], str]] = {
    "expired": lambda: token(exp=now() - 11),
    "not valid yet": lambda: token(nbf=now() + 60),
    "without an end": lambda: token(exp=None),
    "an end that is no number": lambda: token(exp="soon"),
    "an end beyond time": lambda: token(exp=10**40),
    "an end that is true": lambda: token(exp=True),
    "for another app": lambda: token(aud="another"),
    "for several apps": lambda: token(aud=[API_KEY]),
    "for no app": lambda: token(aud=None),
    "issued by another shop": lambda: token(iss="https://theirs.myshopify.com/admin"),
    "issued by nobody": lambda: token(iss=None),
    "issued by somebody else": lambda: token(iss="https://evil.example/admin"),
    "for no shop": lambda: token(dest=None),
    "for a shop elsewhere": lambda: token(dest="https://evil.example", iss="https://evil.example/admin"),
    "for a shop and more": lambda: token(
        dest="https://ours.myshopify.com.evil.example", iss="https://ours.myshopify.com.evil.example/admin"
    ),
    "over http": lambda: token(dest="http://ours.myshopify.com", iss="http://ours.myshopify.com/admin"),
    "of a shopper": lambda: token(sub="gid://shopify/Customer/42"),
    "of nobody": lambda: token(sub=None),
    "of user nought": lambda: token(sub="0"),
    "signed by a stranger": lambda: token(secret="guess"),
    "signed with nothing": lambda: token(secret=""),
    "altered": lambda: _altered(token()),
    "unsigned": lambda: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.",
    "of another kind": lambda: signed({"alg": "HS512", "typ": "JWT"}, claims()),
    "a list": lambda: signed({"alg": "HS256"}, [claims()]),
    "a header that is a list": lambda: signed(["HS256"], claims()),
    "not base64": lambda: "%%%.%%%.%%%",
    "of two parts": lambda: ".".join(token().split(".")[:2]),
    "of four parts": lambda: token() + ".more",
    "of empty parts": lambda: "..",
    "with a space in it": lambda: token().replace(".", ". ", 1),
    "not ASCII": lambda: token() + "é",
    "half a megabyte long": lambda: f"{'a' * 500_000}.b.c",
    "an API key's": lambda: "blsm_00000000_nothing",
}


def _altered(given: str) -> str:
    header, _, signature = given.split(".")
    return f"{header}.{part(claims(sub='43'))}.{signature}"


@pytest.mark.parametrize("kind", GOOD)
class TestAGoodToken:
    def test_opens_a_document(self, visitor: Visitor, kind: str) -> None:
        assert visitor.document("/", {"id_token": GOOD[kind]()}).status_code == 200

    def test_opens_a_fetch(self, visitor: Visitor, kind: str) -> None:
        assert visitor.fetch("/", GOOD[kind]()).status_code == 200

    def test_opens_the_api(self, visitor: Visitor, kind: str) -> None:
        assert visitor.fetch("/api/campaigns", GOOD[kind]()).status_code == 200


@pytest.mark.parametrize("kind", WRONG)
class TestAWrongToken:
    def test_sends_a_document_through_the_bounce_page(self, visitor: Visitor, kind: str) -> None:
        response = visitor.document("/settings", {"id_token": WRONG[kind]()})
        assert response.status_code == 302
        assert response.location.startswith("/session/bounce?")

    @pytest.mark.parametrize("path", ["/settings", "/api/campaigns"])
    def test_lets_a_fetch_try_again(self, visitor: Visitor, kind: str, path: str) -> None:
        response = visitor.fetch(path, WRONG[kind]())
        assert response.status_code == 401
        assert response.headers[RETRY] == "1"


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Bearer", "Bearer ", "Basic b3VyczpwYXNz", "bearer", "Bearer Bearer x.y.z", "\xff\xfe",
        "Bearer \xe9.\xe9.\xe9", "Bearer\tx.y.z", "Bearer x.y.z, Bearer x.y.z", f"Bearer {'x' * 8000}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/campaigns/1", "/campaigns/1/events", "/api/campaigns"])
def test_odd_authorizations_are_refused_and_tried_again(visitor: Visitor, authorization: str | None, path: str) -> None:
    headers = {"HX-Request": "true"} | ({} if authorization is None else {"Authorization": authorization})
    response = visitor.ask("GET", path, headers=headers)
    assert response.status_code == 401
    assert response.headers[RETRY] == "1"


def test_two_authorizations_are_none(visitor: Visitor) -> None:
    headers = [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token()}")]
    assert visitor.ask("GET", "/", headers=headers).status_code == 401


def test_a_bearer_in_any_case_is_read(visitor: Visitor) -> None:
    assert visitor.ask("GET", "/", headers={"Authorization": f"bEaReR {token()}"}).status_code == 200


_values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.just(["x"]))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changed=st.dictionaries(st.sampled_from(["iss", "dest", "aud", "sub", "exp", "nbf", "iat", "sid", "jti"]), _values),
    cut=st.integers(min_value=0, max_value=400),
)
@example(changed={"exp": float("nan")}, cut=0)
@example(changed={"sub": "42"}, cut=0)
def test_no_claims_and_no_cut_bring_a_fault(visitor: Visitor, changed: dict[str, Any], cut: int) -> None:
    """Signed by Shopify's own secret, so that each claim is looked at; cut short, so that the form is."""
    given = token(**changed)
    given = given[: len(given) - cut]
    assert visitor.fetch("/settings", given).status_code in (200, 401)
    assert visitor.document("/settings", {"id_token": given}).status_code in (200, 302, 400)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=200))
def test_no_header_brings_a_fault(visitor: Visitor, given: str) -> None:
    for path in ("/settings", "/api/campaigns"):
        assert visitor.ask("GET", path, headers={"Authorization": given}).status_code == 401


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.text(max_size=200))
def test_no_shop_and_no_host_bring_a_fault(visitor: Visitor, given: str) -> None:
    for path in ("/", "/auth", "/auth/callback", "/session/bounce", "/nowhere"):
        assert visitor.ask("GET", path, query_string={"shop": given, "host": given}).status_code in (302, 400, 404)


class TestWho:
    def test_the_staff_member_is_recorded_once(self, visitor: Visitor, ours: Shop) -> None:
        for _ in range(2):
            visitor.fetch("/settings", token(sub="77"))
            visitor.fetch("/api/campaigns", token(sub="77"))
        (known,) = session.query(StaffMember).filter_by(shopify_user_id=77)
        assert known.shop_id == ours.id

    def test_what_they_do_stands_under_their_number(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        assert visitor.fetch(f"/api/campaigns/{campaign.id}/enqueue", method="POST").status_code == 200
        known = session.query(StaffMember).one()
        (entry,) = session.query(AuditEntry).filter_by(action="campaigns.enqueued")
        assert entry.actor == f"staff:{known.id}"

    @pytest.mark.parametrize("scopes", [("read_customers", "read_orders"), None])
    def test_who_may_only_look_at_shopify_can_not_send(
        self, visitor: Visitor, ours: Shop, scopes: tuple[str, ...] | None
    ) -> None:
        """Nor can somebody whom Shopify was not asked about: None."""
        make_ready(ours)
        campaign = create_campaign(ours)
        if scopes is not None:
            member(ours, scopes, user_id=77)
        looks = functools.partial(token, sub="77")
        response = visitor.fetch(f"/api/campaigns/{campaign.id}/enqueue", looks(), method="POST")
        assert (response.status_code, response.get_json()["code"]) == (403, "forbidden")
        assert visitor.fetch("/settings", looks(), method="POST", data={"sender": "Other"}).status_code == 403
        assert visitor.fetch(f"/campaigns/{campaign.id}", looks()).status_code == 200
        html = visitor.fetch("/settings", looks()).get_data(as_text=True)
        assert "may look at these settings, not change them" in html
        assert "<button" not in html


FORM = {
    "sender": "Changed",
    "contact_line": "",
    "opt_out_text": "Reply STOP",
    "default_country": "GR",
    "quiet_from": "20:00",
    "quiet_until": "09:00",
    "daily_cap": "",
    "weekly_cap": "",
    "trial_numbers": "",
}
"""The settings, as their form sends them."""


class TestRightsOfLongAgo:
    """A page stood open for days. Meanwhile Shopify's word on who may do what has changed, or can't be had."""

    @pytest.fixture
    def long_ago(self, ours: Shop) -> None:
        session.query(StaffMember).one().scopes_read_at = clock.now() - timedelta(hours=37)
        session.flush()

    def answer(self, monkeypatch: pytest.MonkeyPatch, scopes: tuple[str, ...] | None) -> list[str]:
        asked: list[str] = []

        def exchange(shop: str, id_token: str, *, online: bool = False) -> Tokens:
            asked.append(shop)
            if scopes is None:
                raise ShopifyError("no_answer")
            return Tokens("online", SCOPES, clock.now(), user_id=42, user_scopes=scopes)

        monkeypatch.setattr(oauth, "exchange", exchange)
        return asked

    @pytest.mark.parametrize(("told", "status"), [(SCOPES, 200), (("read_customers",), 403), (None, 403)])
    def test_are_asked_for_before_a_form_is_taken(
        self, visitor: Visitor, long_ago: None, monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...], status: int
    ) -> None:
        asked = self.answer(monkeypatch, told)
        assert visitor.fetch("/settings", method="POST", data=FORM).status_code == status
        assert asked == ["ours.myshopify.com"]

    def test_write_nothing_through_the_api(self, visitor: Visitor, ours: Shop, long_ago: None) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        assert visitor.fetch(f"/api/campaigns/{campaign.id}/enqueue", method="POST").status_code == 403
        assert visitor.fetch("/api/campaigns").status_code == 200

    def test_of_yesterday_hold(self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        session.query(StaffMember).one().scopes_read_at = clock.now() - timedelta(hours=35)
        asked = self.answer(monkeypatch, None)
        assert visitor.fetch("/settings", method="POST", data=FORM).status_code == 200
        assert asked == []


class TestTheOtherShop:
    def test_sees_none_of_ours(self, stranger: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours, name="Secret sale")
        for path in (f"/campaigns/{campaign.id}", f"/campaigns/{campaign.id}/events", f"/api/campaigns/{campaign.id}"):
            response = stranger.fetch(path)
            assert response.status_code == 404, path
            assert b"Secret sale" not in response.get_data()
        assert stranger.document(f"/campaigns/{campaign.id}").status_code == 404
        assert "Secret sale" not in stranger.document("/").get_data(as_text=True)

    def test_can_not_be_named_beside_ours(self, visitor: Visitor, theirs: Shop) -> None:
        response = visitor.document("/", {"shop": theirs.domain})
        assert response.status_code == 400
        assert "Ours" not in response.get_data(as_text=True)

    def test_does_not_change_our_settings(self, stranger: Visitor, ours: Shop, theirs: Shop) -> None:
        assert stranger.fetch("/settings", method="POST", data=FORM).status_code == 200
        assert (ours.sender, theirs.sender) == ("Ours", "Changed")


class TestWithoutShopify:
    """An installation without Shopify's settings: passes and API keys alone."""

    @pytest.mark.parametrize("path", ["/session/bounce", "/auth?shop=ours.myshopify.com", "/auth/callback"])
    def test_nothing_of_it_is_there(self, app: Flask, path: str) -> None:
        assert app.test_client().get(path).status_code == 404

    def test_a_session_token_is_nobodys(self, app: Flask) -> None:
        headers = {"Authorization": f"Bearer {token()}"}
        response = app.test_client().get("/api/campaigns", headers=headers)
        assert response.status_code == 401
        assert RETRY not in response.headers
        assert app.test_client().get("/", headers=headers).status_code == 403

    def test_nobody_may_frame_it(self, app: Flask) -> None:
        for path in ("/", "/nowhere"):
            assert "frame-ancestors 'none'" in app.test_client().get(path).headers["Content-Security-Policy"]


def test_where_there_is_shopify_a_pass_opens_nothing(visitor: Visitor, ours: Shop, shopify: Config) -> None:
    campaign = create_campaign(ours)
    link = passes.link(replace(shopify, shopify_api_key=""), ours.id, f"campaigns/{campaign.id}")
    response = visitor.ask("GET", f"/campaigns/{campaign.id}?{link.partition('?')[2]}")
    assert response.location.startswith("/session/bounce?")
    with pytest.raises(passes.PassRefused):
        passes.shop_of(shopify, parse_qs(link.partition("?")[2])["pass"][0], f"campaigns/{campaign.id}")

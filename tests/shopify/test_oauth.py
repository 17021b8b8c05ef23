"""Access: what is asked of Shopify, what its answers mean, and what none of it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from blossom.platform import clock
from blossom.platform.config import Config
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from tests.providers.recorded import RecordedProvider, reset, silence
from tests.shopify.conftest import KEY, OURS, SECRET, answer, settings_for

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PAIR = {
    "access_token": "shpat_new",
    "scope": "write_customers,read_orders",
    "expires_in": 3600,
    "refresh_token": "shprt_new",
    "refresh_token_expires_in": 7_776_000,
}
ONLINE = {
    "access_token": "shpua_new",
    "scope": "write_customers,read_orders",
    "expires_in": 86_399,
    "associated_user_scope": "read_orders",
    "associated_user": {"id": 902541635, "first_name": "Olga", "email": "olga@example.com", "account_owner": True},
}
REFRESH_REFUSED = {"error": "invalid_request", "error_description": "This request requires an active refresh_token"}
"""Shopify's word for a refresh token that is used up, over, or of an installation that ended; it comes with a 401."""


def asked(provider: RecordedProvider) -> dict[str, Any]:
    head, _, body = provider.requests[-1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /shops/ours.myshopify.com/admin/oauth/access_token ")
    found: dict[str, Any] = json.loads(body)
    assert (found.pop("client_id"), found.pop("client_secret")) == (KEY, SECRET)
    return found


def test_a_session_token_is_exchanged_for_an_expiring_pair(recorded: RecordedProvider) -> None:
    recorded.script(answer(PAIR))
    with clock.frozen_at(NOW):
        tokens = oauth.exchange(OURS, "the.id.token")
    assert asked(recorded) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "the.id.token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "requested_token_type": "urn:shopify:params:oauth:token-type:offline-access-token",
        "expiring": "1",
    }
    assert (tokens.access_token, tokens.refresh_token) == ("shpat_new", "shprt_new")
    assert tokens.scopes == ("read_customers", "read_orders", "write_customers"), "to write includes to read"
    assert tokens.expires_at == NOW + timedelta(hours=1)
    assert tokens.refresh_expires_at == NOW + timedelta(days=90)
    assert tokens.user_id is None


def test_an_online_token_tells_who_and_what_they_may_and_no_more(recorded: RecordedProvider) -> None:
    recorded.script(answer(ONLINE))
    tokens = oauth.exchange(OURS, "the.id.token", online=True)
    assert asked(recorded)["requested_token_type"].endswith(":online-access-token")
    assert "expiring" not in asked(recorded)
    assert (tokens.user_id, tokens.user_scopes) == (902541635, ("read_orders",))
    assert "Olga" not in repr(tokens)


def test_a_refresh_and_a_code_ask_as_oauth_has_it(recorded: RecordedProvider) -> None:
    recorded.script(answer(PAIR))
    oauth.refresh(OURS, "shprt_old")
    assert asked(recorded) == {"grant_type": "refresh_token", "refresh_token": "shprt_old"}
    oauth.redeem_code(OURS, "the-code")
    assert asked(recorded) == {"code": "the-code", "expiring": "1"}


def test_a_merchant_is_sent_to_the_page_that_grants(recorded: RecordedProvider) -> None:
    url = urlsplit(oauth.authorize_url(OURS, state="a state", redirect_uri="https://app.test/auth/callback"))
    assert url.path == "/shops/ours.myshopify.com/admin/oauth/authorize"
    found = parse_qs(url.query)
    assert found["client_id"] == [KEY]
    assert found["state"] == ["a state"]
    assert found["redirect_uri"] == ["https://app.test/auth/callback"]
    assert "read_customers" in found["scope"][0].split(",")


def test_a_token_whose_end_is_not_told_does_not_live_for_ever(recorded: RecordedProvider) -> None:
    untold = {name: value for name, value in PAIR.items() if "expires" not in name}
    recorded.script(answer(untold))
    with clock.frozen_at(NOW):
        tokens = oauth.refresh(OURS, "shprt_old")
    assert tokens.expires_at == NOW + timedelta(minutes=30)
    assert tokens.refresh_expires_at is None
    recorded.script(answer({"access_token": "shpat_for_good", "scope": ""}))
    assert oauth.exchange(OURS, "t").expires_at is None


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        (REFRESH_REFUSED, 401, "refresh_refused"),
        ({"error": "invalid_subject_token"}, 400, "refresh_refused"),
        ({"error": "invalid_grant", "error_description": "revoked"}, 400, "refresh_refused"),
        ({"error": "invalid_client"}, 401, "app_refused"),
        ({"error": "something_new"}, 400, "app_refused"),
        ({"error": ["odd"]}, 400, "app_refused"),
        (b"<html>", 403, "app_refused"),
        (b"", 402, "shop_frozen"),
        (b"[]", 404, "shop_closed"),
        (b"", 302, "wrong_address"),
        (b"", 429, "throttled"),
        (b"", 500, "shopify_failed"),
        ({"error": "invalid_grant"}, 503, "shopify_failed"),
        (b"", 200, "answer_unreadable"),
        (b"[" * 100_000, 200, "answer_unreadable"),
        ({"access_token": ""}, 200, "answer_unreadable"),
        ({"access_token": 1}, 200, "answer_unreadable"),
        ({"access_token": "a", "refresh_token": 1}, 200, "answer_unreadable"),
    ],
)
def test_each_refusal_has_its_name(recorded: RecordedProvider, document: object, status: int, code: str) -> None:
    recorded.script(answer(document, status))
    with pytest.raises(ShopifyError) as caught:
        oauth.refresh(OURS, "shprt_old")
    assert (caught.value.code, caught.value.http_status) == (code, status)
    assert len(recorded.requests) == 1


@pytest.mark.parametrize("error", ["invalid_subject_token", "invalid_request", "invalid_grant"])
def test_a_refused_session_or_code_is_not_taken_for_a_refused_refresh(recorded: RecordedProvider, error: str) -> None:
    recorded.script(answer({"error": error}, 400), answer({"error": error}, 400))
    for call in (oauth.exchange, oauth.redeem_code):
        with pytest.raises(ShopifyError) as caught:
            call(OURS, "given")
        assert caught.value.code == "grant_refused"


def test_an_answer_that_does_not_come_is_told_from_a_call_that_did_not_go(
    recorded: RecordedProvider, use: Callable[[Config], None]
) -> None:
    for turn in (silence(), reset()):
        recorded.script(turn)
        with pytest.raises(ShopifyError, match="didn't answer"):
            oauth.refresh(OURS, "shprt_old")
    use(settings_for("http://127.0.0.1:9"))
    with pytest.raises(ShopifyError, match="could not be reached"):
        oauth.refresh(OURS, "shprt_old")


@pytest.mark.parametrize(
    "odd", [{"expires_in": "soon"}, {"expires_in": -1}, {"expires_in": 10**12}, {"expires_in": True}]
)
def test_an_odd_life_is_an_untold_one(recorded: RecordedProvider, odd: dict[str, Any]) -> None:
    recorded.script(answer(PAIR | odd))
    with clock.frozen_at(NOW):
        assert oauth.refresh(OURS, "shprt_old").expires_at == NOW + timedelta(minutes=30)


def test_nothing_shows_a_token(recorded: RecordedProvider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    recorded.script(answer(PAIR), answer({"error": "invalid_grant", "error_description": "shprt_old"}, 400))
    with capture_logs() as told:
        shown = repr(oauth.refresh(OURS, "shprt_old"))
        with pytest.raises(ShopifyError) as caught:
            oauth.refresh(OURS, "shprt_old")
    shown += f"{caught.value!r}{caught.value.as_json(None)}{told}{caplog.text}"
    for secret in ("shpat_new", "shprt_new", "shprt_old", SECRET):
        assert secret not in shown


@pytest.mark.parametrize("domain", ["evil.example", "ours.myshopify.com@evil.example", "ours.myshopify.com#", ""])
def test_a_secret_goes_to_a_shop_only(recorded: RecordedProvider, domain: str) -> None:
    recorded.script(answer(PAIR))
    with pytest.raises(ValueError, match="canonical"):
        oauth.refresh(domain, "shprt_old")
    assert recorded.requests == []

"""Tokens: exchanged, refreshed once, expired, revoked; and the authorization code."""

from __future__ import annotations

import base64
import hmac
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from blossom.sandbox.shopify import signing
from blossom.sandbox.shopify.state import SCOPES
from tests.providers.shopify_stand_in.conftest import (
    EXCHANGE,
    KEY,
    ONLINE,
    OURS,
    REDIRECT,
    REFRESH,
    SECRET,
    THEIRS,
    Shopify,
)

HOUR, DAY = 3600, 86_400


def _works(shopify: Shopify, token: str, shop: str = OURS) -> bool:
    status = shopify.post(token, {"query": "{ shop { name } }"}, shop).status_code
    assert status in (200, 401)
    return status == 200


def test_a_session_token_is_exchanged_for_an_expiring_pair(shopify: Shopify) -> None:
    answer = shopify.exchange().json()
    assert answer["expires_in"] == HOUR
    assert answer["refresh_token_expires_in"] == 90 * DAY
    assert "read_customers" in SCOPES
    assert answer["scope"] == ",".join(sorted(set(SCOPES) - {"read_customers"})), "write_customers says it"
    assert _works(shopify, answer["access_token"])


def test_a_form_is_taken_like_json(shopify: Shopify) -> None:
    form = {**EXCHANGE, "subject_token": shopify.stand_in.id_token(OURS)}
    answer = shopify.session.post(f"{shopify.admin(OURS)}/oauth/access_token", data=form, timeout=10)
    assert answer.status_code == 200


def test_an_online_token_names_the_person_and_what_they_may(shopify: Shopify) -> None:
    staff = [
        {"id": 1, "first_name": "Olga", "account_owner": True},
        {"id": 2, "first_name": "Vera", "scopes": ["read_customers"]},
    ]
    stand_in = shopify.stand_in
    stand_in.open_shop("third.myshopify.com", staff=staff)
    stand_in.install("third.myshopify.com")
    subject = stand_in.id_token("third.myshopify.com", staff=2)
    answer = shopify.oauth(ONLINE | {"subject_token": subject}, "third.myshopify.com").json()
    assert answer["associated_user"]["first_name"] == "Vera"
    assert answer["associated_user_scope"] == "read_customers"
    assert answer["expires_in"] == DAY
    assert "refresh_token" not in answer
    create = 'mutation { customerCreate(input: {phone: "+306984303401"}) { customer { id } } }'
    refused = shopify.post(answer["access_token"], {"query": create}, "third.myshopify.com").json()
    assert refused["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"aud": "another-app"},
        {"dest": f"https://{THEIRS}"},
        {"iss": f"https://{THEIRS}/admin"},
        {"sub": "1"},
        {"sub": None},
    ],
    ids=str,
)
def test_a_session_token_with_a_wrong_claim_is_refused(shopify: Shopify, claims: dict[str, Any]) -> None:
    answer = shopify.exchange(subject=shopify.stand_in.id_token(OURS, claims=claims))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_subject_token"


def test_a_session_token_is_good_for_a_minute(shopify: Shopify) -> None:
    subject = shopify.stand_in.id_token(OURS)
    shopify.stand_in.advance(61)
    assert shopify.exchange(subject=subject).json()["error"] == "invalid_subject_token"


def test_a_session_token_signed_otherwise_is_refused(shopify: Shopify) -> None:
    good = shopify.stand_in.id_token(OURS)
    claims = signing.read_id_token(good, SECRET)
    assert claims is not None
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    signed = f"{header}.{good.split('.')[1]}"
    digest = hmac.digest(SECRET.encode(), signed.encode(), "sha256")
    another_way = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    unsigned = signing.id_token(SECRET, claims).rsplit(".", 1)[0] + "."
    for subject in (signing.id_token("another secret", claims), another_way, unsigned, good[:-2], "", "a.b.c", "Σ.Σ.Σ"):
        assert shopify.exchange(subject=subject).json()["error"] == "invalid_subject_token"


def test_another_shops_session_token_is_refused(shopify: Shopify) -> None:
    assert shopify.exchange(OURS, subject=shopify.stand_in.id_token(THEIRS)).status_code == 400


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"client_secret": "no"}, "invalid_client"),
        ({"client_id": "no"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"subject_token_type": "no"}, "invalid_request"),
        ({"requested_token_type": "no"}, "invalid_request"),
        ({"expiring": 0}, "invalid_request"),
    ],
)
def test_an_exchange_with_a_wrong_parameter_is_refused(shopify: Shopify, given: dict[str, Any], error: str) -> None:
    answer = shopify.exchange(**given)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_app_of_before_may_have_a_token_that_does_not_expire(shopify: Shopify) -> None:
    shopify.stand_in.configure(expiring_tokens_only=False)
    answer = shopify.exchange(expiring=0).json()
    assert set(answer) == {"access_token", "scope"}
    shopify.stand_in.advance(400 * DAY)
    assert _works(shopify, answer["access_token"])


def test_there_is_no_token_for_a_shop_that_is_unknown_or_has_not_installed(shopify: Shopify) -> None:
    assert shopify.oauth(EXCHANGE, "nobody.myshopify.com").status_code == 404
    shopify.stand_in.open_shop("third.myshopify.com")
    assert shopify.exchange("third.myshopify.com").status_code == 400


def test_an_access_token_ends_after_an_hour(shopify: Shopify) -> None:
    token = shopify.token()
    shopify.stand_in.advance(HOUR - 5)
    assert _works(shopify, token)
    shopify.stand_in.advance(10)
    assert not _works(shopify, token)


def test_a_refresh_token_is_good_once_and_gives_a_new_pair(shopify: Shopify) -> None:
    first = shopify.exchange().json()
    second = shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]}).json()
    assert second["access_token"] != first["access_token"]
    assert _works(shopify, second["access_token"])
    again = shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]})
    assert (again.status_code, again.json()["error"]) == (401, "invalid_request")
    third = shopify.oauth(REFRESH | {"refresh_token": second["refresh_token"]})
    assert third.status_code == 200


def test_with_retries_a_lost_answer_is_given_again_until_its_pair_is_used(shopify: Shopify) -> None:
    shopify.stand_in.configure(refresh_retries=True)
    first = shopify.exchange().json()
    second = shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]}).json()
    shopify.stand_in.advance(29 * DAY)
    again = shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]}).json()
    assert (again["access_token"], again["refresh_token"]) == (second["access_token"], second["refresh_token"])
    assert again["expires_in"] == HOUR
    assert shopify.oauth(REFRESH | {"refresh_token": second["refresh_token"]}).status_code == 200
    assert shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]}).status_code == 401


def test_a_refresh_token_ends_after_ninety_days(shopify: Shopify) -> None:
    token = shopify.exchange().json()["refresh_token"]
    shopify.stand_in.advance(90 * DAY)
    assert shopify.oauth(REFRESH | {"refresh_token": token}).status_code == 401


def test_a_refresh_token_is_its_shops_own(shopify: Shopify) -> None:
    token = shopify.exchange(OURS).json()["refresh_token"]
    assert shopify.oauth(REFRESH | {"refresh_token": token}, THEIRS).status_code == 401
    assert shopify.oauth(REFRESH | {"refresh_token": token}, OURS).status_code == 200


def test_a_new_exchange_takes_the_place_of_the_pair_before(shopify: Shopify) -> None:
    first = shopify.exchange().json()
    shopify.exchange()
    assert shopify.oauth(REFRESH | {"refresh_token": first["refresh_token"]}).status_code == 401


def test_an_uninstall_ends_all_tokens_of_the_shop_and_no_others(shopify: Shopify) -> None:
    ours, theirs = shopify.exchange(OURS).json(), shopify.token(THEIRS)
    shopify.stand_in.uninstall(OURS)
    assert not _works(shopify, ours["access_token"])
    assert shopify.oauth(REFRESH | {"refresh_token": ours["refresh_token"]}).status_code == 401
    assert shopify.exchange(OURS).status_code == 400
    assert _works(shopify, theirs, THEIRS)
    shopify.stand_in.install(OURS)
    assert not _works(shopify, ours["access_token"])
    assert _works(shopify, shopify.token(OURS))


def test_a_token_is_its_shops_own(shopify: Shopify) -> None:
    assert not _works(shopify, shopify.token(THEIRS), OURS)


def test_new_scopes_come_with_the_next_token_and_withdrawn_ones_go_at_once(shopify: Shopify) -> None:
    stand_in = shopify.stand_in
    stand_in.install(OURS, ["write_customers"])
    old = shopify.token()
    stand_in.install(OURS, ["read_customers", "write_customers"])
    assert "errors" in shopify.run(old, "customer_by_phone", phone="+306984303401")
    new = shopify.token()
    assert "errors" not in shopify.run(new, "customer_by_phone", phone="+306984303401")
    stand_in.install(OURS, ["write_customers"])
    assert "errors" in shopify.run(new, "customer_by_phone", phone="+306984303401")


def _authorize(shopify: Shopify, method: str, **given: str) -> Any:
    parameters = {"client_id": KEY, "scope": "read_customers", "redirect_uri": REDIRECT, "state": "nonce", **given}
    url = f"{shopify.admin(OURS)}/oauth/authorize"
    return shopify.session.request(method, url, params=parameters, allow_redirects=False, timeout=10)


def test_a_merchants_yes_leads_back_to_the_app_with_a_signed_code(shopify: Shopify) -> None:
    shopify.stand_in.uninstall(OURS)
    page = _authorize(shopify, "GET")
    assert page.status_code == 200
    assert "read_customers" in page.text
    assert shopify.stand_in.shop(OURS)["installation"] is None
    back = urlsplit(_authorize(shopify, "POST").headers["Location"])
    pairs = parse_qsl(back.query)
    given = dict(pairs)
    assert f"{back.scheme}://{back.netloc}{back.path}" == REDIRECT
    assert (given["shop"], given["state"]) == (OURS, "nonce")
    assert given["hmac"] == signing.query_hmac(pairs, SECRET)

    credentials = {"client_id": KEY, "client_secret": SECRET, "code": given["code"], "expiring": 1}
    answer = shopify.oauth(credentials).json()
    assert answer["scope"] == "read_customers"
    assert "refresh_token" in answer
    again = shopify.oauth(credentials)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_request")


def test_who_has_granted_already_is_not_asked_again(shopify: Shopify) -> None:
    assert _authorize(shopify, "GET").status_code == 302
    assert _authorize(shopify, "GET", scope="read_customers,write_products").status_code == 200


def test_a_code_is_good_for_a_minute(shopify: Shopify) -> None:
    code = dict(parse_qsl(urlsplit(_authorize(shopify, "GET").headers["Location"]).query))["code"]
    shopify.stand_in.advance(61)
    assert shopify.oauth({"client_id": KEY, "client_secret": SECRET, "code": code, "expiring": 1}).status_code == 400


def test_a_code_for_a_person_gives_an_online_token(shopify: Shopify) -> None:
    back = _authorize(shopify, "GET", **{"grant_options[]": "per-user"}).headers["Location"]
    code = dict(parse_qsl(urlsplit(back).query))["code"]
    answer = shopify.oauth({"client_id": KEY, "client_secret": SECRET, "code": code}).json()
    assert answer["associated_user"]["account_owner"] is True


@pytest.mark.parametrize("given", [{"client_id": "no"}, {"redirect_uri": "http://elsewhere.test/"}], ids=str)
def test_an_approval_for_somebody_else_is_refused(shopify: Shopify, given: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        assert _authorize(shopify, method, **given).status_code == 400

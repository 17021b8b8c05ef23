"""Session tokens: ours against ShopifyAPI's and shopifyapp's reading, and what strangers may send.

On purpose, ours takes less: shopifyapp 1.0.2 accepts tokens without an end and of another issuer, ShopifyAPI 12.7.0 any
path in `iss` and `dest` and `http://`.
It takes more than ShopifyAPI where that demands `jti`, `sid` and `sub`, which say nothing about whose token it is.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import shopify_app
from hypothesis import assume, example, given
from hypothesis import strategies as st
from shopify import session_token as shopifyapi

from blossom.shopify import session_tokens
from blossom.shopify.errors import InvalidSessionToken

API_KEY = "our-client-id"
SECRET = "a-secret-as-long-as-shopifys-own-are"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_LEFT_OUT = object()


def claims(now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    at = int(now.timestamp())
    whole = {
        "iss": "https://ours.myshopify.com/admin",
        "dest": "https://ours.myshopify.com",
        "aud": API_KEY,
        "sub": "42",
        "exp": at + 60,
        "nbf": at,
        "iat": at,
        "jti": "f8912129-1af6-4cad-9ca3-76b0f7621087",
        "sid": "aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685",
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not _LEFT_OUT}


def token(content: Any = None, secret: str = SECRET, header: Any = None) -> str:
    def part(value: Any) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = f"{part(head)}.{part(claims() if content is None else content)}"
    return f"{signed}.{session_tokens._signature(signed, secret)}"


def read(given: str, now: datetime = NOW, secrets: tuple[str, ...] = (SECRET,)) -> session_tokens.SessionToken:
    return session_tokens.verify(given, api_key=API_KEY, secrets=secrets, now=now)


def why_not(given: str, now: datetime = NOW) -> str:
    with pytest.raises(InvalidSessionToken) as refused:
        read(given, now)
    assert refused.value.status == 401
    return refused.value.why


def test_a_token_says_whose_it_is() -> None:
    found = read(token())
    assert (found.shop, found.user_id) == ("ours.myshopify.com", 42)
    assert found.session_id == claims()["sid"]
    assert found.expires_at == NOW + timedelta(seconds=60)


def test_a_token_that_a_jwt_library_made_is_read() -> None:
    assert read(jwt.encode(claims(), SECRET, algorithm="HS256")) == read(token())


def test_either_secret_proves_during_a_rotation() -> None:
    for secret in ("the-new-secret", "the-old-secret"):
        assert read(token(secret=secret), secrets=("the-new-secret", "the-old-secret", ""))
    assert why_not(token(secret="")) == "not signed by Shopify"
    with pytest.raises(InvalidSessionToken):
        read(token(secret=""), secrets=("", ""))


@pytest.mark.parametrize(
    ("seconds", "why"),
    [(0, None), (69, None), (70, "expired"), (3600, "expired"), (-10, None), (-11, "not valid yet")],
)
def test_a_token_is_of_its_minute_give_or_take_ten_seconds(seconds: int, why: str | None) -> None:
    now = NOW + timedelta(seconds=seconds)
    if why is None:
        assert read(token(), now)
    else:
        with pytest.raises(InvalidSessionToken) as refused:
            read(token(), now)
        assert (refused.value.why, refused.value.stale) == (why, True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "another-app"}, "for another app"),
        ({"aud": [API_KEY]}, "for another app"),
        ({"aud": _LEFT_OUT}, "for another app"),
        ({"dest": _LEFT_OUT}, "for no shop"),
        ({"dest": "ours.myshopify.com"}, "for no shop"),
        ({"dest": "http://ours.myshopify.com"}, "for no shop"),
        ({"dest": "https://ours.myshopify.com/"}, "for no shop"),
        ({"dest": "https://evil.example"}, "for no shop"),
        ({"dest": "https://ours.myshopify.com.evil.example"}, "for no shop"),
        ({"dest": 1}, "for no shop"),
        ({"dest": ["https://ours.myshopify.com"]}, "for no shop"),
        ({"iss": _LEFT_OUT}, "issued by somebody else"),
        ({"iss": "https://theirs.myshopify.com/admin"}, "issued by somebody else"),
        ({"iss": "https://ours.myshopify.com/admin/evil"}, "issued by somebody else"),
        ({"iss": ["https://ours.myshopify.com/admin"]}, "issued by somebody else"),
        ({"exp": _LEFT_OUT}, "without an end"),
        ({"exp": None}, "without an end"),
        ({"exp": "soon"}, "with an odd exp"),
        ({"exp": True}, "with an odd exp"),
        ({"exp": 10**30}, "with an odd exp"),
        ({"exp": float("inf")}, "with an odd exp"),
        ({"exp": float("nan")}, "with an odd exp"),
        ({"nbf": []}, "with an odd nbf"),
        ({"iat": int(NOW.timestamp()) + 60}, "not valid yet"),
    ],
)
def test_a_signed_token_that_does_not_speak_of_us_is_refused(changes: dict[str, Any], why: str) -> None:
    assert why_not(token(claims(**changes))) == why


@pytest.mark.parametrize(
    "subject", [_LEFT_OUT, None, 42, "", "0", "-1", "4²", "٤٢", "9" * 19, "9" * 5000, "gid://shopify/Customer/1"]
)
def test_who_is_no_staff_member_has_no_number(subject: Any) -> None:
    if subject == "9" * 5000:
        assert why_not(token(claims(sub=subject))) == "not a token"  # longer than a token may be
    else:
        assert read(token(claims(sub=subject))).user_id is None


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS512"}, {"alg": "RS256"}, {}, [], b"{", b"\xff"])
def test_one_algorithm_counts(header: Any) -> None:
    assert why_not(token(header=header)) in ("of another kind", "not a token")


def test_a_token_without_a_signature_is_none() -> None:
    signed = token().rpartition(".")[0]
    for odd in (signed, f"{signed}.", f"{signed}..", f".{signed}", "..", "", f"{token()}=", f"{token()}."):
        assert why_not(odd)


def test_each_altered_character_is_noticed() -> None:
    whole = token()
    for place in range(len(whole)):
        other = "A" if whole[place] != "A" else "B"
        assert why_not(whole[:place] + other + whole[place + 1 :])


def test_a_strangers_json_is_never_parsed() -> None:
    """Brackets in brackets end Python's reader with a RecursionError."""
    assert why_not(token(secret="a-strangers-guess", header=b"[" * 1500)) == "not signed by Shopify"
    assert why_not(token(header=b"[" * 1500)) == "not a token"


@given(st.text(max_size=200) | st.sampled_from(["é" * 100, "a.b.é", "." * 10, "a" * 5_000_000, "\ud800.."]))
@example("..")
def test_nothing_that_strangers_send_raises_anything_else(given: str) -> None:
    assert why_not(given)


ALTERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "aud": st.sampled_from([API_KEY, "other", ""]),
        "dest": st.sampled_from(["https://ours.myshopify.com", "https://theirs.myshopify.com", "https://evil.example"]),
        "iss": st.sampled_from(["https://ours.myshopify.com/admin", "https://theirs.myshopify.com/admin"]),
        "exp": st.integers(-100, 100),
        "nbf": st.integers(-100, 100),
        "iat": st.integers(-100, 100),
    },
)


@given(ALTERATIONS, st.booleans())
def test_tokens_are_judged_as_by_shopifyapi(changes: dict[str, Any], signed: bool) -> None:
    now = datetime.now(UTC)
    for name in ("exp", "nbf", "iat"):
        if name in changes:
            assume(min(abs(abs(changes[name]) - edge) for edge in (0, 10)) > 3)  # no test of whose clock ticks first
            changes[name] += int(now.timestamp())
    given = token(claims(now, **changes), SECRET if signed else "another secret, just as long as it")
    try:
        theirs = bool(shopifyapi.decode_from_header(f"Bearer {given}", API_KEY, SECRET))
    except (shopifyapi.SessionTokenError, jwt.PyJWTError):
        theirs = False
    try:
        ours = bool(read(given, now))
    except InvalidSessionToken:
        ours = False
    assert ours is theirs


@pytest.mark.parametrize(
    ("changes", "judged_alike"),
    [
        ({}, True),
        ({"aud": "another"}, True),
        ({"exp": int(time.time()) - 60}, True),
        ({"exp": _LEFT_OUT}, False),
        ({"iss": "https://theirs.myshopify.com/admin"}, False),
    ],
)
def test_tokens_that_shopifys_library_takes_though_it_should_not(changes: dict[str, Any], judged_alike: bool) -> None:
    now = datetime.now(UTC)
    given = token(claims(now, **changes))
    request = {"method": "GET", "headers": {"Authorization": f"Bearer {given}"}, "url": "https://app.test/", "body": ""}
    config = {"client_id": API_KEY, "client_secret": SECRET}
    theirs = bool(shopify_app.verify_app_home_req(request, config, "/bounce").ok)
    try:
        ours = bool(read(given, now))
    except InvalidSessionToken:
        ours = False
    assert (ours is theirs) is judged_alike
    assert judged_alike or theirs

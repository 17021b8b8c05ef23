"""Signatures: vectors of the documentation, and ours against Shopify's own libraries on all kinds of input.

Where ours differs from a library it is on purpose, and each difference stands in a test of its own:
- shopifyapp 1.0.2 raises TypeError for a non-ASCII webhook HMAC or proxy signature (an unauthenticated 500).
- It takes a proxied request without a shop, for a shop that is none, with two timestamps (it reads the first), with
  digits that only Python's int() reads, and with Shopify's own fields named inside other values.
- It sorts a proxy's parameters by name; Shopify's documentation sorts the whole `name=value`. They differ where a name
  continues another with a character before `=` (digits, `-`, `.`); our own links use `[a-z_]` only.
- ShopifyAPI 12.7.0 signs `signature` along, takes a repeated field's last value, and strips more than one `[]`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
import shopify
import shopify_app
from hypothesis import assume, example, given
from hypothesis import strategies as st

from blossom.shopify import signature
from blossom.shopify.signature import Pairs

SECRET = "hush"
NOW = datetime.fromtimestamp(1317327555, UTC)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
own_name = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(
    lambda name: name not in ("shop", "timestamp", "signature", "path_prefix", "logged_in_customer_id", "hmac")
)
odd = st.sampled_from(["", "Ω" * 44, "a" * 1_000_000, "=", "\x00", "é", " ", "null", "ab" * 32])


def webhook_hmac(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def hex_hmac(message: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


# Webhooks


def theirs_of_webhook(body: str, given: str) -> bool:
    request = {"method": "POST", "headers": {"X-Shopify-Hmac-Sha256": given}, "url": "/", "body": body}
    config = {"client_id": "id", "client_secret": SECRET}
    return bool(shopify_app.verify_webhook_req(request, config).ok)


@given(body=text, change=st.sampled_from(["none", "body", "case", "pad", "space", "twice"]))
def test_webhooks_are_judged_as_by_shopifys_library(body: str, change: str) -> None:
    given = webhook_hmac(body.encode())
    given = {
        "case": given.swapcase(),
        "pad": given.rstrip("="),
        "space": f" {given}",
        "twice": f"{given},{given}",
    }.get(change, given)
    body = f"{body} " if change == "body" else body
    judged = signature.webhook_is_authentic(body.encode(), given, [SECRET])
    assert judged is (change == "none")
    assert judged is theirs_of_webhook(body, given)


@given(body=st.binary(max_size=200), given=st.none() | st.text(max_size=60) | odd)
@example(body=b"", given="é" * 44)
def test_no_header_of_a_webhook_raises_or_is_taken(body: bytes, given: str | None) -> None:
    assume(given != webhook_hmac(body))
    assert not signature.webhook_is_authentic(body, given, [SECRET])


def test_shopifys_library_breaks_on_a_webhook_hmac_that_is_not_ascii() -> None:
    with pytest.raises(TypeError):
        theirs_of_webhook("{}", "é" * 44)


def test_a_webhook_of_any_bytes_and_size_can_be_proven() -> None:
    for body in (b"", b"\xff\xfe", b"x" * 5_000_000):
        assert signature.webhook_is_authentic(body, webhook_hmac(body), [SECRET])


def test_while_secrets_are_rotated_each_of_them_proves() -> None:
    for secret in ("new", "old"):
        assert signature.webhook_is_authentic(b"{}", webhook_hmac(b"{}", secret), ["new", "old"])
    assert not signature.webhook_is_authentic(b"{}", webhook_hmac(b"{}", "older"), ["new", "old"])


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_is_authentic(secrets: list[str]) -> None:
    assert not signature.webhook_is_authentic(b"{}", webhook_hmac(b"{}", ""), secrets)
    assert not signature.query_is_authentic([("a", "1"), ("hmac", hex_hmac("a=1", ""))], secrets)
    assert not signature.proxy_is_authentic(proxied(secret=""), secrets, now=NOW)


# The app proxy

DOCUMENTED = [
    ("extra", "1"),
    ("extra", "2"),
    ("shop", "shop-name.myshopify.com"),
    ("logged_in_customer_id", "1"),
    ("path_prefix", "/apps/awesome_reviews"),
    ("timestamp", "1317327555"),
]


def proxied(*more: tuple[str, str], secret: str = SECRET, without: str = "", **own: str) -> list[tuple[str, str]]:
    """A request as the proxy signs it, with these values of Shopify's own fields."""
    fields = {"shop": "ours.myshopify.com", "timestamp": str(int(NOW.timestamp())), "path_prefix": "/apps/sms"} | own
    pairs = [*more, *((name, value) for name, value in fields.items() if name != without)]
    return [*pairs, ("signature", hex_hmac(proxy_message(pairs), secret))]


def proxy_message(pairs: Pairs) -> str:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return "".join(sorted(f"{name}={','.join(repeated)}" for name, repeated in values.items()))


def theirs_of_proxy(pairs: Pairs) -> bool:
    request = {"method": "GET", "headers": {}, "url": f"https://app.test/?{urlencode(list(pairs))}", "body": ""}
    config = {"client_id": "id", "client_secret": SECRET}
    return bool(shopify_app.verify_app_proxy_req(request, config).ok)


def test_the_documentations_proxy_vector() -> None:
    given = "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb"
    assert given.startswith("4c68c862")
    assert signature.proxy_is_authentic([*DOCUMENTED, ("signature", given)], [SECRET], now=NOW)
    assert signature.proxy_is_authentic(
        [("signature", given), *DOCUMENTED[::-1][:-2], *DOCUMENTED[:2]], [SECRET], now=NOW
    )
    for place in range(len(DOCUMENTED)):
        altered = list(DOCUMENTED)
        altered[place] = (altered[place][0], altered[place][1] + "0")
        assert not signature.proxy_is_authentic([*altered, ("signature", given)], [SECRET], now=NOW)
        assert not signature.proxy_is_authentic(
            [*DOCUMENTED[:place], *DOCUMENTED[place + 1 :], ("signature", given)], [SECRET], now=NOW
        )


@given(
    more=st.lists(st.tuples(own_name, text), max_size=4),
    change=st.sampled_from(["none", "value", "name", "dropped", "added", "signature", "reordered"]),
    seed=st.randoms(use_true_random=False),
)
def test_proxied_requests_are_judged_as_by_shopifys_library(
    more: list[tuple[str, str]], change: str, seed: object
) -> None:
    pairs = proxied(*more, timestamp=str(int(time.time())), logged_in_customer_id="")
    if change == "value":
        pairs[0] = (pairs[0][0], pairs[0][1] + "1")
    elif change == "name":
        pairs[0] = (pairs[0][0] + "x", pairs[0][1])
    elif change == "dropped":
        del pairs[0]
    elif change == "added":
        pairs.insert(0, ("z", "1"))
    elif change == "signature":
        pairs[-1] = ("signature", pairs[-1][1][::-1])
    elif change == "reordered":
        pairs.sort(key=lambda pair: pair[0], reverse=True)  # repeated ones keep their order, which is signed
    assume(all(f"{own}=" not in f"{name}={value}" for name, value in more for own in ("shop", "timestamp")))
    judged = signature.proxy_is_authentic(pairs, [SECRET], now=datetime.now(UTC))
    assert judged is theirs_of_proxy(pairs)
    assert judged or change not in ("none", "reordered")


@given(pairs=st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12) | odd), max_size=6))
@example(pairs=[("signature", "é" * 64), ("shop", "ours.myshopify.com"), ("timestamp", "1317327555")])
@example(pairs=[("shop", "\ud800"), ("timestamp", "1317327555"), ("signature", "0" * 64), ("hmac", "0" * 64)])
@example(pairs=[("hmac", "0" * 64), ("\ud800", "\udfff")])
@example(pairs=[("hmac", "é" * 64)])
@example(pairs=[*DOCUMENTED, ("signature", "é" * 64)])
def test_no_query_raises_or_is_taken(pairs: list[tuple[str, str]]) -> None:
    assert not signature.proxy_is_authentic(pairs, [SECRET], now=NOW)
    assert not signature.query_is_authentic(pairs, [SECRET])


@pytest.mark.parametrize(("seconds", "authentic"), [(0, True), (90, True), (91, False), (-90, True), (-91, False)])
def test_a_proxied_request_is_of_this_moment(seconds: int, authentic: bool) -> None:
    assert signature.proxy_is_authentic(proxied(), [SECRET], now=NOW + timedelta(seconds=seconds)) is authentic


@pytest.mark.parametrize("name", ["shop", "timestamp", "path_prefix", "signature"])
def test_a_field_of_the_proxys_own_that_comes_twice_is_refused(name: str) -> None:
    pairs = [pair for pair in proxied() if pair[0] != "signature"]
    twice = [*pairs, *(pair for pair in pairs if pair[0] == name)]
    signed = ("signature", hex_hmac(proxy_message(twice)))
    again = [signed] if name == "signature" else []
    assert not signature.proxy_is_authentic([*twice, signed, *again], [SECRET], now=NOW)


@pytest.mark.parametrize(
    "pairs",
    [
        proxied(without="shop"),
        proxied(without="timestamp"),
        proxied(shop="evil.example"),
        proxied(shop=""),
        proxied(timestamp="soon"),
        proxied(timestamp=""),
        proxied(timestamp=f" {int(NOW.timestamp())}"),
        proxied(timestamp="1_317_327_555"),
        proxied(timestamp="١٣١٧٣٢٧٥٥٥"),
        proxied(timestamp="9" * 5000),
        proxied(("a", "x" * 40_000)),
        proxied(*[(f"p{number}", "") for number in range(300)]),
    ],
)
def test_a_signed_request_that_shopify_would_not_make_is_refused(pairs: list[tuple[str, str]]) -> None:
    assert not signature.proxy_is_authentic(pairs, [SECRET], now=NOW)


def test_a_signed_text_cannot_be_cut_into_another_shop() -> None:
    """A visitor of one shop chooses a parameter such that the signed text, cut elsewhere, speaks of another shop."""
    theirs = proxied(("rr", "1shop=victim.myshopify.comsz="), timestamp=str(int(time.time())))
    values = dict(theirs)
    forged = [
        ("rr", "1"),
        ("shop", "victim.myshopify.com"),
        ("sz", f"shop={values['shop']}"),
        ("timestamp", values["timestamp"]),
        ("path_prefix", values["path_prefix"]),
        ("signature", values["signature"]),
    ]
    now = datetime.now(UTC)
    assert proxy_message(forged[:-1]) == proxy_message(theirs[:-1])
    assert theirs_of_proxy(forged), "Shopify's library takes it for the victim's"
    assert not signature.proxy_is_authentic(forged, [SECRET], now=now)
    assert not signature.proxy_is_authentic(theirs, [SECRET], now=now), "nor is the text it was cut from taken"


@given(st.data())
def test_no_cut_of_a_signed_text_gives_another_shop(data: st.DataObject) -> None:
    fragments = st.lists(
        st.sampled_from(["shop=victim.myshopify.com", "shop", "=", "s", "hop=", "a", "z", "timestamp=1317327555", "1"]),
        max_size=5,
    ).map("".join)
    signed = proxied((data.draw(own_name), data.draw(fragments)), (data.draw(own_name), data.draw(fragments)))
    message = proxy_message(signed[:-1])
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(message) - 1)), max_size=5)))
    parts = [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    recut = [(name, value) for name, _, value in (part.partition("=") for part in parts)]
    if signature.proxy_is_authentic([*recut, signed[-1]], [SECRET], now=NOW):
        assert dict(recut)["shop"] == "ours.myshopify.com"


def test_parameters_are_sorted_as_the_documentation_sorts_them() -> None:
    pairs = [("a", "1"), ("a1", "2"), *proxied()[:-1]]
    assert proxy_message(pairs).startswith("a1=2a=1")
    assert signature.proxy_is_authentic([*pairs, ("signature", hex_hmac(proxy_message(pairs)))], [SECRET], now=NOW)


def test_what_shopifys_library_takes_and_we_do_not() -> None:
    stamp = str(int(time.time()))
    now = datetime.now(UTC)
    for pairs in (
        proxied(timestamp=stamp, without="shop"),
        proxied(timestamp=stamp, shop="evil.example"),
        proxied(timestamp=f" {stamp} "),
        proxied(("timestamp", stamp), timestamp="1"),
    ):
        assert theirs_of_proxy(pairs)
        assert not signature.proxy_is_authentic(pairs, [SECRET], now=now)
    with pytest.raises(TypeError):
        theirs_of_proxy([*proxied(timestamp=stamp)[:-1], ("signature", "é")])


# Queries of installs and of the app's pages

INSTALL = {
    "code": "0907a61c0c8d55e99db179b68161bc00",
    "host": "YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvb3Vycw",
    "shop": "some-shop.myshopify.com",
    "state": "0.6784241404160823",
    "timestamp": "1337178173",
}


def theirs_of_query(params: dict[str, object]) -> bool:
    shopify.Session.secret = SECRET
    return bool(shopify.Session.validate_hmac(params))


def test_an_install_is_signed_by_its_sorted_fields() -> None:
    message = "&".join(f"{name}={value}" for name, value in INSTALL.items())
    pairs = [("hmac", hex_hmac(message)), *reversed(INSTALL.items()), ("signature", "left out")]
    assert signature.query_is_authentic(pairs, ["other", SECRET])
    assert not signature.query_is_authentic([*pairs, ("added", "1")], [SECRET])
    assert not signature.query_is_authentic([*pairs, ("shop", "evil.myshopify.com")], [SECRET])
    assert not signature.query_is_authentic(pairs[1:], [SECRET])
    assert not signature.query_is_authentic([pairs[0], *pairs], [SECRET])


@given(
    params=st.dictionaries(
        text.filter(lambda name: name not in ("hmac", "signature") and "[]" not in name), text, max_size=5
    ),
    ids=st.lists(text, max_size=3),
    change=st.sampled_from(["none", "value", "name", "dropped", "hmac", "upper"]),
)
@example(params={"a": "1&b=2"}, ids=[], change="none")
@example(params={"a&b": "%26=", "c=d": "%"}, ids=["1", "2"], change="none")
def test_queries_are_judged_as_by_shopifyapi(params: dict[str, str], ids: list[str], change: str) -> None:
    signed: dict[str, object] = {**params, **({"ids[]": ids} if ids else {})}
    shopify.Session.secret = SECRET
    given = str(shopify.Session.calculate_hmac(signed))
    pairs = [*params.items(), *(("ids[]", each) for each in ids)]
    if change == "value" and params:
        pairs[0] = (pairs[0][0], pairs[0][1] + "1")
    elif change == "name" and params:
        pairs[0] = (pairs[0][0] + "~", pairs[0][1])
        assume(pairs[0][0] not in params)
    elif change == "dropped" and params:
        del pairs[0]
    elif change == "hmac":
        given = given[::-1]
    elif change == "upper":
        given = given.upper()
    remade: dict[str, object] = {name: value for name, value in pairs if name != "ids[]"}
    if ids:
        remade["ids[]"] = ids
    judged = signature.query_is_authentic([*pairs, ("hmac", given)], [SECRET])
    assert judged is theirs_of_query({**remade, "hmac": given})
    assert judged or change != "none"


def test_a_value_cannot_pose_as_two_fields() -> None:
    given = hex_hmac("a=1&b=2")
    assert signature.query_is_authentic([("a", "1"), ("b", "2"), ("hmac", given)], [SECRET])
    assert not signature.query_is_authentic([("a", "1&b=2"), ("hmac", given)], [SECRET])


def test_a_list_is_signed_as_shopify_writes_it() -> None:
    given = hex_hmac(f"ids={json.dumps(['1', '2'])}&shop=ours.myshopify.com")
    pairs = [("ids[]", "1"), ("shop", "ours.myshopify.com"), ("ids[]", "2"), ("hmac", given)]
    assert signature.query_is_authentic(pairs, [SECRET])
    assert not signature.query_is_authentic([pairs[2], *pairs[:2], pairs[3]], [SECRET])


def test_what_shopifyapi_takes_and_we_do_not() -> None:
    with_signature = {"shop": "ours.myshopify.com", "signature": "1"}
    shopify.Session.secret = SECRET
    given = str(shopify.Session.calculate_hmac(with_signature))
    assert theirs_of_query({**with_signature, "hmac": given})
    assert not signature.query_is_authentic([*with_signature.items(), ("hmac", given)], [SECRET])


def test_a_field_that_comes_twice_is_refused_even_if_it_was_signed_so() -> None:
    pairs = [("a", "1"), ("a", "2"), ("hmac", hex_hmac("a=1&a=2"))]
    assert not signature.query_is_authentic(pairs, [SECRET])


@pytest.mark.parametrize(
    ("pairs", "taken"),
    [
        ([(f"n{number:03d}", "") for number in range(199)], True),  # 200 with the hmac
        ([(f"n{number:03d}", "") for number in range(200)], False),
        ([("note", "x" * 32_000)], True),
        ([("note", "x" * 33_000)], False),
    ],
)
def test_a_query_beyond_what_shopify_sends_is_refused_even_if_it_was_signed_so(pairs: Pairs, taken: bool) -> None:
    proof = hex_hmac("&".join(sorted(f"{name}={value}" for name, value in pairs)))
    assert signature.query_is_authentic([*pairs, ("hmac", proof)], [SECRET]) is taken

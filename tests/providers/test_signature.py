"""Proofs of webhooks: what counts, what doesn't, and that nothing a stranger sends raises."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from werkzeug.datastructures import Headers

from blossom.mitto import signature

BODY = b'{"messageId": "01KC", "deliveryStatus": "Delivered"}'
HEX = hmac.new(b"s1", BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("given", "matches"),
    [
        (HEX, True),
        (HEX.upper(), True),
        (f"sha256={HEX}", True),
        (f"SHA256={HEX}", True),
        (f"  {HEX} ", True),
        (f"sha1={HEX}", False),
        (HEX[:-1], False),
        (HEX[:-1] + ("0" if HEX[-1] != "0" else "1"), False),
        (HEX + "00", False),
        ("", False),
        (None, False),
        ("sha256=", False),
        ("Γεια σου", False),
        ("sha256=" + "é" * 64, False),
        ("\ud800", False),
        ("\0" * 64, False),
        ("a" * 1_000_000, False),
    ],
)
def test_a_signature_is_hex_of_the_raw_body_with_or_without_prefix(given: str | None, matches: bool) -> None:
    assert signature.signature_matches(BODY, given, ["s1"]) is matches


def test_another_body_or_secret_does_not_match() -> None:
    assert not signature.signature_matches(BODY + b" ", HEX, ["s1"])
    assert not signature.signature_matches(BODY, HEX, ["s2"])


def test_during_a_rotation_the_old_and_the_new_secret_both_count() -> None:
    for secret in ("old", "new"):
        assert signature.signature_matches(BODY, signature.sign(BODY, secret), ["new", "old"])
        assert signature.token_matches(secret, ["new", "old"])


def test_an_empty_secret_never_proves_anything() -> None:
    assert not signature.signature_matches(BODY, signature.sign(BODY, ""), [""])
    assert not signature.token_matches("", [""])


@pytest.mark.parametrize(
    ("token", "matches"),
    [
        ("t1", True),
        ("t2", False),
        ("T1", False),
        ("t1 ", False),
        ("", False),
        (None, False),
        ("τ1", False),
        ("\udcff", False),
    ],
)
def test_a_token_is_compared_exactly(token: str | None, matches: bool) -> None:
    assert signature.token_matches(token, ["t1"]) is matches


@pytest.mark.parametrize(
    ("headers", "url_token", "authentic"),
    [
        ({"x-mitto-signature": HEX}, None, True),
        ({"X-Hub-Signature-256": f"sha256={HEX}"}, None, True),
        ({"X-Mitto-Signature": "wrong", "X-Hub-Signature-256": HEX}, None, True),
        ({"x-blossom-webhook-token": "t1"}, None, True),
        ({}, "t1", True),
        ({"X-Mitto-Signature": "wrong"}, None, False),
        ({"X-Mitto-Signature": "t1"}, None, False),
        ({"X-Blossom-Webhook-Token": HEX}, HEX, False),
        ({}, None, False),
    ],
)
def test_either_proof_is_enough(headers: dict[str, str], url_token: str | None, authentic: bool) -> None:
    given = Headers(headers)
    assert signature.is_authentic(BODY, given, url_token, hmac_secrets=["s1"], tokens=["t1"]) is authentic


def test_without_any_secret_configured_nothing_is_authentic() -> None:
    given = Headers({"X-Mitto-Signature": signature.sign(BODY, ""), "X-Blossom-Webhook-Token": ""})
    assert not signature.is_authentic(BODY, given, "", hmac_secrets=[], tokens=[])
    assert not signature.is_authentic(BODY, given, "", hmac_secrets=[""], tokens=[""])

"""Whether a webhook is Mitto's: an HMAC of the raw body, or a token that we gave when we registered it.

Mitto documents no signature of its own (facts A5), so either proof counts. Several secrets may be given, so that
one can be exchanged without losing receipts. Nothing here raises on what a stranger sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Protocol

SIGNATURE_HEADERS = ("X-Mitto-Signature", "X-Hub-Signature-256")
TOKEN_HEADER = "X-Blossom-Webhook-Token"  # noqa: S105  the header's name, not a token
_PREFIX = "sha256="


class HeaderLookup(Protocol):
    """What a request's headers have to offer; names are looked up without case, as Flask's are."""

    def get(self, name: str, /) -> str | None:
        """The header's value, None if there is none."""


def sign(body: bytes, secret: str) -> str:
    """The lower-case hex HMAC-SHA256 of `body`, as a signature header carries it (without prefix)."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signature_matches(body: bytes, signature: str | None, secrets: Iterable[str]) -> bool:
    """Whether `signature` (hex, any case, with or without `sha256=`) is that of `body` under one of `secrets`."""
    if not signature:
        return False
    given = signature.strip().lower().removeprefix(_PREFIX)
    # Each secret is tried, also after a match, so that the time tells nothing about which one it was.
    matches = [_same(given, sign(body, secret)) for secret in secrets if secret]
    return any(matches)


def token_matches(token: str | None, tokens: Iterable[str]) -> bool:
    """Whether `token` is one of `tokens`; empty ones never match."""
    if not token:
        return False
    matches = [_same(token, known) for known in tokens if known]
    return any(matches)


def is_authentic(
    body: bytes,
    headers: HeaderLookup,
    url_token: str | None,
    *,
    hmac_secrets: Iterable[str],
    tokens: Iterable[str],
) -> bool:
    """Whether the webhook carries one valid proof.

    `body` is the raw one; `url_token` is what stood in the URL, if anything. With no secret and no token
    configured nothing is authentic.
    """
    secrets, known_tokens = tuple(hmac_secrets), tuple(tokens)
    if any(signature_matches(body, headers.get(name), secrets) for name in SIGNATURE_HEADERS):
        return True
    return token_matches(headers.get(TOKEN_HEADER), known_tokens) or token_matches(url_token, known_tokens)


def _same(given: str, expected: str) -> bool:
    """Compared in constant time, as digests so that lengths don't show; any characters are allowed."""
    return hmac.compare_digest(_digest(given), _digest(expected))


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()

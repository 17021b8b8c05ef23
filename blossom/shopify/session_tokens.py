"""Session tokens: who looks at a page in the admin, for about a minute, signed by Shopify (a JWT, HS256).

The signature is checked before anything of the token is parsed, and by one algorithm whatever the header names: a
stranger's JSON is never read. Times are compared with the caller's `now`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from blossom.shopify import domains
from blossom.shopify.errors import InvalidSessionToken

LEEWAY = timedelta(seconds=10)
"""How far Shopify's clock and ours may differ: App Bridge often gives tokens that begin a moment from now."""

_MAX_LENGTH = 4_096  # characters; real ones have about 500
_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SessionToken:
    """What a valid token says. `user_id` is the staff member's id at Shopify, None where nobody is named."""

    shop: str
    user_id: int | None
    session_id: str | None
    expires_at: datetime


def verify(token: str, *, api_key: str, secrets: Sequence[str], now: datetime) -> SessionToken:
    """The token's content. Raises `InvalidSessionToken`, also for whatever else a stranger may send."""
    claims = _claims(token, secrets)
    shop = _shop(claims)
    if claims.get("aud") != api_key:
        raise InvalidSessionToken("for another app")
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise InvalidSessionToken("without an end")
    if expires_at + LEEWAY <= now:
        raise InvalidSessionToken("expired", stale=True)
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at - LEEWAY > now:
            raise InvalidSessionToken("not valid yet", stale=True)
    return SessionToken(shop, _user_id(claims), _text(claims, "sid"), expires_at)


def _claims(token: str, secrets: Sequence[str]) -> Mapping[str, Any]:
    if len(token) > _MAX_LENGTH or not token.isascii() or token.count(".") != 2:
        raise InvalidSessionToken("not a token")
    signed, _, given = token.rpartition(".")
    # Compared as text: of the ways to write one signature in base64, one counts.
    matches = [hmac.compare_digest(given, _signature(signed, secret)) for secret in secrets if secret]
    if not any(matches):
        raise InvalidSessionToken("not signed by Shopify")
    header, _, payload = signed.partition(".")
    if _parsed(header).get("alg") != "HS256":
        raise InvalidSessionToken("of another kind")
    return _parsed(payload)


def _parsed(part: str) -> Mapping[str, Any]:
    try:
        value = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidSessionToken("not a token") from None
    if not isinstance(value, dict):
        raise InvalidSessionToken("not a token")
    return value


def _shop(claims: Mapping[str, Any]) -> str:
    """The shop that `dest` names; `iss` must be that shop's admin."""
    dest, issuer = claims.get("dest"), claims.get("iss")
    if not isinstance(dest, str) or not dest.startswith("https://"):
        raise InvalidSessionToken("for no shop")
    shop = domains.shop_domain(dest.removeprefix("https://"))
    if shop is None:
        raise InvalidSessionToken("for no shop")
    if issuer not in (f"{dest}/admin", dest):
        raise InvalidSessionToken("issued by somebody else")
    return shop


def _time(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSessionToken(f"with an odd {name}")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        raise InvalidSessionToken(f"with an odd {name}") from None


def _user_id(claims: Mapping[str, Any]) -> int | None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not (subject.isascii() and subject.isdigit()) or len(subject) > 19:
        return None
    number = int(subject)
    return number if 0 < number <= _MAX_NUMBER else None


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and value else None


def _signature(signed: str, secret: str) -> str:
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")

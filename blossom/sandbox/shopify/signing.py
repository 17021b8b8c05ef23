"""How Shopify proves itself to the app's pages, webhooks and proxy. Source: facts/shopify.md, “HMAC” and “Auth”."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterable
from typing import Any

import orjson


def query_hmac(pairs: Iterable[tuple[str, str]], secret: str) -> str:
    """`hmac` of the query of an install or of an embedded document: hex, over the sorted pairs without `hmac`."""
    kept = sorted((name, value) for name, value in pairs if name not in ("hmac", "signature"))
    return _hex("&".join(f"{name}={value}" for name, value in kept), secret)


def proxy_signature(pairs: Iterable[tuple[str, str]], secret: str) -> str:
    """`signature` of a request through the app proxy: repeated values joined by commas, pairs by nothing."""
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        if name != "signature":
            joined.setdefault(name, []).append(value)
    return _hex("".join(sorted(f"{name}={','.join(values)}" for name, values in joined.items())), secret)


def webhook_hmac(body: bytes, secret: str) -> str:
    """`X-Shopify-Hmac-Sha256`: base64, over the raw body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def id_token(secret: str, claims: dict[str, Any]) -> str:
    """A JWT of the claims that are not None, HS256."""
    header = _segment({"alg": "HS256", "typ": "JWT"})
    signed = f"{header}.{_segment({name: value for name, value in claims.items() if value is not None})}"
    return f"{signed}.{_unpadded(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def read_id_token(token: str, secret: str) -> dict[str, Any] | None:
    """The claims of a JWT that was signed with `secret` by HS256, else None. Times and names are for the caller."""
    try:
        header, payload, signature = token.encode("ascii").split(b".")
        expected = _unpadded(hmac.digest(secret.encode(), header + b"." + payload, "sha256")).encode()
        if not hmac.compare_digest(expected, signature) or orjson.loads(_bytes(header)).get("alg") != "HS256":
            return None
        claims = orjson.loads(_bytes(payload))
    except (ValueError, AttributeError):
        return None
    return claims if isinstance(claims, dict) else None


def random_id() -> str:
    """For `jti` and `sid`."""
    return str(uuid.uuid4())


def _hex(message: str, secret: str) -> str:
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def _segment(document: dict[str, Any]) -> str:
    return _unpadded(orjson.dumps(document))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))

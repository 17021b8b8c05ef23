"""Whether something was signed by Shopify: webhooks, queries of installs and app pages, and the app proxy.

Each takes all secrets that are valid at the moment (two during a rotation) and compares in constant time with each.
What strangers send ends as False, never as an exception: wrong characters, too much of it, fields twice.
Sources: facts on Shopify, "HMAC"; where the known libraries differ stands in tests/shopify/test_signature.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from blossom.shopify import domains

Pairs = Sequence[tuple[str, str]]
"""Names and values of a query in their order, decoded, repeated ones repeated."""

PROXY_CLOCK = timedelta(seconds=90)
"""How far the timestamp of a proxied request may be from now, either way."""

_MAX_PAIRS = 200
_MAX_QUERY = 32_768  # characters of names and values; Shopify's own servers take less
_HEX_LENGTH = 64
_BASE64_LENGTH = 44
_PROXY_OWN = ("shop", "timestamp", "path_prefix", "logged_in_customer_id")


def webhook_is_authentic(body: bytes, given: str | None, secrets: Sequence[str]) -> bool:
    """Whether `given` (the header X-Shopify-Hmac-Sha256: base64, canonical) is the HMAC of the raw `body`."""
    if given is None or len(given) != _BASE64_LENGTH or not given.isascii():
        return False
    return _any_matches(given, [base64.b64encode(_digest(body, secret)).decode() for secret in secrets if secret])


def query_is_authentic(pairs: Pairs, secrets: Sequence[str]) -> bool:
    """Whether `hmac` among `pairs` is that of the others (`signature` left out), as on installs and app pages.

    `name=value` sorted and joined by `&`, with `%`, `&` and `=` escaped so that no value can pose as two. A list
    (`ids[]=1&ids[]=2`) is signed as `ids=["1", "2"]`; any other name may stand there once only.
    It says nothing about when: an install proves its age by its `state`, a page by its session token.
    """
    if not _is_bounded(pairs):
        return False
    given = [value for name, value in pairs if name == "hmac"]
    signed = [(name, value) for name, value in pairs if name not in ("hmac", "signature")]
    plain = [name for name, _ in signed if not name.endswith("[]")]
    if len(given) != 1 or not _is_hex(given[0]) or len(plain) != len(set(plain)):
        return False
    message = "&".join(sorted(_escaped(name, value) for name, value in _with_lists(signed)))
    return _any_matches(given[0], _hexes(message, secrets))


def proxy_is_authentic(pairs: Pairs, secrets: Sequence[str], *, now: datetime) -> bool:
    """Whether `signature` among `pairs` is that of the others, of this moment (90 s), and of one well-formed shop.

    Repeated values are joined by `,`, the `name=value` sorted and joined by nothing. So a signed text can be cut into
    other pairs than it was made of: a request whose text names one of Shopify's own fields anywhere but as that field
    (`shop=` within another value, say) is refused, and no cut gives another shop.
    """
    if not _is_bounded(pairs):
        return False
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    given = values.pop("signature", [])
    own = {name: values[name] for name in _PROXY_OWN if name in values}
    if len(given) != 1 or not _is_hex(given[0]) or any(len(repeated) != 1 for repeated in own.values()):
        return False
    if domains.shop_domain(own.get("shop", [""])[0]) is None or not _is_of_now(own.get("timestamp", [""])[0], now):
        return False
    message = "".join(sorted(f"{name}={','.join(repeated)}" for name, repeated in values.items()))
    if any(message.count(f"{name}=") != (name in own) for name in _PROXY_OWN):
        return False
    return _any_matches(given[0], _hexes(message, secrets))


def _is_bounded(pairs: Pairs) -> bool:
    return len(pairs) <= _MAX_PAIRS and sum(len(name) + len(value) for name, value in pairs) <= _MAX_QUERY


def _is_hex(given: str) -> bool:
    return len(given) == _HEX_LENGTH and given.isascii()


def _is_of_now(timestamp: str, now: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return False
    return abs(now.timestamp() - int(timestamp)) <= PROXY_CLOCK.total_seconds()


def _with_lists(pairs: Pairs) -> list[tuple[str, str]]:
    """`ids[]` once, its values as Shopify writes a list: JSON with a space after each comma."""
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.endswith("[]"):
            lists.setdefault(name.removesuffix("[]"), []).append(value)
    return [(name, value) for name, value in pairs if not name.endswith("[]")] + [
        (name, json.dumps(listed)) for name, listed in lists.items()
    ]


def _escaped(name: str, value: str) -> str:
    name = name.replace("%", "%25").replace("&", "%26").replace("=", "%3D")
    return f"{name}={value.replace('%', '%25').replace('&', '%26')}"


def _hexes(message: str, secrets: Sequence[str]) -> list[str]:
    # A lone surrogate can't come out of a decoded query, but it must not raise either.
    return [_digest(message.encode("utf-8", "surrogatepass"), secret).hex() for secret in secrets if secret]


def _digest(message: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), message, hashlib.sha256).digest()


def _any_matches(given: str, expected: Sequence[str]) -> bool:
    """Each is compared, also after a match, so that the time tells nothing about which one it was. Both are ASCII."""
    matches = [hmac.compare_digest(given, one) for one in expected]
    return any(matches)

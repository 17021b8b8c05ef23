"""Addresses in the admin's frame, and scopes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote, urlencode, urlsplit

from blossom.shopify import access_scopes

BOUNCED = "bounced"
"""Query parameter of a page that the bounce page came back to: when it was sent there, in seconds since 1970."""
RELOAD = "shopify-reload"
"""Query parameter by which App Bridge, on whatever page it stands, loads the address named in it with a new session
token. Of the bounce page alone, which looks at the address first."""
PASSING = frozenset({"id_token", "hmac", "timestamp", "session", "signature", BOUNCED})
"""Query parameters that speak of one request only; they are no part of a page's address."""

BOUNCE_SECONDS = 30
"""A page that comes back from the bounce page with a bad token within this time is not sent there again."""

_LONGEST_ADDRESS = 4096
_LONGEST_TOKEN = 4096
_VISIBLE = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9+/_=-]{1,400}")

Pairs = Sequence[tuple[str, str]]


def looks_like_token(given: str) -> bool:
    """Whether `given` has the form of a session token: three parts in base64, of a bearable length."""
    return len(given) <= _LONGEST_TOKEN and _TOKEN.fullmatch(given) is not None


def looks_like_host(given: str) -> bool:
    """Whether `given` has the form of App Bridge's `host`: base64 of the admin's address."""
    return _HOST.fullmatch(given) is not None


def own_query(pairs: Pairs) -> list[tuple[str, str]]:
    """A page's query without what spoke of one request only."""
    return [(name, value) for name, value in pairs if name not in PASSING]


def address(app_url: str, path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The absolute address of a page of ours. `path` is decoded, as WSGI gives it."""
    query = urlencode(list(pairs))
    return f"{app_url}{quote(path)}" + (f"?{query}" if query else "")


def is_reload_address(given: str, app_url: str) -> bool:
    """Whether App Bridge may be told to load `given`: a page of ours, and none that would only send on again.

    App Bridge reads the address itself, so it is taken as it stands or refused, never mended.
    """
    if len(given) > _LONGEST_ADDRESS or not _VISIBLE.fullmatch(given) or "\\" in given:
        return False
    if not given.startswith(f"{app_url}/"):  # the slash ends the host: no port, no @ can follow
        return False
    path = given[len(app_url) :].partition("?")[0].partition("#")[0]
    if _DOTS.search(path):  # a browser resolves them, and would then stand on one of those below
        return False
    return not any(path == going or path.startswith(f"{going}/") for going in ("/session", "/auth"))


def has_bounced(given: str | None, now: datetime) -> bool:
    """Whether `bounced` says that the bounce page was there a moment ago."""
    if given is None or not given.isascii() or not given.isdigit() or len(given) > 12:
        return False
    return 0 <= now.timestamp() - int(given) <= BOUNCE_SECONDS


def origin(url: str) -> str:
    """Scheme and host of `url`, as a content security policy names them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def ancestors(shop: str | None, admin_url: str) -> tuple[str, ...]:
    """Who may frame a page: the admin, and the shop, which must be validated, if it is known."""
    return (*([f"https://{shop}"] if shop else []), origin(admin_url))


def in_admin(shop: str, admin_url: str, api_key: str, path: str = "/") -> str:
    """The address at which the admin shows a page of ours."""
    handle = shop.removesuffix(".myshopify.com")
    return f"{admin_url}/store/{handle}/apps/{quote(api_key, safe='')}{quote(path)}"


def missing_scopes(granted: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The scopes that the app wants and the shop has not granted; to write includes to read."""
    return sorted(set(wanted) - set(access_scopes.spelled_out(granted)))

"""Access and refresh tokens and authorization codes: issued, refreshed once, expired, revoked.

Sources: facts/shopify.md, “Auth”; for retries of a refresh, Shopify's changelog of 28 August 2026.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

ACCESS_LIFE = timedelta(hours=1)
ONLINE_LIFE = timedelta(hours=24)
REFRESH_LIFE = timedelta(days=90)
RETRY_LIFE = timedelta(days=30)
CODE_LIFE = timedelta(minutes=1)


class RefusedTokenError(Exception):
    """`code` is OAuth's word for why, the message Shopify's, `status` the answer's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def refused_refresh() -> RefusedTokenError:
    """What Shopify says of every refresh token that it doesn't take: a 401, and not OAuth's own word for it."""
    return RefusedTokenError("invalid_request", "This request requires an active refresh_token", 401)


@dataclass
class AccessToken:
    """`scopes` are those granted when it was issued. `staff` (an id) makes it an online one. No end: never expires."""

    value: str
    shop: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    staff: int | None = None
    refresh: RefreshToken | None = None


@dataclass
class RefreshToken:
    """Good once. `replacement` is the pair that its use gave."""

    value: str
    shop: str
    expires_at: datetime
    used_at: datetime | None = None
    replacement: AccessToken | None = None


@dataclass
class Code:
    """An authorization code, good once and for a minute. `staff`: for an online token (`grant_options[]=per-user`)."""

    shop: str
    staff: int | None
    expires_at: datetime


class Tokens:
    """All that were issued and not revoked."""

    def __init__(self) -> None:
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._codes: dict[str, Code] = {}

    def offline(self, shop: str, scopes: list[str], now: datetime, *, expiring: bool) -> AccessToken:
        """A new offline token. A refresh token that the shop had before is replaced by the new pair's."""
        for value in [each.value for each in self._refresh.values() if each.shop == shop]:
            del self._refresh[value]
        return self._issue(shop, scopes, now, expiring=expiring)

    def online(self, shop: str, scopes: list[str], staff: int, now: datetime) -> AccessToken:
        """A new token for one person."""
        token = AccessToken(_random("shpua"), shop, tuple(scopes), now + ONLINE_LIFE, staff)
        self._access[token.value] = token
        return token

    def refresh(self, shop: str, value: str, scopes: list[str], now: datetime, *, retries: bool) -> AccessToken:
        """The pair that takes the place of this one. The old access token lives until its own end.

        `retries`: one that was used gives the same pair again until that one is used, for 30 days at most. Otherwise
        it is refused, as is what is unknown, expired, or another shop's.
        """
        given = self._refresh.get(value)
        if given is None or given.shop != shop or given.expires_at <= now:
            raise refused_refresh()
        if given.used_at is None:
            given.used_at = now
            given.replacement = self._issue(shop, scopes, now, expiring=True)
            self._retire_those_before(given)
            return given.replacement
        again = given.replacement
        if not retries or again is None or now - given.used_at > RETRY_LIFE:
            raise refused_refresh()
        again.expires_at = now + ACCESS_LIFE
        return again

    def code(self, shop: str, staff: int | None, now: datetime) -> str:
        """A new authorization code."""
        value = secrets.token_hex(16)
        self._codes[value] = Code(shop, staff, now + CODE_LIFE)
        return value

    def redeem(self, shop: str, value: str, now: datetime) -> Code:
        """The code, which is used up by this."""
        code = self._codes.pop(value, None)
        if code is None or code.shop != shop or code.expires_at <= now:
            raise RefusedTokenError("invalid_request", "The authorization code was not found or was already used")
        return code

    def find(self, shop: str, value: str, now: datetime) -> AccessToken | None:
        """The token, if it is this shop's and has not expired."""
        token = self._access.get(value)
        if token is None or token.shop != shop or (token.expires_at is not None and token.expires_at <= now):
            return None
        return token

    def revoke_all(self, shop: str) -> None:
        """What an uninstall does."""
        self._access = {value: each for value, each in self._access.items() if each.shop != shop}
        self._refresh = {value: each for value, each in self._refresh.items() if each.shop != shop}
        self._codes = {value: each for value, each in self._codes.items() if each.shop != shop}

    def _issue(self, shop: str, scopes: list[str], now: datetime, *, expiring: bool) -> AccessToken:
        token = AccessToken(_random("shpat"), shop, tuple(scopes), now + ACCESS_LIFE if expiring else None)
        if expiring:
            token.refresh = RefreshToken(_random("shprt"), shop, now + REFRESH_LIFE)
            self._refresh[token.refresh.value] = token.refresh
        self._access[token.value] = token
        return token

    def _retire_those_before(self, used: RefreshToken) -> None:
        """The token whose replacement has now been used is gone for good."""
        for value, each in list(self._refresh.items()):
            if each.replacement is not None and each.replacement.refresh is used:
                del self._refresh[value]


def _random(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"

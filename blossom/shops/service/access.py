"""A client of a shop with an access token that is good: renewed before it ends, once, however many ask for it.

Who finds the token good until `MARGIN` from now takes it. Otherwise one renews (`claiming`); the others go on with the
token while it lasts, and wait when it doesn't. Everything here manages its transactions and is called with none open.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select

from blossom.platform import clock, stopping
from blossom.platform.db import session, transaction
from blossom.shopify import oauth
from blossom.shopify.client import MAX_WAIT_SECONDS, ShopifyClient
from blossom.shopify.errors import ShopifyError
from blossom.shops import queries
from blossom.shops.models import Installation
from blossom.shops.service import claiming

log = structlog.get_logger()

MARGIN = timedelta(minutes=5)
"""A token is renewed so long before its end: a job that takes one may need it for a while."""

DORMANT = timedelta(days=14)
"""A refresh token that has less left is renewed by the daily job; it can miss many days before the token ends."""

_PATIENCE = 20.0  # seconds; how long one waits for another's renewal


@dataclass(frozen=True)
class _Held:
    """The tokens as they stand. `mine`: the claim to renew them, if this reader got it."""

    domain: str
    generation: int
    good: bool
    usable: bool
    lost: bool
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    mine: UUID | None


def client(shop_id: int, *, max_wait: float = MAX_WAIT_SECONDS) -> ShopifyClient:
    """A client of the shop, for this thread. Should Shopify refuse its token before the end, it renews it once a call.
    `max_wait` as there.

    Raises `ShopifyError`: `not_installed`, `access_lost` when only a merchant's visit can help, `access_busy` and what
    a call may end with when it can be tried again.
    """
    held = _good(shop_id)
    return ShopifyClient(
        held.domain,
        held.access_token,
        renew=lambda used_up: _good(shop_id, used_up).access_token,
        before=claiming.hold_nothing,
        max_wait=max_wait,
    )


def renew_expiring() -> int:
    """Renew the access of shops that nothing has called for long, and try once more where it was lost; how many were
    renewed. An unused refresh token ends after 90 days, and with it the shop's access."""
    with transaction():
        now = clock.now()
        due = queries.expiring_access(now, now + DORMANT)
    renewed = 0
    for shop_id in due:
        if stopping.requested():
            break
        try:
            _good(shop_id, even_lost=True)
            renewed += 1
        except ShopifyError as error:
            log.warning("shops.not_renewed", shop_id=shop_id, code=error.code)
    return renewed


def _good(shop_id: int, used_up: str | None = None, *, even_lost: bool = False) -> _Held:
    """Tokens that are good, and other than `used_up`; with `even_lost`, new ones in any case."""
    claiming.hold_nothing()
    began_at, first = time.monotonic(), None
    while True:
        held = _look(shop_id, used_up, even_lost=even_lost, first=first)
        first = held.generation if first is None else first
        if held.good:
            return held
        if held.mine is not None:
            _renew(shop_id, held, held.mine)
        elif held.usable:
            return held
        elif held.lost:
            _note_lost(shop_id, held.generation)
            raise ShopifyError("access_lost")
        elif time.monotonic() - began_at > _PATIENCE or stopping.wait(claiming.POLL_SECONDS):
            raise ShopifyError("access_busy", retry_after=claiming.COOL_DOWN.total_seconds())


def _look(shop_id: int, used_up: str | None, *, even_lost: bool, first: int | None) -> _Held:
    """Read the tokens, and claim them if they must be renewed and nobody is at it."""
    with transaction():
        found = queries.installation(shop_id)
        if found is None or found.access_token_sealed is None:
            raise ShopifyError("not_installed")
        shop = queries.get_shop(shop_id)
        if shop.uninstalled_at is not None:
            raise ShopifyError("not_installed")
        now, token = clock.now(), str(found.access_token)
        ends_at = found.access_expires_at
        renewed_since = first is not None and found.generation != first
        refused = token == used_up or (even_lost and not renewed_since)
        lost = found.access_lost_at is not None and not even_lost
        good = not refused and not lost and (ends_at is None or ends_at - MARGIN > now)
        may_renew = not good and not lost and found.refresh_token_sealed is not None
        return _Held(
            domain=shop.domain,
            generation=found.generation,
            good=good,
            usable=not refused and (ends_at is None or ends_at > now),
            lost=lost or found.refresh_token_sealed is None,
            access_token=token,
            refresh_token=found.refresh_token if may_renew else None,
            mine=claiming.claim(shop_id, found.generation) if may_renew else None,
        )


def _renew(shop_id: int, held: _Held, mine: UUID) -> None:
    """Fetch the next pair and record it. What a merchant's visit or an uninstall recorded meanwhile stands."""
    assert held.refresh_token is not None
    asked_at = clock.now()
    try:
        tokens = oauth.refresh(held.domain, held.refresh_token)
    except ShopifyError as error:
        if error.code == "refresh_refused":
            _note_lost(shop_id, held.generation, mine)
            raise ShopifyError("access_lost", http_status=error.http_status) from None
        claiming.give_up(mine, cool_down=True)
        if held.usable:
            return
        raise

    def record() -> None:
        found = _of_generation(shop_id, held.generation)
        if found is None:
            return
        told = found.scopes
        told_since = found.scopes_changed_at is not None and found.scopes_changed_at > asked_at
        claiming.put(found, tokens)
        if told_since and sorted(told) != sorted(tokens.scopes):
            found.scopes = told  # Shopify answered before it was told of others: this token is renewed at once, too
            found.access_expires_at = asked_at

    claiming.until_recorded(record)


def _note_lost(shop_id: int, generation: int, mine: UUID | None = None) -> None:
    """Let the next visit of a merchant bring new tokens, and end our claim. The old ones stay: should Shopify have been
    wrong about them, the daily job finds out."""
    with transaction():
        found = _of_generation(shop_id, generation)
        if found is None:
            return
        if found.access_lost_at is None:
            found.access_lost_at = clock.now()
            log.warning("shops.access_lost", shop_id=shop_id)
        if mine is not None and found.claim == mine:
            found.claim = found.claimed_until = None


def _of_generation(shop_id: int, generation: int) -> Installation | None:
    return session.scalars(
        select(Installation)
        .where(Installation.shop_id == shop_id, Installation.generation == generation)
        .with_for_update()
    ).one_or_none()

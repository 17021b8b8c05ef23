"""Replacing a shop's tokens: by one process at a time, which holds a claim in the row and no transaction.

    claim   a conditional UPDATE that one of many wins
    call    to Shopify, by who won; nothing of the database is held
    record  the new pair as a whole, if the claim is still ours (an install) or the pair still the one that was
            replaced (a refresh); anybody else's word in between was the later one

A process that dies between call and record leaves its claim, which ends by itself; the next one calls again with what
is recorded. Shopify takes a refresh token again until its replacement has been used (`oauth`), so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import tenacity
from sqlalchemy import or_, update
from sqlalchemy.exc import OperationalError

from blossom.platform import clock, config
from blossom.platform.db import session, transaction
from blossom.shopify.oauth import Tokens
from blossom.shops.models import Installation

T = TypeVar("T")

COOL_DOWN = timedelta(seconds=3)
"""After a failed call: so long nobody tries again, so that a hundred waiting workers are not a hundred calls."""

POLL_SECONDS = 0.1
"""How often who lost a claim looks whether it has come to something."""


_RECORD_SECONDS = 30.0


def lease() -> timedelta:
    """How long a claim holds: beyond the one call, and shorter than others wait for it (`access`)."""
    return timedelta(seconds=config.current().shopify_timeout_seconds + 5)


def claim(shop_id: int, generation: int) -> UUID | None:
    """Claim the tokens of this generation; None if somebody has them. Within a transaction."""
    now, mine = clock.now(), uuid4()
    won = session.execute(
        update(Installation)
        .where(
            Installation.shop_id == shop_id,
            Installation.generation == generation,
            or_(Installation.claimed_until.is_(None), Installation.claimed_until <= now),
        )
        .values(claim=mine, claimed_until=now + lease())
        .returning(Installation.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return mine if won else None


def give_up(mine: UUID, *, cool_down: bool) -> None:
    """End a claim without new tokens; with `cool_down`, in a moment. Manages its transaction."""
    ends = {"claimed_until": clock.now() + COOL_DOWN} if cool_down else {"claim": None, "claimed_until": None}
    with transaction():
        session.execute(
            update(Installation)
            .where(Installation.claim == mine)
            .values(ends)
            .execution_options(synchronize_session=False)
        )


def put(installation: Installation, tokens: Tokens) -> None:
    """Replace the pair, and end whatever claim there was."""
    installation.access_token = tokens.access_token
    installation.access_expires_at = tokens.expires_at
    installation.refresh_token = tokens.refresh_token
    installation.refresh_expires_at = tokens.refresh_expires_at
    installation.scopes = list(tokens.scopes)
    installation.access_lost_at = None
    forget_claim(installation)


def drop(installation: Installation) -> None:
    """Leave no token, and make void whatever is being fetched."""
    installation.access_token_sealed = installation.refresh_token_sealed = None
    installation.access_expires_at = installation.refresh_expires_at = None
    forget_claim(installation)


def forget_claim(installation: Installation) -> None:
    installation.generation += 1
    installation.claim = installation.claimed_until = None


def until_recorded(write: Callable[[], T]) -> T:
    """Write in a transaction what a call brought; a database that goes away now is waited for, beyond the claim's end
    if need be, for whoever writes finds out whether it is still the latest word."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OperationalError),
        wait=tenacity.wait_exponential(multiplier=0.1, max=1.0),
        stop=tenacity.stop_after_delay(_RECORD_SECONDS),
        reraise=True,
    ):
        with attempt, transaction():
            return write()
    raise AssertionError("tenacity returns or raises")


def hold_nothing() -> None:
    """RuntimeError if this thread has a transaction open: it would be held while Shopify takes its time."""
    if session().in_transaction():
        raise RuntimeError("Shopify is not called, nor access asked for, with a transaction open")

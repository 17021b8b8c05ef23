"""Credits move here: topped up, held, spent, given back. Flushes, never commits.

Every call that writes takes a `reference` that names what it is for (`attempt:123`); calling again with it changes
nothing. Amounts are whole credits, 0 is a no-op, and a negative one is the caller's mistake (`ValueError`).

Locks: each statement takes the shop's wallet row first and a reservation after it, and both are held until the
transaction ends. So a shop's money moves one transaction at a time and can't deadlock with itself. A transaction that
moves money of several shops does so in ascending shop id. Call as late in a transaction as you can.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

import orjson
from sqlalchemy import RowMapping, TextClause, text

from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput, NotFound
from blossom.wallet import queries, rules
from blossom.wallet.errors import InsufficientCredit, ReferenceReused
from blossom.wallet.rules import EntryKind, Posting, Reservation

# Each of these is one round trip; triggers do the sums (migration 0004). `purse` waits for the wallet's lock and then
# reads its newest version, and so does `held`: that is what FOR NO KEY UPDATE does under READ COMMITTED. It lets
# foreign keys to the same rows pass, which FOR UPDATE would not.
_PURSE = """
    WITH purse AS MATERIALIZED (
        SELECT shop_id, balance - reserved AS available FROM wallets WHERE shop_id = :shop_id FOR NO KEY UPDATE
    )
"""


def _on_wallet(statement: str) -> TextClause:
    """The statement, which may speak of the row of `purse`: the wallet, locked and in its newest version."""
    return text(_PURSE + statement)


_POST = _on_wallet("""
    , posted AS (
        INSERT INTO wallet_entries (shop_id, kind, amount, at, dispatch_id, reference, details)
        SELECT shop_id, :kind, CAST(:amount AS bigint), :at, :dispatch_id, :reference, CAST(:details AS jsonb)
        FROM purse WHERE available + CAST(:amount AS bigint) >= 0
        ON CONFLICT (shop_id, kind, reference) DO NOTHING RETURNING id
    )
    SELECT purse.available, posted.id AS entry_id FROM purse LEFT JOIN posted ON true
""")

_CAPTURE = _on_wallet("""
    , held AS MATERIALIZED (
        SELECT id, amount - captured - released AS outstanding FROM reservations
        WHERE shop_id = (SELECT shop_id FROM purse) AND id = :reservation_id FOR NO KEY UPDATE
    ), posted AS (
        INSERT INTO wallet_entries (shop_id, kind, amount, at, reservation_id, dispatch_id, reference, details)
        SELECT purse.shop_id, 'capture', -CAST(:amount AS bigint), :at, held.id, :dispatch_id, :reference,
            CAST(:details AS jsonb)
        FROM held, purse
        WHERE held.outstanding + CASE WHEN CAST(:overdraw AS boolean) THEN purse.available ELSE 0 END >= :amount
        ON CONFLICT (shop_id, kind, reference) DO NOTHING RETURNING id
    )
    SELECT purse.available, held.outstanding, posted.id AS entry_id
    FROM purse JOIN held ON true LEFT JOIN posted ON true
""")

_RESERVE = _on_wallet("""
    , made AS (
        INSERT INTO reservations (shop_id, reference, amount, created_at, last_used_at, expires_at, idle_limit)
        SELECT shop_id, :reference, :amount, :now, :now, :expires_at, CAST(:idle_limit AS interval)
        FROM purse WHERE available >= :amount
        ON CONFLICT (shop_id, reference) DO NOTHING
        RETURNING *
    )
    SELECT purse.available, made.* FROM purse LEFT JOIN made ON true
""")

_RELEASE = _on_wallet("""
    UPDATE reservations SET released = amount - captured, state = 'closed', closed_at = :now
    FROM purse WHERE reservations.shop_id = purse.shop_id AND id = :reservation_id AND state = 'open'
    RETURNING released
""")

_PROLONG = _on_wallet("""
    UPDATE reservations SET
        last_used_at = greatest(last_used_at, CAST(:used_at AS timestamptz)),
        expires_at = greatest(expires_at, CAST(:used_at AS timestamptz) + idle_limit, CAST(:expires_at AS timestamptz))
    FROM purse WHERE reservations.shop_id = purse.shop_id AND id = :reservation_id AND state = 'open'
    RETURNING expires_at
""")

# A wallet that is busy is left for the next sweep, so that the sweeper never waits while it holds other wallets.
_EXPIRE = text("""
    WITH purse AS MATERIALIZED (
        SELECT shop_id FROM wallets WHERE shop_id IN (
            SELECT shop_id FROM reservations WHERE state = 'open' AND expires_at <= :now)
        ORDER BY shop_id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE reservations SET released = amount - captured, state = 'closed', closed_at = :now
    FROM purse WHERE reservations.shop_id = purse.shop_id AND state = 'open' AND expires_at <= :now
    RETURNING reservations.shop_id, id, reference
""")

_LATER_PRICES = text("""
    SELECT EXISTS (
        SELECT FROM price_lists WHERE shop_id IS NOT DISTINCT FROM CAST(:shop_id AS bigint)
        AND (valid_from >= :valid_from OR valid_to > :valid_from))
""")

_END_PRICES = text("""
    UPDATE price_lists SET valid_to = :valid_from
    WHERE shop_id IS NOT DISTINCT FROM CAST(:shop_id AS bigint) AND valid_to IS NULL
""")

_MAKE_PRICES = text("""
    INSERT INTO price_lists (shop_id, name, valid_from, refund_failed)
    VALUES (:shop_id, :name, :valid_from, :refund_failed) RETURNING id
""")


def open_wallet(shop_id: int) -> None:
    """Give a shop its wallet, empty. A shop that has one keeps it."""
    session.execute(
        text("INSERT INTO wallets (shop_id) VALUES (:shop_id) ON CONFLICT DO NOTHING"), {"shop_id": shop_id}
    )


def top_up(shop_id: int, amount: int, reference: str, details: Mapping[str, Any] | None = None) -> Posting:
    """Add bought (or given) credits. `details`: JSON for the ledger, never personal data."""
    return _post(shop_id, EntryKind.TOP_UP, _counted(amount), reference, details=details)


def adjust(shop_id: int, amount: int, reference: str, reason: str) -> Posting:
    """An operator's correction, up or down, with its reason. Raises `InsufficientCredit` below what is free."""
    return _post(shop_id, EntryKind.ADJUSTMENT, amount, reference, details={"reason": reason})


def reserve(
    shop_id: int, amount: int, reference: str, expires_at: datetime, idle_limit: timedelta | None = None
) -> Reservation | None:
    """Hold `amount` credits until `expires_at`; each use moves that to at least `idle_limit` after the use.

    `idle_limit` defaults to the time from now to `expires_at`. Raises `InsufficientCredit` with nothing written when
    less is free. The same reference again: the reservation as it stands now (it may be closed), or `ReferenceReused`
    when it was made for less. An amount of 0 needs no reservation: None.
    """
    if _counted(amount) == 0:
        return None
    now = clock.now()
    made = _one(
        _RESERVE,
        shop_id=shop_id,
        amount=amount,
        reference=reference,
        now=now,
        expires_at=expires_at,
        idle_limit=idle_limit or max(expires_at - now, timedelta(0)),
    )
    if made["id"] is not None:
        return queries.reservation_of(dict(made))
    standing = queries.reservation_by_reference(shop_id, reference)
    if standing is None:
        raise InsufficientCredit(needed=amount, available=made["available"])
    if standing.amount < amount:  # an overdraw made it larger, perhaps; smaller it never gets
        raise ReferenceReused(reference, reserved=standing.amount, asked=amount)
    return standing


def capture(
    shop_id: int,
    reservation_id: int,
    amount: int,
    reference: str,
    *,
    overdraw: bool = False,
    dispatch_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Posting:
    """Spend `amount` of what the reservation holds. One round trip.

    `overdraw`: what the reservation does not hold (any more: it may have expired meanwhile) is taken from the free
    credits, and the reservation grows by as much. Raises `InsufficientCredit`, with nothing written, when that is
    too little; its `available` is what could be captured at most.
    The same reference again writes nothing, whatever the amount: the result is `repeated`, with the first call's entry.
    """
    if _counted(amount) == 0:
        return rules.NOTHING
    row = _one(
        _CAPTURE,
        what="reservation",
        shop_id=shop_id,
        reservation_id=reservation_id,
        amount=amount,
        reference=reference,
        at=clock.now(),
        overdraw=overdraw,
        dispatch_id=dispatch_id,
        details=_json(details),
    )
    if row["entry_id"] is not None:
        return Posting(row["entry_id"], -amount)
    at_most = row["outstanding"] + (row["available"] if overdraw else 0)
    return _first_call(shop_id, EntryKind.CAPTURE, reference) or _refuse(needed=amount, available=at_most)


def release(shop_id: int, reservation_id: int) -> int:
    """Close the reservation and free what it still holds. How many credits that were: 0 when it was closed before."""
    row = session.execute(
        _RELEASE, {"shop_id": shop_id, "reservation_id": reservation_id, "now": clock.now()}
    ).one_or_none()
    if row is None:
        queries.reservation(shop_id, reservation_id)  # raises NotFound if there is none
        return 0
    return int(row.released)


def touch(shop_id: int, reservation_id: int) -> bool:
    """Say that the reservation is in use: it lasts at least its idle limit from now. False when it is closed."""
    return _prolong(shop_id, reservation_id, used_at=clock.now(), expires_at=None)


def extend_expiry(shop_id: int, reservation_id: int, expires_at: datetime) -> bool:
    """Let the reservation last until `expires_at` at least (it is never made shorter). False when it is closed."""
    return _prolong(shop_id, reservation_id, used_at=None, expires_at=expires_at)


def refund(
    shop_id: int,
    amount: int,
    reference: str,
    *,
    dispatch_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Posting:
    """Give back what was captured for texts that failed. Whether failures are given back, the price list says."""
    return _post(shop_id, EntryKind.REFUND, _counted(amount), reference, dispatch_id=dispatch_id, details=details)


def reverse_refund(
    shop_id: int,
    amount: int,
    reference: str,
    *,
    dispatch_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Posting:
    """Take (part of) a refund back: the text was delivered after all. May raise `InsufficientCredit`."""
    return _post(shop_id, EntryKind.REVERSAL, -_counted(amount), reference, dispatch_id=dispatch_id, details=details)


def expire_due(now: datetime) -> list[tuple[int, int, str]]:
    """Release every open reservation that expired by `now`: (shop id, reservation id, reference) of each.

    Shops whose wallet is busy this moment are left for the next call.
    """
    rows = session.execute(_EXPIRE, {"now": now}).all()
    return sorted((row.shop_id, row.id, row.reference) for row in rows)


def set_prices(
    shop_id: int | None, name: str, prices: Mapping[str, int], *, valid_from: datetime, refund_failed: bool
) -> rules.PriceList:
    """Make a price list for a shop (None: the installation) that follows its current one from `valid_from` on.

    Raises `InvalidInput` when the figures can't be used, or when a list that begins or ends later is there already.
    """
    faults = rules.faults_of_prices(prices)
    owner = {"shop_id": shop_id, "valid_from": valid_from}
    if session.execute(_LATER_PRICES, owner).scalar_one():
        faults["valid_from"] = "a price list that begins or ends later exists already"
    if faults:
        raise InvalidInput(faults)
    session.execute(_END_PRICES, owner)
    price_list_id = session.execute(_MAKE_PRICES, {**owner, "name": name, "refund_failed": refund_failed}).scalar_one()
    session.execute(
        text("INSERT INTO prices VALUES (:id, :country, :credits)"),
        [{"id": price_list_id, "country": country, "credits": price} for country, price in prices.items()],
    )
    return queries.price_list(price_list_id)


def _prolong(shop_id: int, reservation_id: int, *, used_at: datetime | None, expires_at: datetime | None) -> bool:
    row = session.execute(
        _PROLONG,
        {"shop_id": shop_id, "reservation_id": reservation_id, "used_at": used_at, "expires_at": expires_at},
    ).one_or_none()
    if row is None:
        queries.reservation(shop_id, reservation_id)
    return row is not None


def _post(
    shop_id: int,
    kind: EntryKind,
    amount: int,
    reference: str,
    *,
    dispatch_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> Posting:
    """One ledger entry that no reservation covers."""
    if amount == 0:
        return rules.NOTHING
    row = _one(
        _POST,
        shop_id=shop_id,
        kind=kind,
        amount=amount,
        reference=reference,
        at=clock.now(),
        dispatch_id=dispatch_id,
        details=_json(details),
    )
    if row["entry_id"] is not None:
        return Posting(row["entry_id"], amount)
    return _first_call(shop_id, kind, reference) or _refuse(needed=-amount, available=row["available"])


def _one(statement: TextClause, *, what: str = "wallet", **values: Any) -> RowMapping:
    """The one row of the statement. None means that the wallet, or what the call is about, is not in this shop."""
    row = session.execute(statement, values).mappings().one_or_none()
    if row is None:
        raise NotFound(what)
    return row


def _first_call(shop_id: int, kind: EntryKind, reference: str) -> Posting | None:
    """What the first call with this reference did. It is committed, or of this very transaction: we hold the wallet."""
    entry = queries.entry_by_reference(shop_id, kind, reference)
    return None if entry is None else Posting(entry.id, entry.amount, repeated=True)


def _refuse(needed: int, available: int) -> NoReturn:
    raise InsufficientCredit(needed=needed, available=available)


def _counted(amount: int) -> int:
    if amount < 0:
        raise ValueError(f"credits are counted from 0 up, not {amount}")
    return amount


def _json(details: Mapping[str, Any] | None) -> str:
    return orjson.dumps(dict(details or {})).decode()

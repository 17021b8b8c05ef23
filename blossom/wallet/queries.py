"""What a shop has, what it spent, what a text costs, and whether the books are right."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select, text

from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.wallet.models import EntryRow, ReservationRow
from blossom.wallet.rules import Balance, Entry, EntryKind, PriceList, Reservation, ReservationState

# The tables, not the mapped classes: rows come fresh from the database, never from the session's memory of them.
_entries = EntryRow.__table__
_reservations = ReservationRow.__table__

_CACHE_SECONDS = 60.0
_price_lists: dict[int, tuple[float, PriceList]] = {}
"""A list never changes once made; the time limit only keeps out lists that nobody asks for any more."""


def balance(shop_id: int) -> Balance:
    """The shop's credits now. Raises `NotFound` when the shop has no wallet."""
    row = session.execute(
        text("SELECT balance, reserved FROM wallets WHERE shop_id = :shop_id"), {"shop_id": shop_id}
    ).one_or_none()
    if row is None:
        raise NotFound("wallet")
    return Balance(row.balance, row.reserved)


def balance_if_any(shop_id: int) -> Balance:
    """The same; nothing of a shop without a wallet: one from before wallets, or one made by hand."""
    try:
        return balance(shop_id)
    except NotFound:
        return Balance(0, 0)


def entries(shop_id: int, before_id: int | None = None, limit: int = 50) -> list[Entry]:
    """The ledger, newest first: up to `limit` lines older than `before_id`."""
    lines = select(_entries).where(EntryRow.shop_id == shop_id).order_by(EntryRow.id.desc()).limit(limit)
    if before_id is not None:
        lines = lines.where(EntryRow.id < before_id)
    return [_entry_of(row) for row in session.execute(lines).mappings()]


def entry_by_reference(shop_id: int, kind: EntryKind, reference: str) -> Entry | None:
    found = session.execute(
        select(_entries).where(EntryRow.shop_id == shop_id, EntryRow.kind == kind, EntryRow.reference == reference)
    ).mappings()
    return next(map(_entry_of, found), None)


def reservation(shop_id: int, reservation_id: int) -> Reservation:
    """The reservation as it stands. Raises `NotFound`."""
    found = _reservation(shop_id, ReservationRow.id == reservation_id)
    if found is None:
        raise NotFound("reservation")
    return found


def reservation_by_reference(shop_id: int, reference: str) -> Reservation | None:
    return _reservation(shop_id, ReservationRow.reference == reference)


def open_reservations(shop_id: int, limit: int) -> list[Reservation]:
    """What is held now, the newest first."""
    found = session.execute(
        select(_reservations)
        .where(ReservationRow.shop_id == shop_id, ReservationRow.state == ReservationState.OPEN.value)
        .order_by(ReservationRow.id.desc())
        .limit(limit)
    ).mappings()
    return [reservation_of(dict(row)) for row in found]


@dataclass(frozen=True)
class Moved:
    """What one kind of entries of one dispatch came to, or a single entry of none. `last_at`, `last_id`: the latest.

    `note`: what an operator or a payment said of it.
    """

    kind: EntryKind
    dispatch_id: int | None
    amount: int
    last_at: datetime
    last_id: int
    note: str | None


def moved(
    shop_id: int, begin: datetime, end: datetime, *, before_id: int | None = None, limit: int = 50
) -> tuple[list[Moved], int]:
    """What moved the balance from `begin` until before `end`, the latest first, up to `limit` of those whose latest
    entry is before `before_id`; and what all of that time came to. Reads each entry of that time."""
    values = {"shop_id": shop_id, "begin": begin, "end": end, "before_id": before_id, "limit": limit}
    rows = session.execute(_MOVED, values).all()
    found = [
        Moved(EntryKind(row.kind), row.dispatch_id, int(row.amount), row.last_at, row.last_id, row.note)
        for row in rows
        if row.kind is not None
    ]
    return found, int(rows[0].in_all)


def balance_at(shop_id: int, moment: datetime) -> int:
    """The balance just before `moment`: what is there now, without all that came since. 0 without a wallet."""
    return int(session.scalar(_BALANCE_AT, {"shop_id": shop_id, "moment": moment}) or 0)


def first_entry_at(shop_id: int) -> datetime | None:
    """When the ledger begins; None for an empty one."""
    return session.scalar(select(EntryRow.at).where(EntryRow.shop_id == shop_id).order_by(EntryRow.at).limit(1))


def price_list_at(shop_id: int, moment: datetime) -> PriceList:
    """The list that holds for the shop at `moment`: its own, else the installation's. Raises `NotFound` for neither."""
    found = price_list_if_any(shop_id, moment)
    if found is None:
        raise NotFound("price list")
    return found


def price_list_if_any(shop_id: int, moment: datetime) -> PriceList | None:
    """The same; None for neither."""
    price_list_id = session.execute(
        text("""
            SELECT id FROM price_lists
            WHERE (shop_id = :shop_id OR shop_id IS NULL)
            AND valid_from <= :moment AND (valid_to IS NULL OR :moment < valid_to)
            ORDER BY shop_id NULLS LAST LIMIT 1
        """),
        {"shop_id": shop_id, "moment": moment},
    ).scalar_one_or_none()
    return None if price_list_id is None else price_list(price_list_id)


def price_list(price_list_id: int) -> PriceList:
    """A list by the id that a dispatch pinned, kept for a minute in this process. Raises `NotFound`."""
    cached = _price_lists.get(price_list_id)
    if cached and cached[0] > time.monotonic():
        return cached[1]
    row = session.execute(
        text("""
            SELECT id, shop_id, name, valid_from, refund_failed,
                (SELECT json_object_agg(country, credits_per_segment) FROM prices WHERE price_list_id = id) AS prices
            FROM price_lists WHERE id = :id
        """),
        {"id": price_list_id},
    ).one_or_none()
    if row is None:
        raise NotFound("price list")
    found = PriceList(row.id, row.shop_id, row.name, row.valid_from, row.refund_failed, row.prices or {})
    # A copy, made in one go: other threads add and remove lists meanwhile.
    for stale in [key for key, (until, _) in _price_lists.copy().items() if until <= time.monotonic()]:
        _price_lists.pop(stale, None)
    _price_lists[price_list_id] = (time.monotonic() + _CACHE_SECONDS, found)
    return found


def forget_price_lists() -> None:
    """Empty this process's cache: for tests that take tables back to an earlier state."""
    _price_lists.clear()


def verify(shop_id: int) -> list[str]:
    """Everything that must be true of the shop's money, counted again from the rows: a sentence for each fault.

    One statement, so one moment, also while money moves. Reads the shop's whole ledger.
    """
    return list(session.execute(_VERIFY, {"shop_id": shop_id}).scalars())


# A large campaign has an entry an attempt; a payment and a correction stand alone (`lone`). The sum is there without
# any line too.
_MOVED = text("""
    WITH moved AS MATERIALIZED (
        SELECT kind, dispatch_id, sum(amount) AS amount, max(at) AS last_at, max(id) AS last_id,
            max(coalesce(details ->> 'reason', CASE WHEN kind = 'top_up' THEN reference END)) AS note
        FROM (
            SELECT *, CASE WHEN dispatch_id IS NULL THEN id END AS lone FROM wallet_entries
            WHERE shop_id = :shop_id AND at >= :begin AND at < :end
        ) AS entries
        GROUP BY kind, dispatch_id, lone
    )
    SELECT lines.*, coalesce(sums.in_all, 0) AS in_all
    FROM (SELECT sum(amount) AS in_all FROM moved) AS sums
    LEFT JOIN (
        SELECT * FROM moved WHERE CAST(:before_id AS bigint) IS NULL OR last_id < :before_id
        ORDER BY last_id DESC LIMIT :limit
    ) AS lines ON true
    ORDER BY lines.last_id DESC
""")
_BALANCE_AT = text("""
    SELECT balance - (
        SELECT coalesce(sum(amount), 0) FROM wallet_entries WHERE shop_id = :shop_id AND at >= :moment
    ) FROM wallets WHERE shop_id = :shop_id
""")

_VERIFY = text("""
    WITH ledger AS MATERIALIZED (
        SELECT id, kind, amount, reservation_id, dispatch_id, balance_after, sum(amount) OVER (ORDER BY id) AS running
        FROM wallet_entries WHERE shop_id = :shop_id
    ), held AS MATERIALIZED (
        SELECT id, state, amount, captured, released, amount - captured - released AS outstanding
        FROM reservations WHERE shop_id = :shop_id
    ), captures AS (
        SELECT reservation_id, -sum(amount) AS amount FROM ledger WHERE kind = 'capture' GROUP BY reservation_id
    ), sums AS (
        SELECT (SELECT coalesce(sum(amount), 0) FROM ledger) AS balance,
               (SELECT coalesce(sum(outstanding), 0) FROM held) AS reserved
    )
    SELECT format('the wallet says balance %s, the ledger %s', wallets.balance, sums.balance)
    FROM wallets, sums WHERE wallets.shop_id = :shop_id AND wallets.balance <> sums.balance
    UNION ALL
    SELECT format('the wallet says reserved %s, the reservations %s', wallets.reserved, sums.reserved)
    FROM wallets, sums WHERE wallets.shop_id = :shop_id AND wallets.reserved <> sums.reserved
    UNION ALL
    SELECT format('available is negative: %s - %s', balance, reserved) FROM sums WHERE balance < reserved
    UNION ALL
    SELECT format('entry %s says balance %s after it, the entries up to it %s', id, balance_after, running)
    FROM ledger WHERE balance_after <> running OR balance_after < 0
    UNION ALL
    SELECT format('reservation %s says captured %s, the ledger %s', held.id, captured, coalesce(captures.amount, 0))
    FROM held LEFT JOIN captures ON captures.reservation_id = held.id
    WHERE captured <> coalesce(captures.amount, 0)
    UNION ALL
    SELECT format('reservation %s is %s with %s outstanding', id, state, outstanding)
    FROM held WHERE outstanding < 0 OR (state = 'closed' AND outstanding <> 0)
    UNION ALL
    SELECT format('dispatch %s was refunded more than it was charged', dispatch_id)
    FROM ledger WHERE dispatch_id IS NOT NULL AND kind IN ('capture', 'refund', 'reversal')
    GROUP BY dispatch_id HAVING sum(amount) > 0
""")


def reservation_of(row: Mapping[str, Any]) -> Reservation:
    """The dataclass from a row that has (at least) the columns of `reservations`."""
    values = {field.name: row[field.name] for field in fields(Reservation)}
    return Reservation(**{**values, "state": ReservationState(row["state"])})


def _reservation(shop_id: int, condition: ColumnElement[bool]) -> Reservation | None:
    found = session.execute(select(_reservations).where(ReservationRow.shop_id == shop_id, condition)).mappings()
    return next((reservation_of(dict(row)) for row in found), None)


def _entry_of(row: RowMapping) -> Entry:
    values = {field.name: row[field.name] for field in fields(Entry)}
    return Entry(**{**values, "kind": EntryKind(row["kind"])})

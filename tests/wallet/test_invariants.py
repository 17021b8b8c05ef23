"""The database itself refuses whatever would make the books wrong, and `verify` sees it when the guards are off."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blossom.wallet import queries, rules, service
from blossom.wallet.rules import Balance
from tests.factories.wallet import create_reservation, create_wallet
from tests.personas import Personas


@pytest.fixture
def books(personas: Personas) -> dict[str, int]:
    """A shop with 1,000 credits: 300 held, 100 of them spent by dispatch 7; and a closed reservation."""
    shop_id = personas.ours.id
    create_wallet(shop_id, 1000)
    closed = create_reservation(shop_id, 50)
    service.release(shop_id, closed.id)
    reservation = create_reservation(shop_id, 300)
    service.capture(shop_id, reservation.id, 100, "attempt:1", dispatch_id=7)
    create_wallet(personas.theirs.id, 1000)
    theirs = create_reservation(personas.theirs.id, 300)
    return {"shop": shop_id, "open": reservation.id, "closed": closed.id, "theirs": theirs.id}


_ENTRY = "INSERT INTO wallet_entries (shop_id, kind, amount, at, reference, reservation_id) VALUES"

TAMPERING = {
    "giving credits": "UPDATE wallets SET balance = balance + 1 WHERE shop_id = :shop",
    "hiding a reservation": "UPDATE wallets SET reserved = 0 WHERE shop_id = :shop",
    "deleting a wallet": "DELETE FROM wallets WHERE shop_id = :shop",
    "emptying the wallets": "TRUNCATE wallets CASCADE",
    "emptying the shops": "TRUNCATE shops CASCADE",
    "changing the ledger": "UPDATE wallet_entries SET amount = amount + 1 WHERE shop_id = :shop",
    "explaining the ledger anew": "UPDATE wallet_entries SET details = '{}' WHERE shop_id = :shop",
    "deleting from the ledger": "DELETE FROM wallet_entries WHERE shop_id = :shop",
    "emptying the ledger": "TRUNCATE wallet_entries",
    "un-spending": "UPDATE reservations SET captured = 0 WHERE id = :open",
    "spending without an entry": "UPDATE reservations SET captured = captured + 1 WHERE id = :open",
    "holding more": "UPDATE reservations SET amount = amount + 1 WHERE id = :open",
    "releasing a part": "UPDATE reservations SET released = 1 WHERE id = :open",
    "closing without releasing": "UPDATE reservations SET state = 'closed', closed_at = now() WHERE id = :open",
    "opening again": "UPDATE reservations SET state = 'open', closed_at = NULL WHERE id = :closed",
    "renaming a reservation": "UPDATE reservations SET reference = 'other' WHERE id = :open",
    "deleting a reservation": "DELETE FROM reservations WHERE id = :open",
    "emptying the reservations": "TRUNCATE reservations CASCADE",
    "a reservation that begins used": (
        "INSERT INTO reservations (shop_id, reference, amount, captured, created_at, last_used_at, expires_at,"
        " idle_limit) VALUES (:shop, 'used', 10, 5, now(), now(), now(), '1 day')"
    ),
    "a reservation beyond what is free": (
        "INSERT INTO reservations (shop_id, reference, amount, created_at, last_used_at, expires_at, idle_limit)"
        " VALUES (:shop, 'big', 701, now(), now(), now(), '1 day')"
    ),
    "spending beyond what is free": f"{_ENTRY} (:shop, 'adjustment', -701, now(), 'x', NULL)",
    "capturing beyond what is free": f"{_ENTRY} (:shop, 'capture', -901, now(), 'x', :open)",
    "capturing from another shop": f"{_ENTRY} (:shop, 'capture', -1, now(), 'x', :theirs)",
    "capturing from nowhere": f"{_ENTRY} (:shop, 'capture', -1, now(), 'x', NULL)",
    "a capture that gives": f"{_ENTRY} (:shop, 'capture', 1, now(), 'x', :open)",
    "a top-up that takes": f"{_ENTRY} (:shop, 'top_up', -1, now(), 'x', NULL)",
    "an entry of nothing": f"{_ENTRY} (:shop, 'adjustment', 0, now(), 'x', NULL)",
    "an unknown kind": f"{_ENTRY} (:shop, 'present', 5, now(), 'x', NULL)",
    "the same reference twice": f"{_ENTRY} (:shop, 'capture', -1, now(), 'attempt:1', :open)",
    "two entries at once": f"{_ENTRY} (:shop, 'top_up', 1, now(), 'x', NULL), (:shop, 'top_up', 1, now(), 'y', NULL)",
    "an entry without a wallet": f"{_ENTRY} (999999, 'top_up', 1, now(), 'x', NULL)",
    "changing a price": "UPDATE prices SET credits_per_segment = 1",
    "deleting a price": "DELETE FROM prices",
    "ending refunds": "UPDATE price_lists SET refund_failed = false",
    "dating a list back": "UPDATE price_lists SET valid_from = valid_from - interval '1 day'",
    "deleting the price lists": "TRUNCATE price_lists CASCADE",
    "adding a price to a list in use": "INSERT INTO prices SELECT id, 'ZZ', 1 FROM price_lists",
    "two lists at a time": (
        "INSERT INTO price_lists (name, valid_from, refund_failed) VALUES ('Second', '2026-01-01', true)"
    ),
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING.keys())
def test_the_database_refuses(statement: str, books: dict[str, int], session: Session) -> None:
    used = {name: value for name, value in books.items() if f":{name}" in statement}

    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(text(statement), used)

    assert queries.balance(books["shop"]) == Balance(balance=900, reserved=200)
    assert queries.verify(books["shop"]) == []


def test_a_new_wallet_can_only_be_empty(personas: Personas, session: Session) -> None:
    with pytest.raises(IntegrityError, match="begins empty"):
        session.execute(text("INSERT INTO wallets (shop_id, balance) VALUES (:id, 5)"), {"id": personas.ours.id})


def test_an_entry_that_a_conflict_drops_moves_no_money(books: dict[str, int], session: Session) -> None:
    session.execute(
        text(f"{_ENTRY} (:shop, 'capture', -1, now(), 'attempt:1', :open) ON CONFLICT DO NOTHING"),
        {"shop": books["shop"], "open": books["open"]},
    )

    assert queries.balance(books["shop"]) == Balance(900, 200)
    assert queries.verify(books["shop"]) == []


def test_an_entry_written_past_the_service_is_counted_all_the_same(books: dict[str, int], session: Session) -> None:
    session.execute(
        text(f"{_ENTRY} (:shop, 'capture', -250, now(), 'by hand', :open)"),
        {"shop": books["shop"], "open": books["open"]},
    )

    assert queries.balance(books["shop"]) == Balance(650, 0)
    assert queries.reservation(books["shop"], books["open"]).amount == 350
    assert queries.verify(books["shop"]) == []


PLANTED = {
    "the wallet says balance 905, the ledger 900": "UPDATE wallets SET balance = 905 WHERE shop_id = :shop",
    "the wallet says reserved 199, the reservations 200": "UPDATE wallets SET reserved = 199 WHERE shop_id = :shop",
    "says captured 99, the ledger 100": "UPDATE reservations SET captured = 99 WHERE id = :open",
    "says balance 1 after it": "UPDATE wallet_entries SET balance_after = 1 WHERE shop_id = :shop AND kind = 'top_up'",
    "dispatch 7 was refunded more than it was charged": (
        "INSERT INTO wallet_entries (shop_id, kind, amount, at, reference, dispatch_id, balance_after)"
        " VALUES (:shop, 'refund', 101, now(), 'x', 7, 1001)"
    ),
    "available is negative": (
        "INSERT INTO wallet_entries (shop_id, kind, amount, at, reference, balance_after)"
        " VALUES (:shop, 'adjustment', -701, now(), 'x', 199)"
    ),
}


@pytest.mark.parametrize(("fault", "statement"), PLANTED.items(), ids=PLANTED.keys())
def test_verify_finds(fault: str, statement: str, books: dict[str, int], session: Session) -> None:
    for table in ("wallets", "reservations", "wallet_entries"):
        session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    session.execute(text(statement), {name: value for name, value in books.items() if f":{name}" in statement})

    assert any(fault in found for found in queries.verify(books["shop"]))


def test_prices_can_be_given_within_the_transaction_that_makes_their_list(personas: Personas) -> None:
    made = service.set_prices(
        personas.ours.id, "Own", {"*": 2, "GR": 1}, valid_from=datetime(2026, 1, 1, tzinfo=UTC), refund_failed=True
    )

    assert isinstance(made, rules.PriceList)
    assert made.prices == {"*": 2, "GR": 1}

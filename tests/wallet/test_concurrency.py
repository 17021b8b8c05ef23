"""Money under real concurrency: threads with connections of their own, commits that others see."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.platform import clock, db
from blossom.wallet import queries, rules, service
from blossom.wallet.errors import InsufficientCredit
from blossom.wallet.rules import Balance, ReservationState
from tests.factories.shops import create_shop
from tests.factories.wallet import create_reservation, create_wallet

DAY = timedelta(days=1)
T = TypeVar("T")


@pytest.fixture
def shop_id(committed_app: Flask) -> Iterator[int]:
    """A shop with 730 credits, committed. Whatever a test did, its books are right in the end."""
    with db.transaction():
        shop_id = create_shop().id
        create_wallet(shop_id, 730)
    yield shop_id
    assert queries.verify(shop_id) == []
    db.session.remove()


def all_at_once(app: Flask, calls: Sequence[Callable[[], T]]) -> list[T | InsufficientCredit]:
    """Run each call in a thread, connection and transaction of its own, all let go at one moment."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | InsufficientCredit:
        with app.app_context():
            start.wait(30)
            try:
                with db.transaction():
                    return call()
            except InsufficientCredit as refused:
                return refused

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def reserve(shop_id: int, amount: int, reference: str) -> rules.Reservation | None:
    return service.reserve(shop_id, amount, reference, clock.now() + DAY)


def test_of_twenty_dispatches_at_once_exactly_the_affordable_ones_get_their_credits(
    committed_app: Flask, shop_id: int
) -> None:
    results = all_at_once(committed_app, [lambda n=n: reserve(shop_id, 100, f"dispatch:{n}") for n in range(20)])

    assert sum(isinstance(result, rules.Reservation) for result in results) == 7
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 13
    assert queries.balance(shop_id) == Balance(balance=730, reserved=700)


def test_one_dispatch_enqueued_twenty_times_at_once_is_reserved_once(committed_app: Flask, shop_id: int) -> None:
    results = all_at_once(committed_app, [lambda: reserve(shop_id, 500, "dispatch:1")] * 20)

    assert len({result.id for result in results if isinstance(result, rules.Reservation)}) == 1
    assert not any(isinstance(result, InsufficientCredit) for result in results)
    assert queries.balance(shop_id) == Balance(730, 500)


def test_one_attempt_recorded_ten_times_at_once_is_spent_once(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        reservation = create_reservation(shop_id, 500)

    results = all_at_once(committed_app, [lambda: service.capture(shop_id, reservation.id, 50, "attempt:1")] * 10)

    assert sorted(result.repeated for result in results if isinstance(result, rules.Posting)) == [False] + [True] * 9
    assert queries.balance(shop_id) == Balance(balance=680, reserved=450)


def test_one_purchase_told_ten_times_at_once_is_topped_up_once(committed_app: Flask, shop_id: int) -> None:
    results = all_at_once(committed_app, [lambda: service.top_up(shop_id, 100, "purchase:1")] * 10)

    assert [result.repeated for result in results if isinstance(result, rules.Posting)].count(False) == 1
    assert queries.balance(shop_id) == Balance(830, 0)


@pytest.mark.parametrize("overdraw", [False, True])
def test_captures_while_the_reservation_is_released_are_paid_or_refused_but_never_both(
    committed_app: Flask, shop_id: int, overdraw: bool
) -> None:
    with db.transaction():
        reservation = create_reservation(shop_id, 200)

    results = all_at_once(
        committed_app,
        [lambda n=n: service.capture(shop_id, reservation.id, 20, f"attempt:{n}", overdraw=overdraw) for n in range(4)]
        + [lambda: service.release(shop_id, reservation.id)]
        + [
            lambda n=n: service.capture(shop_id, reservation.id, 20, f"attempt:{n}", overdraw=overdraw)
            for n in range(4, 8)
        ],
    )

    paid = sum(isinstance(result, rules.Posting) for result in results)
    standing = queries.reservation(shop_id, reservation.id)
    assert standing.state == ReservationState.CLOSED
    assert standing.captured == paid * 20
    assert queries.balance(shop_id) == Balance(730 - paid * 20, 0)
    if overdraw:
        assert paid == 8
    else:
        assert standing.released == 200 - paid * 20


def test_overdraws_at_once_share_what_is_free_and_never_more(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        reservations = [create_reservation(shop_id, 50) for _ in range(8)]  # 330 stay free

    results = all_at_once(
        committed_app,
        [
            lambda n=n, r=r: service.capture(shop_id, r.id, 150, f"attempt:{n}", overdraw=True)
            for n, r in enumerate(reservations)
        ],
    )

    assert sum(isinstance(result, rules.Posting) for result in results) == 3
    assert queries.balance(shop_id) == Balance(balance=730 - 450, reserved=250)


def test_reservations_and_captures_of_one_shop_in_any_order_never_deadlock(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        held = [create_reservation(shop_id, 200).id for _ in range(3)]

    def record(worker: int) -> int:
        """Several movements in one transaction, over all reservations in a random order."""
        dice = random.Random(worker)
        for step, reservation_id in enumerate(dice.sample(held * 5, 15)):
            service.touch(shop_id, reservation_id)
            service.capture(shop_id, reservation_id, 1, f"{worker}:{step}")
            service.refund(shop_id, 1, f"{worker}:{step}")
        reserve(shop_id, 1, f"dispatch:{worker}")
        return worker

    assert all_at_once(committed_app, [lambda n=n: record(n) for n in range(8)]) == list(range(8))
    assert queries.balance(shop_id) == Balance(balance=730, reserved=600 - 8 * 15 + 8)


def test_the_sweeper_passes_a_busy_wallet_by_and_comes_back_for_it(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        due = create_reservation(shop_id, 200, reference="dispatch:1")
        idle_id = create_shop(domain="idle.myshopify.com").id
        create_wallet(idle_id, 100)
        other = create_reservation(idle_id, 50, reference="dispatch:2")
    later = clock.now() + 2 * DAY

    with db.engine().connect() as worker, worker.begin():
        worker.execute(text("SELECT FROM wallets WHERE shop_id = :id FOR NO KEY UPDATE"), {"id": shop_id})
        with db.transaction() as sweeper:
            sweeper.execute(text("SET LOCAL lock_timeout = '2s'"))  # waiting for the worker would fail, not hang
            assert service.expire_due(later) == [(idle_id, other.id, "dispatch:2")]

    with db.transaction():
        assert service.expire_due(later) == [(shop_id, due.id, "dispatch:1")]


def test_two_sweepers_at_once_release_each_reservation_once(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        held = {create_reservation(shop_id, 20).id for _ in range(10)}
    later = clock.now() + 2 * DAY

    results = all_at_once(committed_app, [lambda: service.expire_due(later)] * 4)

    released = [reservation_id for result in results if isinstance(result, list) for _, reservation_id, _ in result]
    assert sorted(released) == sorted(held)
    assert queries.balance(shop_id) == Balance(730, 0)


def test_a_capture_that_was_rolled_back_can_be_made_by_the_next_who_tries(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        reservation = create_reservation(shop_id, 200)

    def die_before_the_commit() -> None:
        with db.transaction():
            service.capture(shop_id, reservation.id, 20, "attempt:1")
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        die_before_the_commit()
    with db.transaction():
        assert not service.capture(shop_id, reservation.id, 20, "attempt:1").repeated

    assert queries.balance(shop_id) == Balance(710, 180)


def test_refused_money_leaves_the_transaction_usable(committed_app: Flask, shop_id: int) -> None:
    with db.transaction():
        with pytest.raises(InsufficientCredit):
            reserve(shop_id, 731, "dispatch:1")
        service.top_up(shop_id, 1, "gift")
        assert reserve(shop_id, 731, "dispatch:1") is not None

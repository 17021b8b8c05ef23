"""Any order of any calls: the wallet against a model of a few lines (Hypothesis)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from blossom.platform import clock
from blossom.wallet import queries, rules, service
from blossom.wallet.errors import InsufficientCredit
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet

DAY = timedelta(days=1)
AMOUNTS = st.integers(0, 120)
FEW = st.integers(0, 5)
"""References and choices from a small pool, so that repeats are common."""

_shops = count(1)
T = TypeVar("T")


@dataclass
class Held:
    amount: int
    expires_at: datetime
    captured: int = 0
    released: int = 0
    open: bool = True

    @property
    def outstanding(self) -> int:
        return self.amount - self.captured - self.released


@dataclass
class Model:
    """What a wallet should do, said as simply as can be."""

    balance: int = 0
    held: dict[int, Held] = field(default_factory=dict)
    posted: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def reserved(self) -> int:
        return sum(held.outstanding for held in self.held.values())

    @property
    def available(self) -> int:
        return self.balance - self.reserved

    def post(self, kind: str, reference: str, amount: int) -> None:
        self.posted[kind, reference] = amount
        self.balance += amount


class Wallet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        number = next(_shops)
        self.shop_id = create_shop(domain=f"shop-{number}.myshopify.com").id
        self.bystander = create_shop(domain=f"bystander-{number}.myshopify.com").id
        service.open_wallet(self.shop_id)
        create_wallet(self.bystander, 77)
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.model = Model()

    def outcome(self, call: Callable[[], T]) -> T | InsufficientCredit:
        with clock.frozen_at(self.now):
            try:
                return call()
            except InsufficientCredit as refused:
                return refused

    def posting(
        self, kind: str, reference: str, amount: int, limit: int, call: Callable[[], rules.Posting]
    ) -> rules.Posting | None:
        """Make the call, and check that it was done, repeated, refused or empty as the model says."""
        result = self.outcome(call)
        if isinstance(result, InsufficientCredit):
            assert (kind, reference) not in self.model.posted
            assert result.available == limit < result.needed == -amount
            return None
        if amount == 0:
            assert result == rules.NOTHING
        elif (kind, reference) in self.model.posted:
            assert result.repeated
            assert result.amount == self.model.posted[kind, reference]
        else:
            assert not result.repeated
            assert result.amount == amount >= -limit
            self.model.post(kind, reference, amount)
            return result
        return None

    @rule(amount=AMOUNTS, number=st.integers(0, 40))
    def top_up(self, amount: int, number: int) -> None:
        reference = f"purchase:{number}"
        self.posting("top_up", reference, amount, 0, lambda: service.top_up(self.shop_id, amount, reference))

    @rule(amount=AMOUNTS, number=FEW)
    def refund(self, amount: int, number: int) -> None:
        reference = f"message:{number}"
        self.posting("refund", reference, amount, 0, lambda: service.refund(self.shop_id, amount, reference))

    @rule(amount=AMOUNTS, number=FEW)
    def reverse_refund(self, amount: int, number: int) -> None:
        reference = f"message:{number}"
        self.posting(
            "reversal",
            reference,
            -amount,
            self.model.available,
            lambda: service.reverse_refund(self.shop_id, amount, reference),
        )

    @rule(amount=st.integers(-120, 120), number=FEW)
    def adjust(self, amount: int, number: int) -> None:
        reference = f"ticket:{number}"
        self.posting(
            "adjustment",
            reference,
            amount,
            self.model.available,
            lambda: service.adjust(self.shop_id, amount, reference, reason="test"),
        )

    @rule(amount=AMOUNTS, days=st.integers(1, 3))
    def reserve(self, amount: int, days: int) -> None:
        expires_at = self.now + days * DAY
        reference = f"dispatch:{len(self.model.held)}"
        made = self.outcome(lambda: service.reserve(self.shop_id, amount, reference, expires_at, idle_limit=DAY))
        if isinstance(made, InsufficientCredit):
            assert made.missing == amount - self.model.available > 0
            return
        if amount == 0:
            assert made is None
            return
        assert made is not None
        assert amount <= self.model.available
        self.model.held[made.id] = Held(amount, expires_at)

    @rule(beyond=st.integers(0, 1))
    def reserve_all_that_is_free_or_one_more(self, beyond: int) -> None:
        self.reserve(self.model.available + beyond, 1)

    def chosen(self, choice: int) -> tuple[int, Held]:
        return list(self.model.held.items())[choice % len(self.model.held)]

    @precondition(lambda self: self.model.held)
    @rule(choice=FEW, amount=AMOUNTS, number=st.integers(0, 20), overdraw=st.booleans())
    def capture(self, choice: int, amount: int, number: int, overdraw: bool) -> None:
        reservation_id, held = self.chosen(choice)
        reference = f"attempt:{number}"
        done = self.posting(
            "capture",
            reference,
            -amount,
            held.outstanding + (self.model.available if overdraw else 0),
            lambda: service.capture(self.shop_id, reservation_id, amount, reference, overdraw=overdraw),
        )
        if done:
            held.amount += max(0, amount - held.outstanding)
            held.captured += amount
            held.expires_at = max(held.expires_at, self.now + DAY)

    @precondition(lambda self: self.model.held)
    @rule(choice=FEW, number=st.integers(0, 40), beyond=st.integers(0, 1), overdraw=st.booleans())
    def capture_all_that_there_is_or_one_more(self, choice: int, number: int, beyond: int, overdraw: bool) -> None:
        _, held = self.chosen(choice)
        limit = held.outstanding + (self.model.available if overdraw else 0)
        self.capture(choice, limit + beyond, number, overdraw)

    @precondition(lambda self: self.model.held)
    @rule(choice=FEW)
    def release(self, choice: int) -> None:
        reservation_id, held = self.chosen(choice)
        assert service.release(self.shop_id, reservation_id) == held.outstanding
        held.released += held.outstanding
        held.open = False

    @precondition(lambda self: self.model.held)
    @rule(choice=FEW)
    def touch(self, choice: int) -> None:
        reservation_id, held = self.chosen(choice)
        with clock.frozen_at(self.now):
            assert service.touch(self.shop_id, reservation_id) == held.open
        if held.open:
            held.expires_at = max(held.expires_at, self.now + DAY)

    @rule(hours=st.integers(1, 30))
    def time_passes_and_the_sweeper_runs(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        due = {key: held for key, held in self.model.held.items() if held.open and held.expires_at <= self.now}
        expired = service.expire_due(self.now)
        assert {reservation_id for shop_id, reservation_id, _ in expired if shop_id == self.shop_id} == set(due)
        for held in due.values():
            held.released += held.outstanding
            held.open = False

    @invariant()
    def the_books_are_right(self) -> None:
        assert queries.verify(self.shop_id) == []
        assert queries.balance(self.shop_id) == rules.Balance(self.model.balance, self.model.reserved)
        assert self.model.available >= 0

    @invariant()
    def each_reservation_is_as_the_model_says(self) -> None:
        for reservation_id, held in self.model.held.items():
            standing = queries.reservation(self.shop_id, reservation_id)
            assert (standing.amount, standing.captured, standing.released) == (
                held.amount,
                held.captured,
                held.released,
            )
            assert (standing.state == rules.ReservationState.OPEN) == held.open

    @invariant()
    def other_shops_notice_nothing(self) -> None:
        assert queries.balance(self.bystander) == rules.Balance(77, 0)


@pytest.mark.timeout(600)  # 6 s when it holds; making a failure small may take minutes
def test_no_order_of_calls_makes_the_books_wrong(app: Flask) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Wallet,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

"""Two transactions on one shop's money, one in the middle of the other: the end is as if they had come one by one.

Each round, one session moves money and keeps its transaction open; another begins while it waits; the first commits or
rolls back; and what the second was told and wrote is what a model of a few lines says, which takes them in turn.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Literal

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from blossom.platform import clock, db
from blossom.wallet import queries, rules, service
from blossom.wallet.errors import InsufficientCredit, ReferenceReused
from tests.factories.shops import create_shop

DAY = timedelta(days=1)
_shops = count(1)

UNKNOWN = "no such reservation"
NOTHING_DONE: tuple[Any, ...] = (UNKNOWN, [], 0)
"""What a call tells that may have locked nothing."""

BY_RESERVATION = ("capture", "overdraw", "release")

Kind = Literal["top_up", "refund", "reverse", "reserve", "capture", "overdraw", "release", "expire"]


@dataclass(frozen=True)
class Deed:
    """One call. `number` names it (few numbers, so that repeats are common), `dispatch` the reservation."""

    kind: Kind
    amount: int
    number: int
    dispatch: int


deeds = st.builds(
    Deed,
    st.sampled_from(Kind.__args__),  # type: ignore[attr-defined]  # of Literal
    st.integers(1, 100),
    st.integers(0, 3),
    st.integers(0, 2),
)


@dataclass(frozen=True)
class Round:
    """`first` in one transaction, `second` in another that begins meanwhile; whether each is committed."""

    first: list[Deed]
    second: Deed
    first_commits: bool
    second_commits: bool


rounds = st.builds(Round, st.lists(deeds, min_size=1, max_size=2), deeds, st.booleans(), st.booleans())


@dataclass
class Held:
    amount: int
    captured: int = 0
    released: int = 0
    open: bool = True

    @property
    def outstanding(self) -> int:
        return self.amount - self.captured - self.released


@dataclass
class Model:
    """What a wallet should do, one call after the other. `apply` tells what the caller is told."""

    balance: int = 0
    held: dict[int, Held] = field(default_factory=dict)
    posted: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def reserved(self) -> int:
        return sum(held.outstanding for held in self.held.values())

    def apply(self, deed: Deed) -> Any:
        free = self.balance - self.reserved
        held = self.held.get(deed.dispatch)
        if deed.kind in ("top_up", "refund"):
            return self._post(deed.kind, deed, deed.amount, limit=0)
        if deed.kind == "reverse":
            return self._post(deed.kind, deed, -deed.amount, limit=free)
        if deed.kind == "reserve":
            return self._reserve(deed, held, free)
        if deed.kind == "expire":
            due = sorted(dispatch for dispatch, held in self.held.items() if held.open)
            for dispatch in due:
                self._close(dispatch)
            return due
        if held is None:
            return UNKNOWN
        if deed.kind == "release":
            released = held.outstanding
            self._close(deed.dispatch)
            return released
        told = self._post(
            "capture", deed, -deed.amount, limit=held.outstanding + (free if deed.kind == "overdraw" else 0)
        )
        if told == -deed.amount:
            held.amount += max(0, deed.amount - held.outstanding)
            held.captured += deed.amount
        return told

    def _post(self, kind: str, deed: Deed, amount: int, limit: int) -> Any:
        if (kind, deed.number) in self.posted:
            return "repeated", self.posted[kind, deed.number]
        if limit + amount < 0:
            return "too little", limit
        self.posted[kind, deed.number] = amount
        self.balance += amount
        return amount

    def _reserve(self, deed: Deed, held: Held | None, free: int) -> Any:
        if held is not None:
            return held.amount if held.amount >= deed.amount else "another amount"
        if deed.amount > free:
            return "too little", free
        self.held[deed.dispatch] = Held(deed.amount)
        return deed.amount

    def _close(self, dispatch: int) -> None:
        held = self.held[dispatch]
        held.released += held.outstanding
        held.open = False


class Undone(Exception):
    """What makes a transaction roll back."""


class Till:
    """A session of its own, in a thread of its own, whose transaction stays open from one call to the next."""

    def __init__(self, app: Flask) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._open = ExitStack()
        self.do(lambda: self._open.enter_context(app.app_context())).result()
        self._transaction: Any = None

    def do(self, work: Callable[[], Any]) -> Future[Any]:
        return self._thread.submit(work)

    def begin(self) -> None:
        def begin() -> None:
            self._transaction = db.transaction()
            self._transaction.__enter__()

        self.do(begin).result()

    def end(self, *, commit: bool) -> None:
        undone = None if commit else Undone()
        transaction, self._transaction = self._transaction, None
        self.do(lambda: transaction.__exit__(undone and Undone, undone, None)).result()

    def abandon(self) -> None:
        """Undo what is open, if anything is."""
        if self._transaction is not None:
            self.end(commit=False)

    def close(self) -> None:
        self.do(self._open.close).result()
        self._thread.shutdown()


@pytest.fixture
def tills(committed_app: Flask) -> Iterator[tuple[Till, Till]]:
    both = Till(committed_app), Till(committed_app)
    yield both
    for till in both:
        till.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 150), play=st.lists(rounds, min_size=1, max_size=8))
def test_whoever_waits_goes_on_from_what_the_first_has_left(
    tills: tuple[Till, Till], start: int, play: list[Round]
) -> None:
    first, second = tills
    shop_id = open_shop(start)
    model = Model(balance=start)
    for each in play:
        try:
            model = play_round(shop_id, model, each, first, second)
        finally:  # the first holds what the second waits for
            first.abandon()
            second.abandon()
        with db.transaction():
            assert queries.verify(shop_id) == []
            assert queries.balance(shop_id) == rules.Balance(model.balance, model.reserved)
            assert {dispatch: standing(shop_id, dispatch) for dispatch in model.held} == model.held


def play_round(shop_id: int, before: Model, each: Round, first: Till, second: Till) -> Model:
    """What is left when both have ended, by the model; what they were told is checked on the way."""
    after_first = copy.deepcopy(before)
    first.begin()
    told = []
    for deed in each.first:
        told.append(first.do(partial(do, shop_id, deed)).result())
        assert told[-1] == after_first.apply(deed)
    locked = any(answer not in NOTHING_DONE for answer in told)
    second.begin()
    waiting = second.do(partial(do, shop_id, each.second))
    if locked and waits(each.second, before):
        until_blocked(waiting)
    else:
        waiting.result(timeout=10)
    first.end(commit=each.first_commits)
    model = after_first if each.first_commits else before
    if each.second.kind in BY_RESERVATION and each.second.dispatch not in before.held:
        assert waiting.result() == UNKNOWN, "one that is not committed yet is not there yet"
    elif each.second.kind != "expire" or not locked:
        after_second = copy.deepcopy(model)
        assert waiting.result() == after_second.apply(each.second)
        model = after_second if each.second_commits else model
    else:
        assert waiting.result() == [], "the sweeper passes a busy wallet by"
    second.end(commit=each.second_commits)
    return model


def waits(deed: Deed, before: Model) -> bool:
    """Whether the call must wait for a wallet that is busy: the sweeper never does, nor what has nothing to do."""
    if deed.kind in BY_RESERVATION and deed.dispatch not in before.held:
        return False
    return deed.kind != "expire" and (deed.kind != "release" or before.held[deed.dispatch].open)


def do(shop_id: int, deed: Deed) -> Any:
    """The call, and what it told, in the model's words."""
    try:
        if deed.kind == "top_up":
            return said(service.top_up(shop_id, deed.amount, f"purchase:{deed.number}"))
        if deed.kind == "refund":
            return said(service.refund(shop_id, deed.amount, f"message:{deed.number}"))
        if deed.kind == "reverse":
            return said(service.reverse_refund(shop_id, deed.amount, f"message:{deed.number}"))
        if deed.kind == "reserve":
            made = service.reserve(shop_id, deed.amount, f"dispatch:{deed.dispatch}", clock.now() + DAY)
            assert made is not None
            return made.amount
        if deed.kind == "expire":
            expired = service.expire_due(clock.now() + 2 * DAY)
            return sorted(int(reference.removeprefix("dispatch:")) for of, _, reference in expired if of == shop_id)
        reservation = queries.reservation_by_reference(shop_id, f"dispatch:{deed.dispatch}")
        if reservation is None:
            return UNKNOWN
        if deed.kind == "release":
            return service.release(shop_id, reservation.id)
        return said(
            service.capture(
                shop_id, reservation.id, deed.amount, f"attempt:{deed.number}", overdraw=deed.kind == "overdraw"
            )
        )
    except InsufficientCredit as refused:
        return "too little", refused.available
    except ReferenceReused:
        return "another amount"


def said(posting: rules.Posting) -> Any:
    return ("repeated", posting.amount) if posting.repeated else posting.amount


def until_blocked(waiting: Future[Any]) -> None:
    """Return when the call waits for the other's lock; fail if it did not wait."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 30
    while not waiting.done():
        with db.engine().connect() as connection:
            if connection.execute(query).scalar_one():
                return
        assert time.monotonic() < deadline
    raise AssertionError(f"it did not wait, and was told {waiting.result()}")


def open_shop(credits: int) -> int:
    with db.transaction():
        shop_id = create_shop(domain=f"tills-{next(_shops)}.myshopify.com").id
        service.open_wallet(shop_id)
        if credits:
            service.top_up(shop_id, credits, "opening")
    return shop_id


def standing(shop_id: int, dispatch: int) -> Held:
    """A reservation of the table, in the model's words."""
    found = queries.reservation_by_reference(shop_id, f"dispatch:{dispatch}")
    assert found is not None
    return Held(found.amount, found.captured, found.released, found.state == rules.ReservationState.OPEN)

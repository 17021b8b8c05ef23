"""Credits topped up, held, spent and given back, on one connection."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.platform import clock
from blossom.platform.errors import InvalidInput, NotFound
from blossom.wallet import queries, rules, service
from blossom.wallet.errors import InsufficientCredit, ReferenceReused
from blossom.wallet.rules import Balance, ReservationState
from tests.factories.wallet import create_reservation, create_wallet
from tests.personas import Personas

DAY = timedelta(days=1)


@pytest.fixture
def shop_id(personas: Personas) -> int:
    """A shop with 1,000 credits."""
    create_wallet(personas.ours.id, 1000)
    return personas.ours.id


def test_a_wallet_begins_empty_and_is_opened_once(personas: Personas) -> None:
    service.open_wallet(personas.ours.id)
    service.open_wallet(personas.ours.id)

    assert queries.balance(personas.ours.id) == Balance(0, 0)


def test_a_shop_without_a_wallet_has_no_credits_to_speak_of(personas: Personas) -> None:
    with pytest.raises(NotFound):
        queries.balance(personas.ours.id)
    with pytest.raises(NotFound):
        service.top_up(personas.ours.id, 5, "gift")


def test_a_top_up_is_counted_once_however_often_it_is_told(shop_id: int) -> None:
    first = service.top_up(shop_id, 500, "purchase:1")
    again = service.top_up(shop_id, 500, "purchase:1")

    assert (first.repeated, again.repeated) == (False, True)
    assert again.entry_id == first.entry_id
    assert queries.balance(shop_id) == Balance(1500, 0)


def test_the_same_reference_means_something_else_for_another_kind_or_shop(shop_id: int, personas: Personas) -> None:
    create_wallet(personas.theirs.id, 0)

    assert not service.top_up(shop_id, 5, "x").repeated
    assert not service.refund(shop_id, 5, "x").repeated
    assert not service.top_up(personas.theirs.id, 5, "x").repeated


def test_a_reservation_holds_credits_without_spending_them(shop_id: int) -> None:
    reservation = service.reserve(shop_id, 300, "dispatch:1", clock.now() + DAY)

    assert reservation is not None
    assert reservation == queries.reservation(shop_id, reservation.id)
    assert reservation.outstanding == 300
    assert queries.balance(shop_id) == Balance(balance=1000, reserved=300)


def test_a_reservation_of_more_than_is_free_is_refused_and_says_how_much_is_missing(shop_id: int) -> None:
    create_reservation(shop_id, 600)

    with pytest.raises(InsufficientCredit) as refused:
        service.reserve(shop_id, 450, "dispatch:2", clock.now() + DAY)

    assert refused.value.details == {"needed": 450, "available": 400, "missing": 50}
    assert queries.reservation_by_reference(shop_id, "dispatch:2") is None
    assert queries.balance(shop_id) == Balance(1000, 600)


def test_the_last_credit_can_be_reserved(shop_id: int) -> None:
    create_reservation(shop_id, 1000)

    assert queries.balance(shop_id).available == 0


def test_reserving_again_under_a_reference_gives_the_reservation_that_stands(shop_id: int) -> None:
    first = create_reservation(shop_id, 300, reference="dispatch:1")
    service.capture(shop_id, first.id, 100, "attempt:1")

    again = service.reserve(shop_id, 300, "dispatch:1", clock.now() + DAY)

    assert again is not None
    assert (again.id, again.captured) == (first.id, 100)
    assert queries.balance(shop_id) == Balance(900, 200)


def test_reserving_more_under_a_known_reference_is_an_error_and_not_a_smaller_reservation(shop_id: int) -> None:
    create_reservation(shop_id, 300, reference="dispatch:1")

    with pytest.raises(ReferenceReused) as refused:
        service.reserve(shop_id, 301, "dispatch:1", clock.now() + DAY)

    assert refused.value.details == {"reference": "dispatch:1", "reserved": 300, "asked": 301}


def test_a_capture_spends_what_was_held(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)

    posting = service.capture(shop_id, reservation.id, 120, "attempt:1", dispatch_id=7, details={"texts": 24})

    assert (posting.amount, posting.credits, posting.repeated) == (-120, 120, False)
    assert queries.balance(shop_id) == Balance(balance=880, reserved=180)
    [entry, _] = queries.entries(shop_id)
    assert (entry.id, entry.kind, entry.balance_after) == (posting.entry_id, rules.EntryKind.CAPTURE, 880)
    assert (entry.reservation_id, entry.dispatch_id, entry.details) == (reservation.id, 7, {"texts": 24})


def test_a_capture_told_twice_is_spent_once_and_says_so(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    first = service.capture(shop_id, reservation.id, 300, "attempt:1")

    again = service.capture(shop_id, reservation.id, 250, "attempt:1")

    assert again == rules.Posting(first.entry_id, -300, repeated=True)
    assert queries.balance(shop_id) == Balance(700, 0)


def test_a_capture_told_again_after_the_reservation_closed_is_known_still(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    service.capture(shop_id, reservation.id, 100, "attempt:1")
    service.release(shop_id, reservation.id)

    assert service.capture(shop_id, reservation.id, 100, "attempt:1").repeated


def test_a_capture_of_more_than_is_held_is_refused_unless_it_may_overdraw(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)

    with pytest.raises(InsufficientCredit) as refused:
        service.capture(shop_id, reservation.id, 301, "attempt:1")

    assert refused.value.details == {"needed": 301, "available": 300, "missing": 1}
    assert queries.balance(shop_id) == Balance(1000, 300)


def test_an_overdraw_takes_the_rest_from_the_free_credits_and_enlarges_the_reservation(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)

    service.capture(shop_id, reservation.id, 450, "attempt:1", overdraw=True)

    standing = queries.reservation(shop_id, reservation.id)
    assert (standing.amount, standing.captured, standing.outstanding) == (450, 450, 0)
    assert queries.balance(shop_id) == Balance(550, 0)


def test_an_overdraw_beyond_the_free_credits_is_refused_and_says_what_could_be_captured(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    create_reservation(shop_id, 600)

    with pytest.raises(InsufficientCredit) as refused:
        service.capture(shop_id, reservation.id, 401, "attempt:1", overdraw=True)

    assert refused.value.available == 400
    assert service.capture(shop_id, reservation.id, 400, "attempt:1", overdraw=True).credits == 400
    assert queries.balance(shop_id) == Balance(600, 600)


def test_what_left_before_the_reservation_expired_can_be_captured_late_by_an_overdraw(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    service.expire_due(clock.now() + 2 * DAY)

    with pytest.raises(InsufficientCredit):
        service.capture(shop_id, reservation.id, 100, "attempt:1")
    service.capture(shop_id, reservation.id, 100, "attempt:1", overdraw=True)

    standing = queries.reservation(shop_id, reservation.id)
    assert (standing.state, standing.captured, standing.released) == (ReservationState.CLOSED, 100, 300)
    assert queries.balance(shop_id) == Balance(900, 0)
    assert queries.verify(shop_id) == []


def test_a_release_frees_the_rest_once(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    service.capture(shop_id, reservation.id, 100, "attempt:1")

    assert service.release(shop_id, reservation.id) == 200
    assert service.release(shop_id, reservation.id) == 0

    closed = queries.reservation(shop_id, reservation.id)
    assert (closed.state, closed.captured, closed.released) == (ReservationState.CLOSED, 100, 200)
    assert closed.closed_at is not None
    assert queries.balance(shop_id) == Balance(900, 0)


def test_a_refund_gives_back_once_and_a_late_delivery_takes_it_again_once(shop_id: int) -> None:
    for _ in range(2):
        service.refund(shop_id, 5, "message:1", dispatch_id=7)
    assert queries.balance(shop_id) == Balance(1005, 0)

    for _ in range(2):
        service.reverse_refund(shop_id, 5, "message:1", dispatch_id=7)
    assert queries.balance(shop_id) == Balance(1000, 0)


def test_a_refund_is_taken_back_from_free_credits_only(shop_id: int) -> None:
    service.refund(shop_id, 5, "message:1")
    create_reservation(shop_id, 1003)

    with pytest.raises(InsufficientCredit) as refused:
        service.reverse_refund(shop_id, 5, "message:1")

    assert refused.value.details == {"needed": 5, "available": 2, "missing": 3}


def test_an_operator_corrects_in_both_directions_but_not_below_what_is_free(shop_id: int) -> None:
    service.adjust(shop_id, 10, "ticket:1", reason="goodwill")
    service.adjust(shop_id, -60, "ticket:2", reason="booked twice")

    assert queries.balance(shop_id) == Balance(950, 0)
    assert queries.entries(shop_id)[0].details == {"reason": "booked twice"}
    with pytest.raises(InsufficientCredit):
        service.adjust(shop_id, -951, "ticket:3", reason="too much")


def test_calls_for_no_credits_write_nothing(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)
    before = queries.entries(shop_id)

    assert service.reserve(shop_id, 0, "dispatch:0", clock.now() + DAY) is None
    assert service.capture(shop_id, reservation.id, 0, "attempt:0") == rules.NOTHING
    assert service.top_up(shop_id, 0, "a") == rules.NOTHING
    assert service.refund(shop_id, 0, "a") == rules.NOTHING
    assert service.reverse_refund(shop_id, 0, "a") == rules.NOTHING
    assert service.adjust(shop_id, 0, "a", reason="none") == rules.NOTHING
    assert queries.entries(shop_id) == before


def test_a_negative_amount_is_the_callers_mistake(shop_id: int) -> None:
    reservation = create_reservation(shop_id, 300)

    for call in (
        lambda: service.top_up(shop_id, -1, "a"),
        lambda: service.reserve(shop_id, -1, "a", clock.now() + DAY),
        lambda: service.capture(shop_id, reservation.id, -1, "a"),
        lambda: service.refund(shop_id, -1, "a"),
        lambda: service.reverse_refund(shop_id, -1, "a"),
    ):
        with pytest.raises(ValueError, match="not -1"):
            call()


def test_the_ledger_is_read_newest_first_and_page_by_page(shop_id: int) -> None:
    for number in range(5):
        service.top_up(shop_id, 1, f"gift {number}")

    first = queries.entries(shop_id, limit=4)
    rest = queries.entries(shop_id, before_id=first[-1].id, limit=4)

    assert [entry.balance_after for entry in [*first, *rest]] == [1005, 1004, 1003, 1002, 1001, 1000]


class TestExpiry:
    NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def test_an_unused_reservation_is_released_when_its_time_is_over(self, shop_id: int) -> None:
        with clock.frozen_at(self.NOW):
            due = create_reservation(shop_id, 300, reference="dispatch:1", expires_at=self.NOW + DAY)
            create_reservation(shop_id, 200, reference="dispatch:2", expires_at=self.NOW + 2 * DAY)

        assert service.expire_due(self.NOW + DAY - timedelta(seconds=1)) == []
        assert service.expire_due(self.NOW + DAY) == [(shop_id, due.id, "dispatch:1")]
        assert service.expire_due(self.NOW + DAY) == []
        assert queries.balance(shop_id) == Balance(1000, 200)

    def test_what_was_captured_stays_captured(self, shop_id: int) -> None:
        with clock.frozen_at(self.NOW):
            due = create_reservation(shop_id, 300, expires_at=self.NOW + DAY)
            service.capture(shop_id, due.id, 100, "attempt:1")

        service.expire_due(self.NOW + DAY)

        assert queries.balance(shop_id) == Balance(900, 0)
        assert queries.reservation(shop_id, due.id).released == 200

    @pytest.mark.parametrize("use", ["capture", "touch"])
    def test_each_use_lets_it_last_its_idle_limit_longer(self, shop_id: int, use: str) -> None:
        with clock.frozen_at(self.NOW):
            reservation = create_reservation(shop_id, 300, expires_at=self.NOW + DAY)

        later = self.NOW + timedelta(hours=20)
        with clock.frozen_at(later):
            if use == "capture":
                service.capture(shop_id, reservation.id, 100, "attempt:1")
            else:
                assert service.touch(shop_id, reservation.id)

        standing = queries.reservation(shop_id, reservation.id)
        assert (standing.last_used_at, standing.expires_at) == (later, later + DAY)

    def test_a_dispatch_planned_for_next_week_is_held_till_then_and_not_a_week_past_its_last_text(
        self, shop_id: int
    ) -> None:
        with clock.frozen_at(self.NOW):
            reservation = create_reservation(shop_id, 300, expires_at=self.NOW + 7 * DAY, idle_limit=DAY)
        with clock.frozen_at(self.NOW + 6 * DAY + timedelta(hours=12)):
            service.touch(shop_id, reservation.id)

        assert queries.reservation(shop_id, reservation.id).expires_at == self.NOW + 7 * DAY + timedelta(hours=12)

    def test_the_end_can_be_put_off_but_not_brought_forward(self, shop_id: int) -> None:
        reservation = create_reservation(shop_id, 300, expires_at=self.NOW + DAY)

        service.extend_expiry(shop_id, reservation.id, self.NOW + 3 * DAY)
        service.extend_expiry(shop_id, reservation.id, self.NOW)

        assert queries.reservation(shop_id, reservation.id).expires_at == self.NOW + 3 * DAY

    def test_a_closed_reservation_is_not_prolonged(self, shop_id: int) -> None:
        reservation = create_reservation(shop_id, 300)
        service.release(shop_id, reservation.id)

        assert not service.touch(shop_id, reservation.id)
        assert not service.extend_expiry(shop_id, reservation.id, clock.now() + 9 * DAY)


def test_no_call_reaches_the_reservation_of_another_shop(shop_id: int, personas: Personas) -> None:
    create_wallet(personas.theirs.id, 1000)
    theirs = create_reservation(personas.theirs.id, 300)

    for call in (
        lambda: service.capture(shop_id, theirs.id, 10, "attempt:1"),
        lambda: service.capture(shop_id, theirs.id, 10, "attempt:1", overdraw=True),
        lambda: service.release(shop_id, theirs.id),
        lambda: service.touch(shop_id, theirs.id),
        lambda: service.extend_expiry(shop_id, theirs.id, clock.now() + 9 * DAY),
        lambda: queries.reservation(shop_id, theirs.id),
    ):
        with pytest.raises(NotFound):
            call()
    assert queries.reservation(personas.theirs.id, theirs.id) == theirs


class TestPrices:
    NOW = datetime(2026, 11, 20, tzinfo=UTC)

    def test_every_shop_has_the_installations_prices_at_every_moment(self, shop_id: int) -> None:
        seeded = queries.price_list_at(shop_id, self.NOW)

        assert seeded.shop_id is None
        assert seeded.refund_failed
        assert seeded.credits("GR", 2) == 2 * seeded.prices["GR"]
        assert queries.price_list_at(shop_id, datetime(2001, 1, 1, tzinfo=UTC)).id == seeded.id

    def test_a_shops_own_prices_go_before_the_installations_from_their_day_on(
        self, shop_id: int, personas: Personas
    ) -> None:
        own = service.set_prices(shop_id, "Agreed", {"*": 3}, valid_from=self.NOW, refund_failed=False)

        assert queries.price_list_at(shop_id, self.NOW) == own
        assert queries.price_list_at(shop_id, self.NOW - timedelta(microseconds=1)).shop_id is None
        assert queries.price_list_at(personas.theirs.id, self.NOW).shop_id is None

    def test_a_new_list_ends_the_old_one_and_a_pinned_one_still_says_the_old_figures(self, shop_id: int) -> None:
        old = service.set_prices(shop_id, "2026", {"*": 3}, valid_from=self.NOW, refund_failed=False)
        new = service.set_prices(shop_id, "2027", {"*": 4}, valid_from=self.NOW + DAY, refund_failed=False)

        assert queries.price_list_at(shop_id, self.NOW + DAY - timedelta(seconds=1)) == old
        assert queries.price_list_at(shop_id, self.NOW + DAY) == new
        queries.forget_price_lists()
        assert queries.price_list(old.id).credits("GR", 1) == 3

    def test_a_list_is_read_once_a_minute_in_each_process(self, shop_id: int, session: Session) -> None:
        pinned = queries.price_list_at(shop_id, self.NOW)
        session.execute(text("ALTER TABLE price_lists RENAME TO price_lists_away"))

        assert queries.price_list(pinned.id) == pinned

    def test_lists_that_other_threads_remember_meanwhile_do_no_harm(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pinned = queries.price_list_at(shop_id, self.NOW)
        queries.forget_price_lists()
        monotonic, numbers = time.monotonic, count(-1, -1)

        def other_thread_gets_its_turn() -> float:
            queries._price_lists[next(numbers)] = (monotonic() + 60, pinned)
            return monotonic()

        queries._price_lists |= {-1000: (0.0, pinned), -1001: (0.0, pinned)}
        with monkeypatch.context() as turns:
            turns.setattr(time, "monotonic", other_thread_gets_its_turn)
            assert queries.price_list(pinned.id) == pinned
        assert {-1000, -1001} & set(queries._price_lists) == set(), "the stale ones are gone"
        queries.forget_price_lists()

    @pytest.mark.parametrize(
        ("prices", "days_later", "field"), [({"GR": 1}, 1, "*"), ({"*": 0}, 1, "*"), ({"*": 1}, 0, "valid_from")]
    )
    def test_a_list_that_cannot_be_used_says_why(
        self, shop_id: int, prices: dict[str, int], days_later: int, field: str
    ) -> None:
        service.set_prices(shop_id, "2026", {"*": 3}, valid_from=self.NOW, refund_failed=False)

        with pytest.raises(InvalidInput) as refused:
            service.set_prices(shop_id, "2027", prices, valid_from=self.NOW + days_later * DAY, refund_failed=False)

        assert set(refused.value.details["fields"]) == {field}

    def test_an_unknown_list_is_not_found(self, shop_id: int) -> None:
        with pytest.raises(NotFound):
            queries.price_list(999_999)

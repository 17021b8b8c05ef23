"""What a call must not do: be too large, begin after a cancel, come at night, be unpaid, or stop the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from blossom.contacts.models import Contact
from blossom.messaging import queries, service
from blossom.messaging.models import Batch, Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.mitto.errors import SendError
from blossom.platform import clock, config, crypto, db
from blossom.wallet import queries as money
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit
from tests.factories.consent import create_subscriber, create_subscribers, opt_in
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import _after_the_lease, subscribers


def test_texts_too_long_for_one_call_go_in_several(outbox: Outbox) -> None:
    config.use(replace(config.current(), mitto_batch_size=500))
    with db.transaction():
        create_subscribers(outbox.shop, 400)
    dispatch = outbox.start(source="ΚΑΛΗΜΕΡΑ " * 160 + " STOP")
    outbox.run()
    assert outbox.progress(dispatch).sent == 400
    assert outbox.mitto.counters()["send_calls"] == 2
    outbox.check_books(dispatch)


def test_a_broken_dispatch_fails_alone(outbox: Outbox) -> None:
    subscribers(outbox, 60)
    broken = outbox.start()
    with db.transaction() as session:
        session.execute(update(Dispatch).where(Dispatch.id == broken.id).values(source="{% nonsense %}"))
        other = create_shop(domain="other.myshopify.com", sender="Other")
        create_wallet(other.id)
        create_subscriber(other)
    sound = outbox.start(shop_id=other.id, sender="Other")
    outbox.run()
    with db.transaction():
        while service.close_messages(broken.shop_id, broken.id):
            pass
    assert outbox.progress(sound).sent == 1
    progress = outbox.progress(broken)
    assert (progress.state, progress.failure_code, progress.sent) == (DispatchState.FAILED, "unsendable", 0)
    outbox.check_books(broken)


def test_one_value_that_does_not_open_costs_one_text_only(outbox: Outbox) -> None:
    with db.transaction() as session:
        damaged = create_subscriber(outbox.shop)
        create_subscriber(outbox.shop)
        session.execute(update(Contact).where(Contact.id == damaged.id).values(first_name_sealed=b"\x01" + bytes(40)))
    dispatch = outbox.start()
    outbox.run()
    assert outbox.progress(dispatch).sent == 1
    with db.transaction():
        assert queries.skipped_by_reason(outbox.shop.id, dispatch.id) == {"unreadable": 1}


@pytest.mark.parametrize("deed", [service.cancel_dispatch, service.pause_dispatch])
def test_no_further_try_begins_after_a_cancel_or_a_pause(outbox: Outbox, deed: object) -> None:
    subscribers(outbox, 3)
    outbox.mitto.configure(faults=[{"kind": "429", "retry_after": 1, "next": 1}])
    dispatch = outbox.start()

    def meanwhile(seconds: float) -> bool:
        if seconds:
            with db.transaction():
                deed(outbox.shop.id, dispatch.id)  # type: ignore[operator]
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane.stopping, "wait", meanwhile)
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 0
    assert outbox.progress(dispatch).sent == 0


def test_a_long_retry_after_sends_the_batch_back_instead_of_holding_it(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    outbox.mitto.configure(faults=[{"kind": "429", "retry_after": 60, "next": 1}])
    moment = clock.now()
    with clock.frozen_at(moment):
        dispatch = outbox.start()
        outbox.run()
    with db.transaction() as session:
        batch = session.get_one(Batch, (dispatch.id, 0))
    assert batch.state == "pending"
    assert batch.due_at >= moment + timedelta(seconds=60)


def test_a_call_that_could_reach_into_the_night_is_not_begun(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(quiet_hours_on=True)
        create_subscriber(outbox.shop, zone="UTC")
    closing = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)
    almost = closing - timedelta(seconds=0.5)  # a call may last one second here
    with clock.frozen_at(almost):
        dispatch = outbox.start()
        outbox.run()
    assert outbox.mitto.summary()["texts"] == 0
    with clock.frozen_at(closing):
        outbox.run()
        assert outbox.progress(dispatch).next_due_at == datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
    assert outbox.mitto.summary()["texts"] == 0
    with clock.frozen_at(datetime(2026, 3, 11, 9, 0, tzinfo=UTC)):
        outbox.run()
    assert outbox.progress(dispatch).sent == 1
    outbox.check_books(dispatch)


def expire_reservations(outbox: Outbox) -> None:
    with db.transaction():
        assert wallet.expire_due(clock.now() + timedelta(hours=config.current().reservation_hours + 1))
        assert money.balance(outbox.shop.id).reserved == 0


def test_after_a_long_pause_what_is_left_is_reserved_anew(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    with db.transaction():
        cost = money.balance(outbox.shop.id).reserved
        service.pause_dispatch(outbox.shop.id, dispatch.id)
    expire_reservations(outbox)
    with db.transaction():
        service.resume_dispatch(outbox.shop.id, dispatch.id)
        assert money.balance(outbox.shop.id).reserved == cost
    outbox.run()
    assert outbox.progress(dispatch).sent == 3
    assert outbox.spent() == cost
    outbox.check_books(dispatch)


def test_without_credits_a_long_pause_goes_on(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    with db.transaction():
        service.pause_dispatch(outbox.shop.id, dispatch.id)
    expire_reservations(outbox)
    with db.transaction():
        wallet.adjust(outbox.shop.id, -money.balance(outbox.shop.id).available, reference="test", reason="spent")
    with pytest.raises(InsufficientCredit), db.transaction():
        service.resume_dispatch(outbox.shop.id, dispatch.id)
    outbox.run()
    assert outbox.progress(dispatch).state is DispatchState.PAUSED
    assert outbox.mitto.summary()["texts"] == 0


def test_credits_for_a_call_beyond_its_reservation_are_nobody_elses(outbox: Outbox) -> None:
    """The reservation ended while the campaign went on; another campaign wants the same credits during the call."""
    subscribers(outbox, 2)
    dispatch = outbox.start()
    expire_reservations(outbox)
    real = service.provider.sender().send_bulk
    refused: list[InsufficientCredit] = []

    def somebody_else_first(*args: object) -> object:
        with db.transaction():
            free = money.balance(outbox.shop.id).available
            wallet.reserve(outbox.shop.id, free, "greedy", clock.now() + timedelta(hours=1))
            try:
                wallet.reserve(outbox.shop.id, 1, "greedier", clock.now() + timedelta(hours=1))
            except InsufficientCredit as error:
                refused.append(error)
        return real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.sender(), "send_bulk", somebody_else_first)
        outbox.run()
    assert len(refused) == 1
    assert outbox.progress(dispatch).sent == 2
    with db.transaction():
        assert outbox_spent(outbox) == sum(row.credits for row in queries.recipients(outbox.shop.id, dispatch.id)) > 0
        assert money.verify(outbox.shop.id) == []


def outbox_spent(outbox: Outbox) -> int:
    return -sum(entry.amount for entry in money.entries(outbox.shop.id, limit=100) if entry.kind == "capture")


def test_nobody_gets_the_name_of_whoever_had_their_number(outbox: Outbox) -> None:
    with db.transaction():
        ann = create_subscriber(outbox.shop, phone="+306971112250", first_name="Ann")
    dispatch = outbox.start()
    with db.transaction() as session:
        contact = session.get_one(Contact, ann.id)
        contact.phone = "+306971112251"
        contact.phone_hash = crypto.for_shop(outbox.shop.id).lookup("+306971112251")
        opt_in(contact)
    outbox.run()
    assert [text["text"] for text in outbox.mitto.log()] == ["Hi there, 20% off until Sunday. Reply STOP to opt out"]
    assert outbox.progress(dispatch).sent == 1


def test_a_late_word_that_nothing_was_taken_frees_the_credits(outbox: Outbox) -> None:
    """The sweeper took the worker for dead and charged; then its answer is 429."""
    subscribers(outbox, 3)
    dispatch = outbox.start()

    def slow_then_refused(*args: object) -> object:
        _after_the_lease()
        raise SendError("rate_limited", retry_after=60.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.sender(), "send_bulk", slow_then_refused)
        outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.unconfirmed, progress.failed) == (0, 3)
    assert outbox.spent() == 0
    with db.transaction():
        service.finish_if_done(dispatch.shop_id, dispatch.id)
        assert service.retry_failed(outbox.shop.id, dispatch.id).retried == 3
    outbox.run()
    assert outbox.progress(dispatch).sent == 3
    outbox.check_books(dispatch)


def test_somebody_who_comes_while_the_audience_is_fixed_is_not_lost(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop, zone="Europe/Athens")
        create_subscriber(outbox.shop, zone="Asia/Tokyo")
    real = service.snapshot._due_moments

    def then_somebody_new(*args: object) -> object:
        due = real(*args)  # type: ignore[arg-type]
        create_subscriber(outbox.shop, zone="America/New_York")
        return due

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.snapshot, "_due_moments", then_somebody_new)
        local = datetime(2026, 12, 1, 12, 0)  # noqa: DTZ001 -- on each recipient's clocks
        dispatch = outbox.start(local_at=local)
    assert outbox.progress(dispatch).total == 3


def test_the_wallet_is_not_held_while_rows_are_written(outbox: Outbox) -> None:
    subscribers(outbox, 2)
    locked_early = []
    real = service.snapshot._insert_messages

    def look(*args: Any, **options: Any) -> int:
        locked_early.append(
            db.session.execute(text("SELECT count(*) FROM reservations WHERE state = 'open'")).scalar_one()
        )
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.snapshot, "_insert_messages", look)
        outbox.start()
    assert locked_early == [0]

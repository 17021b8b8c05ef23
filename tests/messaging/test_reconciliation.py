"""What a crash, a lost job or an absent provider leaves behind is found and set right, once, however many look."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from flask import Flask
from sqlalchemy import text, update

from blossom.messaging import service
from blossom.messaging.models import Attempt, Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming, reconciliation
from blossom.mitto import payloads
from blossom.platform import clock, config, db, queue
from blossom.segments.rules import Audience
from blossom.wallet import queries as wallet
from tests.factories.consent import create_subscriber
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers


def after_the_lease() -> datetime:
    return clock.now() + timedelta(seconds=config.current().attempt_lease_seconds + 1)


def waiting(name: str) -> int:
    return queue.rq_queue(name).count


def change(statement: str, **values: object) -> None:
    with db.transaction() as session:
        session.execute(text(statement), values)


def claim() -> claiming.Claim:
    """A batch in the hands of a worker of which nothing more is heard."""
    with db.transaction():
        found = claiming.claim_batch("lost", clock.now())
    assert found is not None
    return found


class Lost(BaseException):
    """A worker dies here."""


def die(*args: object, **kwargs: object) -> None:
    raise Lost


# --- the sweep ------------------------------------------------------------------------------------------------------


def test_with_nothing_amiss_the_sweep_finds_nothing(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    outbox.start()
    outbox.run()
    assert service.sweep() == {"lost": 0, "unprepared": 0, "orphans": 0, "unsettled": 0}
    assert set(service.reconcile().values()) == {0}


def test_a_dispatch_whose_job_was_lost_is_prepared(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    with db.transaction():
        dispatch = service.start_dispatch(
            service.DispatchPlan(outbox.shop.id, Audience(everybody=True), "Hello", "Ours")
        )
    queue.connection().flushdb()
    assert service.sweep()["unprepared"] == 0, "its job may still be on its way"
    assert service.sweep(clock.now() + timedelta(seconds=11))["unprepared"] == 1
    assert waiting("prepare") == 1
    assert outbox.progress(dispatch).state is DispatchState.PREPARING


def test_work_that_is_due_and_that_no_job_tells_of_wakes_a_lane(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    outbox.start()
    queue.connection().flushdb()
    service.sweep()
    assert waiting("send") == 1


@pytest.mark.parametrize("why", ["not due yet", "paused"])
def test_work_that_may_not_go_wakes_nobody(outbox: Outbox, why: str) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start(not_before=clock.now() + timedelta(hours=1) if why == "not due yet" else None)
    if why == "paused":
        with db.transaction():
            service.pause_dispatch(outbox.shop.id, dispatch.id)
    queue.connection().flushdb()
    service.sweep()
    assert waiting("send") == 0


def test_stored_receipts_that_no_job_tells_of_wake_an_applier(outbox: Outbox) -> None:
    with db.transaction():
        service.store_receipts([payloads.Receipt("unknown", "Delivered")])
    queue.connection().flushdb()
    service.sweep()
    assert waiting("receipts") == 1


def test_a_lost_worker_before_its_call_is_noticed_after_its_lease_and_not_before(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    claim()
    assert service.sweep(clock.now() + timedelta(seconds=config.current().attempt_lease_seconds - 1))["lost"] == 0
    assert outbox.progress(dispatch).sending == 3
    assert service.sweep(after_the_lease())["lost"] == 1
    assert outbox.progress(dispatch).pending == 3
    assert service.sweep(after_the_lease())["lost"] == 0


def test_a_lost_worker_in_its_call_leaves_its_texts_unconfirmed_and_paid_for(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.provider.MittoClient, "send_bulk", die)
        with pytest.raises(Lost):
            outbox.run()
    assert service.sweep(after_the_lease())["lost"] == 1
    progress = outbox.progress(dispatch)
    assert (progress.unconfirmed, progress.state) == (3, DispatchState.COMPLETED)
    assert outbox.spent() > 0
    outbox.check_books(dispatch)


def test_a_row_that_cannot_be_settled_keeps_no_other_from_it(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    subscribers(outbox, 3)
    broken = outbox.start()
    claim()
    change("UPDATE attempts SET state = 'calling', manifest = 'cut'")
    sound = outbox.start()
    claim()
    assert service.sweep(after_the_lease())["lost"] == 1
    assert (outbox.progress(broken).sending, outbox.progress(sound).pending) == (3, 3)
    assert "reconciliation.failed" in caplog.text


def test_a_dispatch_that_ended_while_its_worker_was_lost_is_closed(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    claim()
    with db.transaction():
        assert service.cancel_dispatch(outbox.shop.id, dispatch.id).in_flight == 3
    service.sweep(after_the_lease())
    close_rows(dispatch)
    assert outbox.progress(dispatch).cancelled == 3
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == 0
    outbox.check_books(dispatch)


def test_it_is_closed_also_when_its_reservation_has_expired_meanwhile(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    claim()
    with db.transaction():
        service.cancel_dispatch(outbox.shop.id, dispatch.id)
    days_later = clock.now() + timedelta(days=3)
    assert service.reconcile(days_later)["expired"] == 1
    service.sweep(days_later)
    assert service.reconcile(days_later)["left_open"] == 1
    close_rows(dispatch)
    assert outbox.progress(dispatch).cancelled == 3
    assert service.reconcile(days_later)["left_open"] == 0


def close_rows(dispatch: Dispatch) -> None:
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass


def test_a_late_worker_does_not_move_whom_another_has_in_hand(outbox: Outbox) -> None:
    """It decided at night to send in the morning, slept through its lease, and wakes while another is calling."""
    with db.transaction():
        outbox.set(quiet_hours_on=True, quiet_from=time(20, 0), quiet_until=time(9, 0))
        create_subscriber(outbox.shop, zone="UTC")
        create_subscriber(outbox.shop, zone="America/New_York")
    evening = datetime(2026, 3, 10, 19, 59, tzinfo=UTC)
    with clock.frozen_at(evening):
        dispatch = outbox.start()
    real_record, real_send = service.endings.finish, service.lane._send
    with clock.frozen_at(evening + timedelta(minutes=2)), pytest.MonkeyPatch.context() as patch:
        later: list[tuple[object, ...]] = []
        patch.setattr(service.endings, "finish", lambda *args, **kwargs: later.append((args, kwargs)))
        outbox.run()
    assert len(later) == 1, "the one in New York was called for; the one in UTC was put off"
    with clock.frozen_at(evening + timedelta(hours=14)):
        service.sweep()
        with pytest.MonkeyPatch.context() as patch:

            def wake_the_late_one(*args: object) -> None:
                done, keywords = later.pop()
                real_record(*done, **keywords)  # type: ignore[arg-type, misc]
                real_send(*args)  # type: ignore[arg-type]

            patch.setattr(service.lane, "_send", wake_the_late_one)
            outbox.run()
        assert later == []
    assert outbox.mitto.summary()["doubled"] == 0
    assert set(outbox.states(dispatch).values()) == {MessageState.SENT}
    outbox.check_books(dispatch)


def test_an_attempt_that_has_ended_since_it_was_found_is_left_alone(outbox: Outbox) -> None:
    subscribers(outbox, 1)
    outbox.start()
    found = claim()
    with db.transaction() as session:
        session.execute(update(Attempt).where(Attempt.id == found.attempt_id).values(state="recorded"))
    with db.transaction():
        assert not reconciliation._settle_lost(found.attempt_id, after_the_lease())


# --- the reconciliation ---------------------------------------------------------------------------------------------


def test_a_batch_that_is_claimed_by_nobody_is_claimed_again(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    claim()
    change("UPDATE attempts SET state = 'given_back'")
    assert service.reconcile()["strayed"] == 1
    assert service.reconcile()["strayed"] == 0
    outbox.run()
    assert outbox.progress(dispatch).sent == 3
    outbox.check_books(dispatch)


def test_a_batch_that_was_claimed_since_it_was_found_astray_is_left_alone(outbox: Outbox) -> None:
    """Two reconciliations see it; one brings it back, and a worker has it before the other comes to it."""
    subscribers(outbox, 3)
    dispatch = outbox.start()
    claim()
    change("UPDATE attempts SET state = 'given_back'")
    with db.transaction():
        assert reconciliation._bring_back(dispatch.id, 0, clock.now())
    claim()
    with db.transaction():
        assert not reconciliation._bring_back(dispatch.id, 0, clock.now())
    assert outbox.progress(dispatch).sending == 3
    with db.transaction():
        assert claiming.claim_batch("another", clock.now()) is None


@pytest.mark.parametrize("column", ["sent", "failed", "size"])
def test_counts_that_are_not_those_of_the_rows_are_counted_again(outbox: Outbox, column: str) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive_all("Delivered")
    change("UPDATE batches SET size = size + 1, sent = sent + CAST(:sent AS integer), failed = failed + "
           "CAST(:failed AS integer)", sent=int(column == "sent"), failed=int(column == "failed"))  # fmt: skip
    assert service.reconcile()["drifted"] == 1
    assert service.reconcile()["drifted"] == 0
    assert outbox.progress(dispatch).delivered == 5
    outbox.check_books(dispatch)


def test_only_what_was_recorded_lately_is_counted_again_and_only_so_much_of_it(outbox: Outbox) -> None:
    """A day's millions are not read every three minutes."""
    subscribers(outbox, 101)
    outbox.start()
    outbox.run()
    change("UPDATE batches SET sent = 0")
    change("UPDATE batches SET recorded_at = recorded_at - interval '11 minutes' WHERE size = 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "MOST_COUNTED_AGAIN", 1)
        assert service.reconcile()["drifted"] == 1
    assert service.reconcile()["drifted"] == 1
    assert service.reconcile()["drifted"] == 0


def test_the_counts_of_a_cancelled_batch_are_counted_too(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    with db.transaction():
        service.cancel_dispatch(outbox.shop.id, dispatch.id)
    change("UPDATE batches SET cancelled = 0")
    assert service.reconcile()["drifted"] == 0, "its rows have yet to follow"
    close_rows(dispatch)
    assert service.reconcile()["drifted"] == 1
    outbox.check_books(dispatch)


def test_rows_of_a_cancelled_dispatch_whose_job_was_lost_get_their_state(outbox: Outbox) -> None:
    subscribers(outbox, 5)
    dispatch = outbox.start()
    with db.transaction():
        service.cancel_dispatch(outbox.shop.id, dispatch.id)
    queue.connection().flushdb()
    assert service.reconcile()["unclosed"] == 1
    assert waiting("slow") == 1
    close_rows(dispatch)
    assert service.reconcile()["unclosed"] == 0
    outbox.check_books(dispatch)


def test_a_dispatch_that_stands_still_is_told_of(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    subscribers(outbox, 3)
    outbox.start()
    queue.connection().flushdb()
    assert service.reconcile()["stalled"] == 0
    assert service.reconcile(clock.now() + timedelta(minutes=16))["stalled"] == 1
    assert waiting("send") == 1
    assert "dispatch.stalled" in caplog.text


def test_credits_that_nobody_uses_are_free_again_after_a_day(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    with db.transaction():
        service.pause_dispatch(outbox.shop.id, dispatch.id)
    assert service.reconcile(clock.now() + timedelta(hours=23))["expired"] == 0
    assert service.reconcile(clock.now() + timedelta(hours=25))["expired"] == 1
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == 0
        service.resume_dispatch(outbox.shop.id, dispatch.id)
    outbox.run()
    assert outbox.progress(dispatch).sent == 3, "it is paid from what is free"
    outbox.check_books(dispatch)


def test_two_that_look_at_once_set_it_right_once(committed_outbox: Outbox, committed_app: Flask) -> None:
    outbox = committed_outbox
    subscribers(outbox, 400)
    dispatch = outbox.start()
    for _ in range(8):
        claim()
    change("UPDATE attempts SET state = 'given_back' WHERE id % 2 = 0")
    barrier, faults, found = threading.Barrier(4), [], []

    def look(deed: str) -> None:
        with committed_app.app_context():
            barrier.wait()
            try:
                found.append(getattr(service, deed)())
                service.run_lane(seconds=30, worker=deed)
            except BaseException as error:
                faults.append(error)

    threads = [threading.Thread(target=look, args=(deed,)) for deed in ("sweep", "sweep", "reconcile", "reconcile")]
    with clock.frozen_at(after_the_lease()):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outbox.run()
    assert faults == []
    assert sum(each.get("lost", 0) for each in found) == 4
    assert sum(each.get("strayed", 0) for each in found) == 4
    summary = outbox.mitto.summary()
    assert (summary["texts"], summary["distinct_destinations"]) == (400, 400)
    outbox.check_books(dispatch)

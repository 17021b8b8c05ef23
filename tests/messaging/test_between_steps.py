"""What comes between the steps of a send: a receipt, another claim, a cancel, a segment that goes, Redis away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming, composing, lane, snapshot
from blossom.messaging.service.composing import Composed
from blossom.mitto import payloads
from blossom.platform import clock, crypto, db, queue
from blossom.segments.rules import Audience
from blossom.wallet import queries as wallet
from blossom.wallet import service as wallets
from tests.messaging.conftest import TEXT, Outbox
from tests.messaging.test_locks import Meanwhile
from tests.messaging.test_sending import subscribers


def expired_and_sent_again(outbox: Outbox) -> tuple[Dispatch, str]:
    """One person's text has expired and is to be sent again; the first text's id."""
    subscribers(outbox, 1)
    dispatch = outbox.start()
    outbox.run()
    first: str = outbox.mitto.log()[0]["messageId"]
    outbox.receive(payloads.Receipt(first, "EXPIRED"))
    with db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    return dispatch, first


def around(name: str, *, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None) -> Any:
    """The lane's step of this name, with something happening right before or after it, the first time."""
    real, due = getattr(lane, name), [True]

    def step(*arguments: Any) -> Any:
        first, due[0] = due[0], False
        if first and before:
            before()
        came_to = real(*arguments)
        if first and after:
            after()
        return came_to

    return step


def test_who_turns_out_to_have_the_text_before_the_second_try_begins_is_not_texted_again(outbox: Outbox) -> None:
    dispatch, first = expired_and_sent_again(outbox)
    with pytest.MonkeyPatch.context() as patch:
        arrives = around("_wait_for_turn", before=lambda: outbox.receive(payloads.Receipt(first, "Delivered")))
        patch.setattr(lane, "_wait_for_turn", arrives)
        outbox.run()
    assert len(outbox.mitto.log()) == 1
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.delivered) == (DispatchState.COMPLETED, 1)
    outbox.check_books(dispatch)


def test_a_second_text_that_left_anyway_stands_in_its_row_as_in_the_ledger(outbox: Outbox) -> None:
    dispatch, first = expired_and_sent_again(outbox)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lane, "_call", around("_call", after=lambda: outbox.receive(payloads.Receipt(first, "Delivered")))
        )
        outbox.run()
    assert len(outbox.mitto.log()) == 2
    assert set(outbox.states(dispatch).values()) == {MessageState.DELIVERED}
    with db.transaction() as session:
        in_rows = session.scalar(text("SELECT sum(credits) FROM messages"))
    assert in_rows == outbox.spent() > 0


def test_of_two_claims_at_once_the_later_counts_the_earlier_for_the_caps(
    committed_outbox: Outbox, committed_app: Flask
) -> None:
    """The first is held up after it has taken the shop's turn; the second waits for the turn, and sees the first."""
    outbox = committed_outbox
    with db.transaction() as session:
        outbox.set(daily_cap=1, weekly_cap=3)
        session.execute(
            text("""
            CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF current_setting('test.held_up', true) = 'yes' THEN PERFORM pg_advisory_xact_lock(77); END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER wait_for_the_test BEFORE INSERT ON send_turns
                FOR EACH ROW EXECUTE FUNCTION wait_for_the_test()
            """)
        )
    subscribers(outbox, 5)
    for source in (TEXT, "Another. Reply STOP to opt out"):
        outbox.start(source=source)
    found: dict[str, Composed] = {}

    def send(name: str, held_up: bool) -> None:
        with committed_app.app_context():
            now = clock.now()
            with db.transaction() as session:
                session.execute(text("SELECT set_config('test.held_up', :it, true)"), {"it": "yes" if held_up else ""})
                claim = claiming.claim_batch(name, now)
            assert claim is not None
            with db.transaction():
                loaded = composing.load(claim, now)
            found[name] = composing.compose(claim, loaded, now)

    with db.engine().connect() as other, other.begin():
        other.execute(text("SELECT pg_advisory_xact_lock(77)"))
        threads = [threading.Thread(target=send, args=("held up", True))]
        threads[0].start()
        until_waiting()
        threads.append(threading.Thread(target=send, args=("quick", False)))
        threads[1].start()
        threads[1].join(0.5)  # as it was, it had its turn now, under the higher id and committed first
    for thread in threads:
        thread.join(20)
    assert sum(len(composed.texts) for composed in found.values()) == 5
    assert sum(len(composed.skipped) for composed in found.values()) == 5


def until_waiting() -> None:
    for _ in range(2_000):
        with db.transaction() as session:
            if session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")):
                return
    raise AssertionError("it does not wait")


def test_no_connection_is_held_while_a_batch_waits_for_the_throttle(committed_outbox: Outbox) -> None:
    subscribers(committed_outbox, 3)
    committed_outbox.start()
    crypto._ciphers.clear()
    out: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        looked = around("_wait_for_turn", before=lambda: out.append(db.engine().pool.checkedout()))  # type: ignore[attr-defined]
        patch.setattr(lane, "_wait_for_turn", looked)
        committed_outbox.run()
    assert out == [0]


def test_what_is_held_for_one_call_is_free_when_the_call_came_to_nothing(outbox: Outbox) -> None:
    subscribers(outbox, 40)
    dispatch = outbox.start()
    with db.transaction() as session:  # as after a day's outage: the dispatch holds nothing any more
        wallets.release(outbox.shop.id, session.scalars(text("SELECT reservation_id FROM dispatches")).one())
        free = wallet.balance(outbox.shop.id).available
    outbox.mitto.configure(faults=[{"kind": "503", "share": 1.0, "retry_after": 5}])
    for _ in range(3):
        with db.transaction() as session:
            session.execute(text("UPDATE batches SET due_at = now() - interval '1 minute' WHERE state = 'pending'"))
        outbox.run()
    with db.transaction():
        assert wallet.balance(outbox.shop.id).available == free
    outbox.mitto.configure(faults=[])
    with db.transaction() as session:
        session.execute(text("UPDATE batches SET due_at = now() - interval '1 minute' WHERE state = 'pending'"))
    outbox.run()
    assert outbox.progress(dispatch).sent == 40
    with db.transaction():
        balance = wallet.balance(outbox.shop.id)
    assert (balance.reserved, balance.available) == (0, free - outbox.spent())


def test_a_campaign_whose_segment_has_gone_fails_instead_of_being_tried_for_ever(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    with db.transaction():
        dispatch = service.start_dispatch(
            service.DispatchPlan(outbox.shop.id, Audience(segments=(999_999,)), TEXT, sender="Ours")
        )
    with db.transaction():
        assert not service.prepare_dispatch(outbox.shop.id, dispatch.id)
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.failure_code) == (DispatchState.FAILED, "unsendable")
    assert "segment" in str(progress.failure_text)


def test_a_dispatch_that_is_never_prepared_is_told_of_as_stalled(outbox: Outbox) -> None:
    with db.transaction():
        service.start_dispatch(service.DispatchPlan(outbox.shop.id, Audience(everybody=True), TEXT, sender="Ours"))
    assert service.reconcile(clock.now() + timedelta(hours=1))["stalled"] == 1


def test_a_cancel_does_not_wait_for_a_snapshot_and_nothing_of_that_stays(
    committed_outbox: Outbox, committed_app: Flask
) -> None:
    outbox = committed_outbox
    subscribers(outbox, 20)
    with db.transaction():
        dispatch = service.start_dispatch(
            service.DispatchPlan(outbox.shop.id, Audience(everybody=True), TEXT, sender="Ours")
        )
    cancel = Meanwhile(committed_app, lambda: service.cancel_dispatch(outbox.shop.id, dispatch.id))
    real = snapshot._reserve

    def reserve(*arguments: Any, **named: Any) -> Any:
        cancel.begin()
        cancel.end()  # would wait for ever, if it waited
        return real(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_reserve", reserve)
        with db.transaction():
            assert not service.prepare_dispatch(outbox.shop.id, dispatch.id)
    with db.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM messages")) == 0
        assert wallet.balance(outbox.shop.id).reserved == 0
    assert outbox.progress(dispatch).state is DispatchState.CANCELLED


def test_bad_numbers_alone_never_end_a_campaign_though_nothing_was_taken_yet(outbox: Outbox) -> None:
    phones = sorted(subscribers(outbox, 12))
    outbox.mitto.configure(outcomes={"exact": dict.fromkeys(phones[:11], "invalid")})
    dispatch = outbox.start()
    outbox.run()
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED
    assert {phone for phone, state in outbox.states(dispatch).items() if state is MessageState.SENT} == {phones[11]}


def test_the_culprit_of_a_refused_batch_is_found_before_other_batches_are_tried(outbox: Outbox) -> None:
    """Depth first: a campaign whose text itself is refused shows so after ten calls, not after all its batches."""
    subscribers(outbox, 200)
    outbox.mitto.configure(faults=[{"kind": "400", "share": 1.0}])
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        real, left = lane._lap, iter(range(6))
        patch.setattr(lane, "_lap", lambda *arguments: real(*arguments) and next(left, None) is not None)
        outbox.run()
    assert outbox.progress(dispatch).failed == 1, "50, 25, 12, 6, 3, 1"
    outbox.run()
    assert outbox.progress(dispatch).state is DispatchState.FAILED


def test_without_redis_a_lane_goes_on_by_itself_when_its_time_is_up(outbox: Outbox) -> None:
    phones = subscribers(outbox, 200)
    dispatch = outbox.start()
    kept = queue._connection
    queue.init("redis://127.0.0.1:1/0")
    try:
        service.run_lane(seconds=0.0, worker="test")
    finally:
        queue._connection = kept
    assert outbox.progress(dispatch).sent == len(phones)
    assert len(outbox.mitto.log()) == len(phones)

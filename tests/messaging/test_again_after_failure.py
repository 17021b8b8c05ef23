"""Sending again what a refused account had failed: whatever of the failure is still going on at that moment."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import service
from blossom.messaging.errors import CallsStillOpen, NothingToRetry
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming
from blossom.mitto import payloads
from blossom.platform import clock, db
from blossom.wallet import queries as wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_locks import Meanwhile
from tests.messaging.test_sending import subscribers


def refused(outbox: Outbox, people: int) -> Dispatch:
    """A dispatch whose account was refused, and is accepted again from now on."""
    subscribers(outbox, people)
    outbox.mitto.configure(faults=[{"kind": "401", "share": 1.0}])
    dispatch = outbox.start()
    outbox.run()
    outbox.mitto.configure(faults=[])
    assert outbox.progress(dispatch).state is DispatchState.FAILED
    return dispatch


def close_rows(dispatch: Dispatch) -> None:
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass


def held(outbox: Outbox) -> int:
    with db.transaction():
        return wallet.balance(outbox.shop.id).reserved


def test_whose_rows_are_not_closed_yet_are_sent_again_with_the_others(outbox: Outbox) -> None:
    dispatch = refused(outbox, 120)
    with db.transaction():
        assert service.retry_failed(outbox.shop.id, dispatch.id).retried == 120
    close_rows(dispatch)
    assert outbox.progress(dispatch).pending == 120
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.sent, progress.cancelled) == (DispatchState.COMPLETED, 120, 0)
    outbox.check_books(dispatch)


def test_those_whom_the_merchant_does_not_choose_stay_failed(outbox: Outbox) -> None:
    dispatch = refused(outbox, 3)
    with db.transaction() as session:
        chosen = session.scalar(text("SELECT min(id) FROM messages"))
        assert service.retry_failed(outbox.shop.id, dispatch.id, [chosen]).retried == 1
    close_rows(dispatch)
    outbox.run()
    assert sorted(outbox.states(dispatch).values()) == [MessageState.FAILED, MessageState.FAILED, MessageState.SENT]
    outbox.check_books(dispatch)


def test_a_closing_job_that_comes_meanwhile_closes_nobody(committed_outbox: Outbox, committed_app: Flask) -> None:
    outbox = committed_outbox
    dispatch = refused(outbox, 60)
    job = Meanwhile(committed_app, lambda: service.close_messages(outbox.shop.id, dispatch.id))
    with db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
        job.begin()
    job.end()
    assert outbox.progress(dispatch).pending == 60
    outbox.run()
    assert set(outbox.states(dispatch).values()) == {MessageState.SENT}
    outbox.check_books(dispatch)


def test_it_waits_for_calls_that_are_still_open_and_holds_no_credits_twice(outbox: Outbox) -> None:
    """Two workers: one hears that the account is refused while the other is on its way to its call."""
    subscribers(outbox, 100)
    outbox.mitto.configure(faults=[{"kind": "401", "share": 1.0}])
    dispatch = outbox.start()
    with db.transaction():
        other = claiming.claim_batch("other", clock.now())
    assert other is not None
    outbox.run()
    outbox.mitto.configure(faults=[])
    for retry in (service.retry_failed, service.retry_unconfirmed):
        with pytest.raises(CallsStillOpen) as told, db.transaction():
            retry(outbox.shop.id, dispatch.id)
        assert (told.value.status, told.value.details) == (409, {"in_flight": 50})
    with db.transaction():
        claiming.give_back(other.attempt_id, outcome="given_back", due_at=clock.now(), tries=0, now=clock.now())
    with db.transaction():
        assert service.retry_failed(outbox.shop.id, dispatch.id).retried == 100, "also whom it has just given back"
    outbox.run()
    assert outbox.progress(dispatch).sent == 100
    assert held(outbox) == 0
    outbox.check_books(dispatch)


def test_a_shop_closes_no_rows_of_another(outbox: Outbox) -> None:
    dispatch = refused(outbox, 3)
    with db.transaction():
        assert service.close_messages(outbox.shop.id + 1, dispatch.id) == 0
        assert service.close_messages(outbox.shop.id, dispatch.id) == 1


def test_what_a_refused_second_try_had_closed_is_closed_by_the_job_all_the_same(outbox: Outbox) -> None:
    dispatch = refused(outbox, 3)
    with pytest.raises(NothingToRetry), db.transaction():
        service.retry_unconfirmed(outbox.shop.id, dispatch.id)
    close_rows(dispatch)
    assert set(outbox.states(dispatch).values()) == {MessageState.FAILED}
    outbox.check_books(dispatch)


def test_who_finishes_it_late_does_not_finish_what_is_sent_again(
    committed_outbox: Outbox, committed_app: Flask
) -> None:
    """Two find it done; the second waits while the first finishes it, and the merchant sends it again."""
    outbox = committed_outbox
    subscribers(outbox, 2)
    dispatch = outbox.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane.dispatches, "finish_if_done", lambda *args: False)
        outbox.run()
    outbox.receive(*[payloads.Receipt(each["messageId"], "EXPIRED", clock.now()) for each in outbox.mitto.log()])
    late = Meanwhile(committed_app, lambda: service.finish_if_done(dispatch.shop_id, dispatch.id))
    with db.transaction():
        service.dispatches.lock(outbox.shop.id, dispatch.id)
        late.begin()
        assert service.finish_if_done(dispatch.shop_id, dispatch.id)
        service.retry_failed(outbox.shop.id, dispatch.id)
    late.end()
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.pending) == (DispatchState.SENDING, 2)
    outbox.run()
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED

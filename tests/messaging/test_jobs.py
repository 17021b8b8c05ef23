"""Jobs that take step after step: each step is a transaction, and none of them keeps its queue or a restart waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from blossom.messaging import jobs, service
from blossom.messaging.models import Dispatch
from blossom.mitto import payloads
from blossom.platform import config, db, queue, stopping
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers


def stop() -> None:
    stopping.request()


def no_time() -> None:
    config.use(replace(config.current(), lane_seconds=0))


@pytest.fixture
def cancelled(outbox: Outbox) -> Dispatch:
    """Three cancelled batches whose rows have yet to follow, one a step."""
    subscribers(outbox, 150)
    dispatch = outbox.start()
    with db.transaction():
        service.cancel_dispatch(outbox.shop.id, dispatch.id)
    queue.connection().flushdb()
    return dispatch


def one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(service.dispatches, "_UNCLOSED", text(str(service.dispatches._UNCLOSED).replace("20", "1")))
    real = service.apply_receipts
    patch.setattr(service, "apply_receipts", lambda: real(1))


def rows(state: str) -> int:
    with db.transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM messages WHERE state = :s"), {"s": state}).scalar_one())


@pytest.mark.parametrize("cut", [stop, no_time])
def test_closing_rows_ends_between_two_steps_and_goes_on_as_a_job_of_its_own(
    outbox: Outbox, cancelled: Dispatch, monkeypatch: pytest.MonkeyPatch, cut: Callable[[], None]
) -> None:
    one_at_a_time(monkeypatch)
    cut()
    for closed, waiting in ((50, 1), (100, 2), (150, 3), (150, 3)):
        jobs.close_messages(outbox.shop.id, cancelled.id)
        assert (rows("cancelled"), queue.rq_queue("slow").count) == (closed, waiting)


def test_closing_rows_with_time_enough_closes_them_all(
    outbox: Outbox, cancelled: Dispatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time(monkeypatch)
    jobs.close_messages(outbox.shop.id, cancelled.id)
    assert (rows("cancelled"), queue.rq_queue("slow").count) == (150, 0)


@pytest.mark.parametrize("cut", [stop, no_time])
def test_applying_receipts_ends_between_two_bulks_and_goes_on_as_a_job_of_its_own(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, cut: Callable[[], None]
) -> None:
    subscribers(outbox, 3)
    dispatch = outbox.start()
    outbox.run()
    with db.transaction():
        service.store_receipts([payloads.Receipt(each["messageId"], "Delivered") for each in outbox.mitto.log()])
    one_at_a_time(monkeypatch)
    cut()
    for delivered in (1, 2, 3, 3):
        queue.connection().flushdb()
        jobs.apply_receipts()
        assert outbox.progress(dispatch).delivered == delivered
    assert queue.rq_queue("receipts").count == 0

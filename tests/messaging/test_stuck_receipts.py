"""No message may keep the receipts of others from being applied, whatever state it is in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads
from blossom.platform import clock, db
from tests.messaging.conftest import Outbox
from tests.messaging.test_locks import Meanwhile
from tests.messaging.test_sending import subscribers


def close_rows(dispatch: Dispatch) -> None:
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass


def to_be_sent_again(outbox: Outbox) -> tuple[Dispatch, str]:
    """A dispatch whose one text failed and waits for its second try, and the provider's id of the first."""
    dispatch = outbox.start()
    outbox.run()
    first = outbox.mitto.log()[-1]["messageId"]
    outbox.receive(payloads.Receipt(first, "EXPIRED", clock.now()))
    with db.transaction():
        service.retry_failed(outbox.shop.id, dispatch.id)
    return dispatch, first


def receipt_states() -> list[str]:
    with db.transaction() as session:
        return list(session.scalars(text("SELECT state FROM receipts ORDER BY id")))


def test_a_late_delivery_does_not_move_whom_a_cancel_has_counted_already(outbox: Outbox) -> None:
    """Its row still says pending: the job that closes the rows has not come to it."""
    phone = str(subscribers(outbox, 1)[0])
    dispatch, first = to_be_sent_again(outbox)
    with db.transaction():
        service.cancel_dispatch(outbox.shop.id, dispatch.id)
    outbox.receive(payloads.Receipt(first, "Delivered", clock.now()))
    assert receipt_states() == ["applied", "applied"]
    assert outbox.states(dispatch) == {phone: MessageState.CANCELLED}
    close_rows(dispatch)
    assert outbox.states(dispatch) == {phone: MessageState.CANCELLED}
    outbox.check_books(dispatch)


def test_a_late_delivery_of_one_whom_a_refused_account_failed_counts(outbox: Outbox) -> None:
    """As it does once the row says failed: else this person would be sent the text again."""
    phone = str(subscribers(outbox, 1)[0])
    dispatch, first = to_be_sent_again(outbox)
    outbox.mitto.configure(faults=[{"kind": "401", "share": 1.0}])
    outbox.run()
    outbox.receive(payloads.Receipt(first, "Delivered", clock.now()))
    assert outbox.states(dispatch) == {phone: MessageState.DELIVERED}
    close_rows(dispatch)
    assert outbox.states(dispatch) == {phone: MessageState.DELIVERED}
    outbox.check_books(dispatch)


@pytest.mark.parametrize("first_comes", ["cancel", "receipt"])
def test_a_late_delivery_that_meets_the_cancel(
    committed_outbox: Outbox, committed_app: Flask, first_comes: str
) -> None:
    outbox = committed_outbox
    subscribers(outbox, 1)
    dispatch, first = to_be_sent_again(outbox)
    with db.transaction():
        service.store_receipts([payloads.Receipt(first, "Delivered", clock.now())])
    deeds: dict[str, Callable[[], object]] = {
        "cancel": lambda: service.cancel_dispatch(outbox.shop.id, dispatch.id),
        "receipt": service.apply_receipts,
    }
    second = Meanwhile(committed_app, deeds["receipt" if first_comes == "cancel" else "cancel"])
    with db.transaction():
        deeds[first_comes]()
        second.begin()
    second.end()
    close_rows(dispatch)
    assert receipt_states() == ["applied", "applied"]
    end = MessageState.CANCELLED if first_comes == "cancel" else MessageState.DELIVERED
    assert set(outbox.states(dispatch).values()) == {end}
    outbox.check_books(dispatch)


def test_a_receipt_that_cannot_be_applied_is_set_aside_and_no_other(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    subscribers(outbox, 51)
    dispatch = outbox.start()
    outbox.run()
    with db.transaction() as session:
        session.execute(text("UPDATE batches SET sent = 0, cancelled = 1 WHERE size = 1"))  # as no code of ours does
    with db.transaction():
        service.store_receipts([payloads.Receipt(each["messageId"], "Delivered") for each in outbox.mitto.log()])
    for _ in range(20):
        with db.transaction():
            if not service.apply_receipts():
                break
    else:
        pytest.fail("it goes on for ever")
    assert outbox.progress(dispatch).delivered == 50
    assert sorted(receipt_states()) == ["applied"] * 50 + ["stuck"]
    assert "receipts.stuck" in caplog.text
    with db.transaction() as session:
        session.execute(text("UPDATE batches SET sent = 1, cancelled = 0 WHERE size = 1"))
        session.execute(text("UPDATE receipts SET state = 'new' WHERE state = 'stuck'"))
    with db.transaction():
        service.apply_receipts()
    assert outbox.progress(dispatch).delivered == 51
    outbox.check_books(dispatch)

"""Deeds that meet on the same rows: held still at the worst moment, each waits for the other and none is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.messaging import queries, service
from blossom.messaging.rules.states import MessageState
from blossom.mitto import payloads
from blossom.platform import clock, db
from blossom.wallet import queries as wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


class Meanwhile:
    """A deed in a thread of its own. `begin` returns once it waits for a lock of ours, or is done."""

    def __init__(self, app: Flask, deed: Callable[[], Any]) -> None:
        self.fault: BaseException | None = None
        self._app, self._deed = app, deed
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._app.app_context():
            try:
                with db.transaction():
                    self._deed()
            except BaseException as error:
                self.fault = error

    def begin(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 20
        with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
            while self._thread.is_alive() and not watcher.execute(_WAITING).scalar_one():
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def end(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.fault is not None:
            raise self.fault


def then(real: Callable[..., Any], meanwhile: Meanwhile) -> Callable[..., Any]:
    """Do as before; then, with its locks held, let the other begin."""

    def both(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        meanwhile.begin()
        return found

    return both


def test_a_cancel_while_a_worker_makes_sure_of_the_credits(committed_outbox: Outbox, committed_app: Flask) -> None:
    """The last batch of a reservation: the worker looks at the wallet under lock before it begins its call."""
    outbox = committed_outbox
    subscribers(outbox, 5)
    dispatch = outbox.start()
    cancel = Meanwhile(committed_app, lambda: service.cancel_dispatch(outbox.shop.id, dispatch.id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane.funds, "cover", then(service.lane.funds.cover, cancel))
        outbox.run()
    cancel.end()
    outbox.run()
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
    assert set(outbox.states(dispatch).values()) <= {MessageState.SENT, MessageState.CANCELLED}
    outbox.check_books(dispatch)


def test_receipts_while_the_merchant_sends_again(committed_outbox: Outbox, committed_app: Flask) -> None:
    """Both change the counts of one batch and the shop's credits."""
    outbox = committed_outbox
    subscribers(outbox, 3)
    dispatch = outbox.start()
    outbox.run()
    first, second, _ = outbox.mitto.log()
    outbox.receive(payloads.Receipt(first["messageId"], "EXPIRED", clock.now()))
    with db.transaction():
        service.store_receipts([payloads.Receipt(second["messageId"], "Failed", clock.now())])
    receipts = Meanwhile(committed_app, service.apply_receipts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.retries.wallet, "reserve", then(service.retries.wallet.reserve, receipts))
        with db.transaction():
            service.retry_failed(outbox.shop.id, dispatch.id)
    receipts.end()
    outbox.run()
    assert sorted(outbox.states(dispatch).values()) == [MessageState.FAILED, MessageState.SENT, MessageState.SENT]
    progress = outbox.progress(dispatch)
    assert (progress.failed, progress.sent, progress.pending) == (1, 2, 0)
    with db.transaction():
        assert wallet.verify(outbox.shop.id) == []
        costs = queries.costs_by_country(outbox.shop.id, dispatch.id)
    assert outbox.spent() == sum(cost.credits for cost in costs)

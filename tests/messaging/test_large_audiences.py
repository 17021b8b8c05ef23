"""An audience above `snapshot._LARGE`: in another order, read in another way, and else the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from blossom.messaging import service
from blossom.platform import db
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers

_IN_TURN = text("SELECT phone_hash, batch_number FROM messages WHERE dispatch_id = :id ORDER BY id")


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.snapshot, "_LARGE", 2)


@pytest.mark.usefixtures("few_are_many")
def test_everybody_is_texted_once_in_order_of_the_index_by_phone(outbox: Outbox) -> None:
    phones = subscribers(outbox, 120)
    dispatch = outbox.start()
    with db.transaction() as session:
        hashes = [row.phone_hash for row in session.execute(_IN_TURN, {"id": dispatch.id})]
    assert hashes == sorted(hashes)
    outbox.run()
    assert sorted(text["destination"] for text in outbox.mitto.log()) == sorted(phones)
    outbox.check_books(dispatch)


@pytest.mark.usefixtures("few_are_many")
def test_those_of_one_hour_stand_together_all_the_same(outbox: Outbox) -> None:
    for zone in ("Europe/Athens", "Asia/Tokyo"):
        subscribers(outbox, 60, zone=zone)
    dispatch = outbox.start(local_at=datetime(2026, 12, 1, 12, 0))  # noqa: DTZ001 -- on each recipient's clocks
    with db.transaction() as session:
        rows = list(session.execute(_IN_TURN, {"id": dispatch.id}))
    assert [row.batch_number for row in rows] == sorted(row.batch_number for row in rows)
    slots = [row.batch_number // service.snapshot._SLOT for row in rows]
    assert (slots.count(0), slots.count(1)) == (60, 60)
    outbox.check_books(dispatch)


@pytest.mark.usefixtures("few_are_many")
def test_the_planner_is_told_otherwise_for_the_one_statement_only(outbox: Outbox) -> None:
    subscribers(outbox, 3)
    settings = text("SELECT current_setting('random_page_cost'), current_setting('work_mem')")
    real = service.snapshot._insert_messages
    seen = []

    def look(*args: Any, **options: Any) -> int:
        seen.append(tuple(db.session.execute(settings).one()))
        return real(*args, **options)

    def look_after(*args: Any) -> None:
        seen.append(tuple(db.session.execute(settings).one()))
        real_batches(*args)

    real_batches = service.snapshot._insert_batches
    with db.transaction() as session:
        before = tuple(session.execute(settings).one())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.snapshot, "_insert_messages", look)
        patch.setattr(service.snapshot, "_insert_batches", look_after)
        outbox.start()
    assert seen == [("4", "64MB"), before]

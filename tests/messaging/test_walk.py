"""A dispatch's messages page by page: each once, in the order of the batches, whichever state is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from blossom.messaging import queries
from blossom.messaging.models import Dispatch
from blossom.messaging.queries import Place
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import clock, db
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.api.client import client_for
from tests.factories.campaigns import create_campaign
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.wallet import create_wallet
from tests.personas import Personas


@pytest.fixture
def ours(personas: Personas) -> Shop:
    create_wallet(personas.ours.id)
    return personas.ours


def walked(dispatch: Dispatch, state: MessageState | None = None, limit: int = 2) -> list[tuple[int, str]]:
    met: list[tuple[int, str]] = []
    after: Place | None = None
    for _ in range(100):
        found = queries.stretch(dispatch.shop_id, dispatch.id, state=state, after=after, limit=limit)
        assert len(found.rows) <= limit
        met += [(row.id, row.state.value) for row in found.rows]
        if found.after is None:
            return met
        after = found.after
    raise AssertionError("it never ends")


@pytest.fixture
def mixed(ours: Shop) -> Dispatch:
    """Batches of which ids stand among each other's, some in a state, some of them in a worker's hands."""
    dispatch = create_dispatch(ours.id)
    batches = [create_batch(dispatch, number=number, state="done") for number in range(4)]
    states = ["delivered", "failed", "delivered", "sent", "skipped"]
    for place in range(20):
        create_message(batches[place % 4], state=states[place % 5])
    waiting = create_batch(dispatch, number=4)
    taken = create_batch(dispatch, number=5, state="claimed")
    for batch in (waiting, taken, waiting, taken, taken):
        create_message(batch)
    return dispatch


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize("state", [None, *(each for each in MessageState if each is not MessageState.SENDING)])
def test_each_is_met_once(mixed: Dispatch, state: MessageState | None, limit: int) -> None:
    rows = queries.recipients(mixed.shop_id, mixed.id, limit=100)
    wanted = {state} if state is not MessageState.PENDING else {MessageState.PENDING, MessageState.SENDING}
    met = walked(mixed, state, limit)
    assert sorted(met) == sorted((row.id, row.state.value) for row in rows if state is None or row.state in wanted)


def test_goes_batch_by_batch(mixed: Dispatch) -> None:
    rows = session.execute(text("SELECT id, batch_number FROM messages"))
    batch_of = {row.id: row.batch_number for row in rows}
    numbers = [batch_of[message_id] for message_id, _ in walked(mixed)]
    assert numbers == sorted(numbers)


def test_what_was_closed_early_is_shown_as_what_it_becomes(ours: Shop) -> None:
    for state, shown in ((DispatchState.CANCELLED, "cancelled"), (DispatchState.FAILED, "failed")):
        dispatch = create_dispatch(ours.id, state=state.value, finished_at=clock.now())
        batch = create_batch(dispatch, state="cancelled")
        message = create_message(batch)
        setattr(batch, shown, 1)
        session.flush()
        assert walked(dispatch, MessageState(shown)) == [(message.id, shown)]
        assert walked(dispatch, MessageState.PENDING) == []


def test_theirs_is_empty(mixed: Dispatch, personas: Personas) -> None:
    assert queries.stretch(personas.theirs.id, mixed.id).rows == []


class Read:
    """The most rows that a step of a statement on messages reads, and the most batches that are summed up for it."""

    def __init__(self) -> None:
        self.most = self.summed = 0

    def look(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "messages" not in statement or "EXPLAIN" in statement:
            return
        with connection.connection.cursor() as beside:
            beside.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            (found,) = beside.fetchone()
        plan = json.loads(found) if isinstance(found, str) else found
        for node in nodes(plan[0]["Plan"]):
            if node.get("Relation Name") == "messages":
                rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                self.most = max(self.most, int(rows))
            if node["Node Type"] == "WindowAgg":
                self.summed = max(self.summed, int(node["Actual Rows"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def test_a_page_reads_some_batches_of_a_large_dispatch_and_no_more(app: Flask, ours: Shop) -> None:
    """40,000 messages in 80 batches; two in a thousand of them have failed."""
    dispatch = create_dispatch(ours.id, total=40_000)
    first = message_ids.of_dispatch(dispatch.id).first
    session.execute(
        text("""
            INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id,
                                 delivered, failed)
            SELECT :dispatch, n, :shop, 'done', d.created_at, d.created_at, 500, :first + n * 500,
                   :first + n * 500 + 499, 499, 1
            FROM generate_series(0, 79) n, dispatches d WHERE d.id = :dispatch
        """),
        {"dispatch": dispatch.id, "shop": ours.id, "first": first},
    )
    session.execute(
        text("""
            INSERT INTO messages (id, shop_id, dispatch_id, batch_number, phone_hash, country, zone, state, created_at)
            SELECT :first + n, :shop, :dispatch, n / 500, sha256(CAST(n AS text)::bytea), 'GR', 'Europe/Athens',
                   CASE WHEN n % 500 = 250 THEN 'failed' ELSE 'delivered' END, d.created_at
            FROM generate_series(0, 39999) n, dispatches d WHERE d.id = :dispatch
        """),
        {"dispatch": dispatch.id, "shop": ours.id, "first": first},
    )
    session.execute(text("ANALYZE messages, batches"))
    asked = (
        (None, None, 1_500),
        (MessageState.DELIVERED, None, 1_500),
        (MessageState.DELIVERED, Place(70, first + 70 * 500 + 490), 2_000),
        (MessageState.FAILED, None, 11 * 500),
        (MessageState.SKIPPED, None, 0),
    )
    engine, seen = db.session.get_bind(), Read()
    event.listen(engine, "before_cursor_execute", seen.look)
    try:
        for state, after, most in asked:
            seen.most = 0
            found = queries.stretch(ours.id, dispatch.id, state=state, after=after, limit=10)
            assert len(found.rows) == (10 if most else 0)
            assert seen.most <= most, (state, after)
        campaign = create_campaign(ours)
        campaign.stored_state, campaign.dispatch_id = "sending", dispatch.id
        session.flush()
        client = client_for(app, ours.id, "campaigns:read")
        for status, most in (("delivered", 1_500), ("failed", 11 * 500), ("sending", 0)):
            seen.most = 0
            answer = client.get(f"/api/campaigns/{campaign.id}/recipients?status={status}&pageSize=10").get_json()
            assert len(answer["items"]) == (10 if most else 0)
            assert seen.most <= most, f"{status}, by the API"
        assert seen.summed <= 12, "as many as may be needed, and not all 80"
        seen.most = 0
        queries.history(ours.id, dispatch.id, first + 12_345)
        assert seen.most <= 2, "one message"
    finally:
        event.remove(engine, "before_cursor_execute", seen.look)

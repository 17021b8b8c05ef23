"""Clicks are counted once a recipient's link, however many come at once, and read by some rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import IntegrityError

from blossom.links import queries, service
from blossom.links.models import LinkClick, LinkCount
from blossom.messaging.rules import message_ids
from blossom.platform import db
from blossom.platform.db import session
from tests.factories.messaging import create_dispatch
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.personas import Personas

ADDRESSES = {1: "https://shop.example/sale", 2: "https://shop.example/new"}


def linked(shop_id: int) -> int:
    """A dispatch with two links."""
    dispatch_id = create_dispatch(shop_id).id
    service.keep_targets(shop_id, dispatch_id, ADDRESSES)
    return dispatch_id


def test_each_recipients_link_counts_once_and_each_click_too(personas: Personas) -> None:
    shop_id = personas.ours.id
    dispatch_id, other = linked(shop_id), linked(shop_id)
    first = message_ids.of_dispatch(dispatch_id).first
    for message_id, number in ((first, 1), (first, 1), (first, 2), (first + 16, 1)):
        service.record_click(shop_id, dispatch_id, message_id, number)
    assert queries.opened(shop_id, [dispatch_id, other, create_dispatch(shop_id).id]) == {dispatch_id: 3, other: 0}
    assert sum(session.scalars(select(LinkCount.clicks))) == 4
    seen = session.scalars(select(LinkClick).where(LinkClick.message_id == first, LinkClick.number == 1)).one()
    assert (seen.clicks, seen.first_at is not None) == (2, True)


def test_a_link_is_its_shops(personas: Personas) -> None:
    dispatch_id = linked(personas.theirs.id)
    assert queries.target(personas.theirs.id, dispatch_id, 1) == ADDRESSES[1]
    assert queries.target(personas.ours.id, dispatch_id, 1) is None
    assert queries.opened(personas.ours.id, [dispatch_id]) == {}
    with pytest.raises(IntegrityError), session.begin_nested():
        service.record_click(personas.ours.id, dispatch_id, message_ids.of_dispatch(dispatch_id).first, 1)


def test_many_who_click_at_once_are_all_counted(committed_app: Flask) -> None:
    with db.transaction():
        shop = create_shop()
        create_wallet(shop.id)
        shop_id, dispatch_id = shop.id, linked(shop.id)
    first = message_ids.of_dispatch(dispatch_id).first
    texts, times = 40, 5

    def click(place: int) -> None:
        with committed_app.app_context(), db.transaction():
            service.record_click(shop_id, dispatch_id, first + place % texts, 1)

    with ThreadPoolExecutor(8) as people:
        list(people.map(click, range(texts * times)))
    with db.transaction():
        assert queries.opened(shop_id, [dispatch_id]) == {dispatch_id: texts}
        assert sum(session.scalars(select(LinkCount.clicks))) == texts * times
        assert list(session.scalars(select(LinkClick.clicks))) == [times] * texts


def test_a_million_clicks_are_read_by_some_rows(personas: Personas) -> None:
    """Of a dispatch among many, the sums are found by their key; of the clicks themselves nothing is read."""
    shop_id = personas.ours.id
    dispatch_id = linked(shop_id)
    session.execute(
        text("""
            INSERT INTO dispatches (shop_id, kind, state, rank, priority, source, trigger, sender, created_at, total,
                                    left_out)
            SELECT shop_id, kind, state, rank, priority, source, trigger, sender, created_at, total, left_out
            FROM dispatches CROSS JOIN generate_series(1, 3000) WHERE id = :id
        """),
        {"id": dispatch_id},
    )
    session.execute(
        text("""
            INSERT INTO link_targets (dispatch_id, number, shop_id, address)
            SELECT id, 1, shop_id, 'https://shop.example' FROM dispatches WHERE shop_id = :shop_id AND id > :id
        """),
        {"shop_id": shop_id, "id": dispatch_id},
    )
    session.execute(
        text("""
            INSERT INTO link_counts (dispatch_id, number, shard, shop_id, opened, clicks)
            SELECT dispatch_id, number, shard, shop_id, 60, 90
            FROM link_targets CROSS JOIN generate_series(0, 15) AS shard WHERE shop_id = :shop_id
        """),
        {"shop_id": shop_id},
    )
    session.execute(text("ANALYZE link_targets, link_counts"))
    asked: list[str] = []

    def look(connection: Connection, cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        with connection.connection.driver_connection.cursor() as own:
            own.execute(f"EXPLAIN {sql}", parameters)
            asked.extend(row[0] for row in own.fetchall())

    event.listen(session.connection(), "before_cursor_execute", look)
    try:
        assert queries.opened(shop_id, [dispatch_id]) == {dispatch_id: 2 * 16 * 60}
    finally:
        event.remove(session.connection(), "before_cursor_execute", look)
    plan = "\n".join(asked)
    assert "link_counts" in plan
    assert "Seq Scan" not in plan
    assert "link_clicks" not in plan

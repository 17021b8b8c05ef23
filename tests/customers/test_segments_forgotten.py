"""What a reading of a segment of Shopify's leaves behind when it doesn't end as it began."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from blossom.customers import service
from blossom.customers.service import segment_members
from blossom.platform.db import session, transaction
from blossom.segments.models import ShopifySegmentList, ShopifySegmentPage
from blossom.shopify.client import ShopifyClient
from tests.customers.test_segments import EVERYBODY, Segments, die_after, ours
from tests.shops.conftest import OURS

__all__ = ["ours"]


def test_one_that_is_deleted_while_it_is_read_leaves_nobodys_number_behind(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    (number,) = ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    stop_midway(ours, segment_id, monkeypatch)
    ours.shop.shopify.act_on_segment(OURS, number, "delete")
    ours.list()
    assert ours.reading(segment_id).gone_at is not None
    assert numbers_read(segment_id) == set()


def test_who_is_forgotten_is_forgotten_in_the_midst_of_a_reading_too(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    stop_midway(ours, segment_id, monkeypatch)
    first, second = sorted(numbers_read(segment_id))
    with transaction():
        service.note_gone(ours.shop.id + 1, second)
        service.note_gone(ours.shop.id, first)
    assert numbers_read(segment_id) == {second}


def test_a_list_that_begins_again_and_again_is_no_list(ours: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = 0

    def circling(self: ShopifyClient, operation: str, **variables: Any) -> dict[str, Any]:
        nonlocal pages
        pages += 1
        assert pages < 10, "it is asked for ever"
        node = {"id": "gid://shopify/Segment/1", "name": "All"}
        return {"segments": {"nodes": [node], "pageInfo": {"hasNextPage": True, "endCursor": "there"}}}

    monkeypatch.setattr(ShopifyClient, "run", circling)
    assert ours.list() == {}
    with transaction():
        assert session.scalars(select(ShopifySegmentList.fault)).one() == "answer_unreadable"


def stop_midway(ours: Segments, segment_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its four members are read, and the worker is dead."""
    monkeypatch.setattr(segment_members, "PAGE", 1)
    ours.ask(segment_id)
    with monkeypatch.context() as dying:
        die_after(dying, pages=2)
        with pytest.raises(KeyboardInterrupt):
            service.run_segments()
    assert len(numbers_read(segment_id)) == 2


def numbers_read(segment_id: int) -> set[int]:
    """The customers' numbers that a reading under way has gathered."""
    with transaction():
        return set(
            session.scalars(select(ShopifySegmentPage.customer).where(ShopifySegmentPage.segment_id == segment_id))
        )

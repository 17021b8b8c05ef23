"""Segments of Shopify's as they stand once they were listed, and perhaps read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from blossom.contacts.models import Contact
from blossom.platform import clock
from blossom.platform.db import session
from blossom.segments.models import Segment, SegmentMember, ShopifySegment
from blossom.segments.rules import Kind
from blossom.shops.models import Shop

_numbers = count(1)


def create_shopify_segment(shop: Shop, people: Sequence[Contact] | None = None, **overrides: Any) -> ShopifySegment:
    """One that has these people, read just now; None: it was never read. `name`, and fields of `ShopifySegment`."""
    now = clock.now()
    name = overrides.pop("name", "VIP")
    segment = Segment(shop_id=shop.id, name=name, kind=Kind.SHOPIFY, created_at=now, updated_at=now)
    session.add(segment)
    session.flush()
    read: dict[str, Any] = {}
    if people is not None:
        read = {"read_at": now, "members": len(people), "known": len(people), "wanted_at": now}
    made = ShopifySegment(shop_id=shop.id, segment_id=segment.id, shopify_id=next(_numbers), **{**read, **overrides})
    session.add(made)
    session.flush()
    for person in people or ():
        session.add(SegmentMember(shop_id=shop.id, segment_id=segment.id, contact_id=person.id, added_at=now))
    session.flush()
    return made

"""JSON: the segments that an audience can name."""

from __future__ import annotations

from blossom.platform.api import Api, Page, Principal, encode_cursor
from blossom.segments import queries
from blossom.segments.forms import SegmentAnswer, SegmentsQuery, ShopifyAnswer
from blossom.segments.models import Segment
from blossom.segments.rules import Kind, Reading

api = Api("segments")


@api.get(
    "/segments",
    scope="segments:read",
    query=SegmentsQuery,
    answer=Page[SegmentAnswer],
    summary="List segments",
    description="Questions, lists, and Shopify's own segments, the newest first. A campaign's `audience` names them.",
)
def list_segments(caller: Principal, query: SegmentsQuery) -> Page[SegmentAnswer]:
    found = queries.segments(
        caller.shop_id, before_id=query.cursor, kind=query.kind, offset=query.offset, limit=query.page_size + 1
    )
    shown = found[: query.page_size]
    readings = queries.readings(caller.shop_id, [each.id for each in shown if each.kind == Kind.SHOPIFY])
    return Page[SegmentAnswer](
        items=[_segment(each, readings.get(each.id)) for each in shown],
        page=None if query.cursor else query.page,
        page_size=query.page_size,
        total=queries.count_segments(caller.shop_id, query.kind),
        next_cursor=encode_cursor(shown[-1].id) if len(found) > len(shown) else None,
    )


def _segment(segment: Segment, reading: Reading | None) -> SegmentAnswer:
    return SegmentAnswer(
        id=segment.id,
        name=segment.name,
        kind=Kind(segment.kind),
        rules=segment.rules,
        shopify=None if reading is None else _shopify(reading),
        created_at=segment.created_at,
        updated_at=segment.updated_at,
    )


def _shopify(reading: Reading) -> ShopifyAnswer:
    return ShopifyAnswer(
        members=reading.members,
        contacts=reading.known,
        read_at=reading.read_at,
        is_being_read=reading.is_open,
        fault=reading.fault,
        deleted_at=reading.gone_at,
    )

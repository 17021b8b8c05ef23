"""Shopify's own segments among the merchant's: who is in one as it was read last, and having it read again."""

from __future__ import annotations

from flask import Response, request

from blossom.customers import service as customers
from blossom.people import queries, rules
from blossom.people.rules import read_mark
from blossom.people.views.routes import SEGMENT, views
from blossom.platform import htmx, pages, queue
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.segments import queries as segments
from blossom.segments.models import Segment
from blossom.segments.rules import Reading
from blossom.shopify.errors import final_trouble, trouble
from blossom.shops import queries as shops


@views.get(f"{SEGMENT}/reading")
def reading(segment_id: int) -> Response:
    """How its reading stands: what a page looks at by itself while that goes on (`whole`: of the segment's own page,
    which is shown anew at its end)."""
    caller = pages.caller_with("segments:read")
    one = _reading(caller, segment_id)
    if request.args.get("whole") and not one.is_open:
        response = page(caller, segments.segment(caller.shop_id, segment_id))
        response.headers["HX-Retarget"] = "#segment"
        return response
    return _standing(caller, one)


@views.post(f"{SEGMENT}/reading")
def read_again(segment_id: int) -> Response:
    """Have it read now, whenever that was done last."""
    caller = pages.caller_with("segments:write")
    one = _reading(caller, segment_id)
    customers.ask_for_members(caller.shop_id, [one.segment_id])
    return _standing(caller, _reading(caller, segment_id))


def have_listed(shop_id: int) -> None:
    """Somebody looks at Shopify's segments: a job asks Shopify which there are."""
    queue.enqueue("customers.list_segments", queue="sync", unless_waiting=True, shop_id=shop_id)


def page(caller: Principal, found: Segment) -> Response:
    """Who is in it, and as of when."""
    one = _reading(caller, found.id)
    after = request.args.get("after")
    mark = read_mark(after) if after else None
    if after and mark is None:
        raise NotFound("page")
    return htmx.page_or_partial(
        "segments/shopify.html",
        "segments/_shopify.html",
        shop=shops.get_shop(caller.shop_id),
        segment=found,
        one=one,
        why=why(one),
        whole=True,
        listing=queries.members(caller.shop_id, found.id, mark),
        first=mark is None,
        words=rules,
        may_write="segments:write" in caller.scopes,
    )


def why(one: Reading) -> str | None:
    """What was the matter when Shopify was asked last, in a merchant's words."""
    if one.fault is None:
        return None
    return trouble(one.fault) if one.is_open else final_trouble(one.fault)


def _standing(caller: Principal, one: Reading) -> Response:
    return htmx.page_or_partial(
        "segments/reading.html",
        "segments/_reading.html",
        shop=shops.get_shop(caller.shop_id),
        one=one,
        why=why(one),
        whole=bool(request.args.get("whole")),
        may_write="segments:write" in caller.scopes,
    )


def _reading(caller: Principal, segment_id: int) -> Reading:
    found = segments.readings(caller.shop_id, [segment_id]).get(segment_id)
    if found is None:
        raise NotFound("segment")
    return found

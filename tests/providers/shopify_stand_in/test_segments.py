"""Shopify's segments at the stand-in: who is in them follows from what customers are now."""

from __future__ import annotations

from typing import Any

import pytest

from blossom.sandbox.shopify.process import StandInError
from tests.providers.shopify_stand_in.conftest import OURS, THEIRS, Shopify

PEOPLE: list[dict[str, Any]] = [
    {"first_name": "A", "orders": 3, "amount_spent": 10_000, "country": "GR", "tags": ["vip"]},
    {"first_name": "B", "orders": 1, "amount_spent": 50_000, "country": "DE"},
    {"first_name": "C", "orders": 0, "country": "GR", "phone": "+306984303401", "consent": {"state": "SUBSCRIBED"}},
]


@pytest.fixture
def people(shopify: Shopify) -> list[int]:
    return [person["id"] for person in shopify.stand_in.add_customers(OURS, *PEOPLE)]


def _members(shopify: Shopify, segment: dict[str, Any], first: int = 100, after: str | None = None) -> Any:
    variables = {"segment": f"gid://shopify/Segment/{segment['id']}", "first": first, "after": after}
    return shopify.run(shopify.token(), "segment_members", **variables)


def _numbers(answer: Any) -> list[int]:
    edges = answer["data"]["customerSegmentMembers"]["edges"]
    gids = [edge["node"]["id"] for edge in edges]
    assert all(gid.startswith("gid://shopify/CustomerSegmentMember/") for gid in gids), "never Customer's ids"
    return [int(gid.rpartition("/")[2]) for gid in gids]


@pytest.mark.parametrize(
    ("query", "who"),
    [
        ("number_of_orders >= 3", [0]),
        ("number_of_orders >= 1 AND customer_countries CONTAINS 'GR'", [0]),
        ("amount_spent > 100 OR sms_subscription_status = 'SUBSCRIBED'", [1, 2]),
        ("customer_tags NOT CONTAINS 'vip'", [1, 2]),
        ("number_of_orders > 99", []),
    ],
)
def test_a_segment_has_whom_its_query_names(shopify: Shopify, people: list[int], query: str, who: list[int]) -> None:
    (segment,) = shopify.stand_in.add_segments(OURS, Some=query)
    answer = _members(shopify, segment)
    assert _numbers(answer) == [people[each] for each in who]
    assert answer["data"]["customerSegmentMembers"]["totalCount"] == len(who)


def test_members_come_in_pages_and_a_page_costs_its_people(shopify: Shopify, people: list[int]) -> None:
    (segment,) = shopify.stand_in.add_segments(OURS, All="number_of_orders >= 0")
    first = _members(shopify, segment, first=2)
    page = first["data"]["customerSegmentMembers"]["pageInfo"]
    assert page["hasNextPage"]
    second = _members(shopify, segment, first=2, after=page["endCursor"])
    assert _numbers(first) + _numbers(second) == people
    assert not second["data"]["customerSegmentMembers"]["pageInfo"]["hasNextPage"]
    assert first["extensions"]["cost"]["requestedQueryCost"] == 1 + 2 + 2
    too_dear = _members(shopify, segment, first=1_000)
    assert too_dear["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"


def test_a_deleted_segment_is_said_to_be_gone(shopify: Shopify, people: list[int]) -> None:
    (segment,) = shopify.stand_in.add_segments(OURS, All="number_of_orders >= 0")
    shopify.stand_in.act_on_segment(OURS, segment["id"], "delete")
    answer = _members(shopify, segment)
    assert answer["data"] is None
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"NOT_FOUND"}
    assert shopify.run(shopify.token(), "segments", first=10)["data"]["segments"]["nodes"] == []


def test_a_renamed_segment_keeps_its_id_and_another_shop_has_none(shopify: Shopify) -> None:
    (segment,) = shopify.stand_in.add_segments(OURS, Old="number_of_orders >= 0")
    shopify.stand_in.act_on_segment(OURS, segment["id"], "update", name="New")
    listed = shopify.run(shopify.token(), "segments", first=10)["data"]["segments"]["nodes"]
    assert listed == [{"id": f"gid://shopify/Segment/{segment['id']}", "name": "New"}]
    assert shopify.run(shopify.token(THEIRS), "segments", THEIRS, first=10)["data"]["segments"]["nodes"] == []


def test_what_is_no_query_or_a_name_twice_is_refused(shopify: Shopify) -> None:
    for query in ("", "number_of_orders", "shoe_size = 4", "customer_tags = 'vip'", "number_of_orders > 1 XOR"):
        with pytest.raises(StandInError):
            shopify.stand_in.add_segments(OURS, Some=query)
    shopify.stand_in.add_segments(OURS, Some="number_of_orders > 1")
    with pytest.raises(StandInError, match="taken"):
        shopify.stand_in.add_segments(OURS, Some="number_of_orders > 2")

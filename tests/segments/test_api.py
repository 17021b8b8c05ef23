"""GET /api/segments: what an audience can name, Shopify's own among it."""

from __future__ import annotations

import pytest
from flask import Flask

from blossom.platform import clock, db
from blossom.segments import service as segments
from blossom.segments.rules import Condition, Field, Match, Question
from tests.api.client import ApiClient, client_for
from tests.factories.consent import create_subscriber
from tests.factories.segments import create_shopify_segment
from tests.personas import Personas

GREEKS = Question(Match.ALL, (Condition(Field.COUNTRY, "in", ["GR"]),))


@pytest.fixture
def ours(app: Flask, personas: Personas) -> ApiClient:
    shop = personas.ours
    segments.create_segment(shop.id, "Greeks", GREEKS)
    segments.create_segment(shop.id, "Friends")
    create_shopify_segment(shop, [create_subscriber(shop)], name="Regulars", members=3)
    create_shopify_segment(shop, name="New", state="wanted", next_try_at=clock.now())
    segments.create_segment(personas.theirs.id, "Theirs")
    client = client_for(app, shop.id)
    db.end_request(200)
    return client


def test_all_kinds_are_listed_the_newest_first(ours: ApiClient) -> None:
    listed = ours.get("/api/segments").get_json()
    assert [(each["name"], each["kind"]) for each in listed["items"]] == [
        ("New", "shopify"),
        ("Regulars", "shopify"),
        ("Friends", "static"),
        ("Greeks", "rules"),
    ]
    assert listed["items"][3]["rules"] == GREEKS.to_json()
    assert listed["total"] == 4


def test_of_shopifys_it_says_what_was_read_and_when(ours: ApiClient) -> None:
    new, regulars = (each["shopify"] for each in ours.get("/api/segments?kind=shopify").get_json()["items"])
    assert (regulars["members"], regulars["contacts"], regulars["isBeingRead"]) == (3, 1, False)
    assert regulars["readAt"] is not None
    assert (new["members"], new["readAt"], new["isBeingRead"]) == (None, None, True)


def test_pages_follow_by_number_and_by_cursor(ours: ApiClient) -> None:
    first = ours.get("/api/segments?pageSize=3").get_json()
    after = ours.get(f"/api/segments?pageSize=3&cursor={first['nextCursor']}").get_json()
    assert [each["name"] for each in after["items"]] == ["Greeks"]
    assert after["nextCursor"] is None
    assert [each["name"] for each in ours.get("/api/segments?pageSize=3&page=2").get_json()["items"]] == ["Greeks"]


def test_a_key_without_the_right_gets_none(app: Flask, ours: ApiClient, personas: Personas) -> None:
    client = client_for(app, personas.ours.id, "campaigns:read")
    assert client.get("/api/segments").status_code == 403

"""Tests of texts by the API. Each answer is held against the OpenAPI document by the client itself."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import AbTest
from blossom.messaging import service as messaging
from blossom.messaging.models import Dispatch
from blossom.shops.models import Shop
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import create_campaign, make_ready
from tests.personas import Personas

LINK = '{{ "https://shop.example/sale" | shortlink }}'
TEST: dict[str, Any] = {"texts": ["Text B"], "shares": [10, 20], "winner": "clicks", "afterMinutes": 60}
STORED = {"texts": ["Text B"], "shares": [10, 20], "winner": "clicks", "after_minutes": 60}


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours, subscribers=20)
    return personas.ours


@pytest.fixture
def client(app: Flask, ours: Shop) -> ApiClient:
    return client_for(app, ours.id)


def sending(shop: Shop, **overrides: Any) -> Campaign:
    """A campaign whose audience is fixed, and nothing sent yet."""
    campaign = create_campaign(shop, body="Text A", ab_test=AbTest.from_json({**STORED, **overrides}))
    campaign = service.enqueue_campaign(shop.id, campaign.id, actor="test")
    assert campaign.dispatch_id is not None
    assert messaging.prepare_dispatch(shop.id, campaign.dispatch_id)
    return campaign


def test_a_test_is_written_read_changed_copied_and_taken_away(client: ApiClient) -> None:
    made = client.post("/api/campaigns", {"name": "Sale", "body": "Text A", "abTest": TEST})
    assert (made.status_code, made.get_json()["abTest"]) == (201, TEST)
    address = f"/api/campaigns/{made.get_json()['id']}"
    assert client.put(address, {"name": "Sale 2"}).get_json()["abTest"] == TEST, "what is not named stays"
    split = {"texts": ["B", "C"], "shares": [50, 25, 25], "winner": None, "afterMinutes": None}
    assert client.put(address, {"abTest": split}).get_json()["abTest"] == split
    assert client.post(f"{address}/duplicate", {}).get_json()["abTest"] == split
    assert client.put(address, {"abTest": None}).get_json()["abTest"] is None
    assert client.get(address).get_json()["abTest"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shares": [10]}, "abTest.shares"),
        ({"shares": [10, 20, 30]}, "abTest"),
        ({"shares": [51, 1]}, "abTest.shares.0"),
        ({"texts": []}, "abTest.texts"),
        ({"texts": ["x" * 100_000]}, "abTest.texts.0"),
        ({"winner": "revenue"}, "abTest.winner"),
        ({"winner": None}, "abTest"),
        ({"afterMinutes": 29}, "abTest"),
        ({"afterMinutes": "60"}, "abTest.afterMinutes"),
        ({"odd": 1}, "abTest.odd"),
    ],
)
def test_what_can_not_be_a_test_is_refused_at_its_field(client: ApiClient, change: dict[str, Any], field: str) -> None:
    answer = client.post("/api/campaigns", {"name": "Sale", "abTest": {**TEST, **change}})
    assert answer.status_code == 422
    assert list(answer.get_json()["details"]["fields"]) == [field]


def test_a_faulty_text_is_named_by_its_letter(client: ApiClient, ours: Shop) -> None:
    faulty = AbTest.from_json({**STORED, "texts": ["Text B {{ nothing }}", ""], "shares": [10, 10, 10]})
    campaign = create_campaign(ours, body="Text A", ab_test=faulty)
    for answer in (
        client.post(f"/api/campaigns/{campaign.id}/enqueue"),
        client.put(f"/api/campaigns/{campaign.id}/schedule", {"at": "2030-01-01T10:00"}),
    ):
        assert answer.status_code == 422
    refused = client.post(f"/api/campaigns/{campaign.id}/enqueue").get_json()
    reasons = refused["details"]["reasons"]
    assert {reason["text"] for reason in reasons} == {"B", "C"}
    assert all(reason["message"].startswith(f"Text {reason['text']}: ") for reason in reasons)
    preview = client.get(f"/api/campaigns/{campaign.id}/preview").get_json()
    assert {reason["text"] for reason in preview["reasons"]} == {"B", "C"}


def test_more_links_than_codes_can_tell_apart_are_refused(client: ApiClient, ours: Shop) -> None:
    links = " ".join(f'{{{{ "https://s.example/{number}" | shortlink }}}}' for number in range(16))
    for last, code in (("one", None), (links, "too_many_links")):
        test = AbTest.from_json({**STORED, "texts": [links, links, last], "shares": [10, 10, 10, 10]})
        campaign = create_campaign(ours, body=links, ab_test=test)
        reasons = client.get(f"/api/campaigns/{campaign.id}/preview").get_json()["reasons"]
        assert (code in {reason["code"] for reason in reasons}) == (code is not None)


def test_the_preview_tells_of_each_text_and_costs_the_most_that_it_can(client: ApiClient, ours: Shop) -> None:
    dear = "Text B " + "x" * 300
    campaign = create_campaign(ours, body="Text A", ab_test=AbTest.from_json({**STORED, "texts": [dear]}))
    seen = client.get(f"/api/campaigns/{campaign.id}/preview").get_json()
    cheap = create_campaign(ours, body="Text A")
    alone = client.get(f"/api/campaigns/{cheap.id}/preview").get_json()
    assert alone["texts"] == []
    assert seen["canSend"] is True
    assert seen["segmentsTotal"] == 3 * alone["segmentsTotal"] == 60
    assert seen["estimatedCost"] == 3 * alone["estimatedCost"]
    price = alone["estimatedCost"] // 20
    told = [(each["text"], each["share"], each["recipients"], each["estimatedCost"]) for each in seen["texts"]]
    assert told == [("A", 10, 2, 2 * price), ("B", 20, 4, 12 * price)]
    assert [each["segmentsMax"] for each in seen["texts"]] == [1, 3]
    assert [each["sample"]["text"][:6] for each in seen["texts"]] == ["Text A", "Text B"]


def test_a_winner_is_chosen_once(client: ApiClient, session: Session, ours: Shop) -> None:
    campaign = sending(ours, winner="by_hand")
    address = f"/api/campaigns/{campaign.id}"
    before = client.get(f"{address}/stats").get_json()["abTest"]
    assert (before["waiting"], before["winner"], before["decidesAt"]) == (14, None, None)
    assert [(each["text"], each["recipients"], each["isWinner"]) for each in before["texts"]] == [
        ("A", 2, False),
        ("B", 4, False),
    ]
    assert client.get(f"{address}/progress").get_json()["waiting"] == 14
    for _ in range(2):
        chosen = client.post(f"{address}/winner", {"text": "B"})
        assert (chosen.status_code, chosen.get_json()["status"]) == (200, "sending")
    other = client.post(f"{address}/winner", {"text": "A"})
    assert (other.status_code, other.get_json()["code"]) == (409, "invalid_status")
    after = client.get(f"{address}/stats").get_json()["abTest"]
    assert (after["waiting"], after["winner"]) == (0, "B")
    assert after["chosenBy"].startswith("api_key:")
    assert [(each["recipients"], each["isWinner"]) for each in after["texts"]] == [(2, False), (18, True)]
    trail = session.execute(
        text("SELECT details FROM audit_entries WHERE action = 'campaigns.winner_chosen' AND subject_id = :id"),
        {"id": campaign.id},
    ).all()
    assert [row.details for row in trail] == [{"text": "B"}]


@pytest.mark.parametrize(("letter", "status"), [("D", 409), ("E", 422), ("b", 422), ("", 422), (None, 422), (1, 422)])
def test_only_a_text_of_the_test_can_win(client: ApiClient, ours: Shop, letter: Any, status: int) -> None:
    campaign = sending(ours)
    assert client.post(f"/api/campaigns/{campaign.id}/winner", {"text": letter}).status_code == status


def test_of_one_text_or_before_it_is_sent_there_is_no_winner(client: ApiClient, ours: Shop) -> None:
    draft = create_campaign(ours, body="Text A", ab_test=AbTest.from_json(STORED))
    answer = client.post(f"/api/campaigns/{draft.id}/winner", {"text": "B"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "invalid_status")
    assert client.get(f"/api/campaigns/{draft.id}/stats").get_json()["abTest"] is None
    plain = service.enqueue_campaign(ours.id, create_campaign(ours).id, actor="test")
    answer = client.post(f"/api/campaigns/{plain.id}/winner", {"text": "A"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "nothing_to_choose")
    assert client.get(f"/api/campaigns/{plain.id}/stats").get_json()["abTest"] is None


def test_recipients_tell_their_text(client: ApiClient, ours: Shop) -> None:
    campaign = sending(ours)
    items = client.get(f"/api/campaigns/{campaign.id}/recipients").get_json()["items"]
    letters = [item["text"] for item in items]
    assert (letters.count("A"), letters.count("B"), letters.count(None)) == (2, 4, 14)


def test_each_text_can_be_tried_out(client: ApiClient, session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours, body="Text A", ab_test=AbTest.from_json(STORED))
    address = f"/api/campaigns/{campaign.id}/test-send"
    phones = ["+306912345678"]
    sources = []
    for letter in ("A", "B"):
        made = client.post(address, {"phones": phones, "text": letter}).get_json()
        sources.append(session.get_one(Dispatch, made["dispatchId"]).source[:6])
    assert sources == ["Text A", "Text B"]
    assert client.post(address, {"phones": phones, "text": "C"}).status_code == 404

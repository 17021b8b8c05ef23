"""What a merchant asks the provider through the API: who may, and at which rate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.campaigns.models import Campaign
from blossom.campaigns.service import asking
from blossom.messaging.service import provider
from blossom.mitto.errors import SendError
from blossom.mitto.payloads import MessageStatus
from blossom.platform import config, stopping
from blossom.platform.throttle import Bucket, Throttle
from blossom.shops.models import Shop
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import add_messages, create_campaign, create_sending, make_ready
from tests.personas import Personas

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HUGE = 99999999999999999999
RATE = 200


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours)
    return personas.ours


@pytest.fixture
def client(app: Flask, ours: Shop) -> ApiClient:
    return client_for(app, ours.id)


@pytest.fixture
def underway(session: Session, ours: Shop) -> Campaign:
    campaign = create_sending(ours)
    add_messages(campaign, sent=1, delivered=2)
    return campaign


class _Provider:
    """Answers status calls: delivered, but for an id that it lost and one that can't be asked about."""

    def status(self, message_id: str) -> MessageStatus | None:
        if message_id == "lost":
            return None
        if message_id == "down":
            raise SendError("could_not_connect")
        return MessageStatus(message_id, "Delivered", (), None, None, NOW, NOW, None, None, 1)


@pytest.fixture
def asked(session: Session, underway: Campaign, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """The campaign's first three messages were sent under the ids `known`, `lost` and `down`."""
    ids = session.scalars(text("SELECT id FROM messages ORDER BY id LIMIT 3")).all()
    for message_id, provider_id in zip(ids, ("known", "lost", "down"), strict=True):
        session.execute(
            text("UPDATE messages SET state = 'sent', provider_message_id = :provider_id WHERE id = :id"),
            {"id": message_id, "provider_id": provider_id},
        )
        session.execute(
            text("INSERT INTO provider_messages VALUES (:provider_id, :shop_id, :id)"),
            {"id": message_id, "provider_id": provider_id, "shop_id": underway.shop_id},
        )
    session.commit()
    monkeypatch.setattr(provider, "client", _Provider)
    return underway


def test_one_status_is_asked_for_and_taken_over(client: ApiClient, asked: Campaign, session: Session) -> None:
    def refreshed(provider_id: str) -> Any:
        return client.post("/api/mitto/refresh-status", {"providerMessageId": provider_id}).get_json()

    assert refreshed("known") == {"providerMessageId": "known", "status": "Delivered", "updated": True, "error": None}
    assert (refreshed("lost")["status"], refreshed("lost")["updated"]) == (None, False)
    assert refreshed("down")["error"] == "could_not_connect"
    assert refreshed("never heard of")["code"] == "not_found"
    state = session.execute(text("SELECT state FROM messages WHERE provider_message_id = 'known'")).scalar_one()
    assert state == "delivered"


def test_theirs_is_not_asked_about(app: Flask, asked: Campaign, personas: Personas) -> None:
    client = client_for(app, personas.theirs.id)
    assert client.post("/api/mitto/refresh-status", {"providerMessageId": "known"}).status_code == 404
    assert client.post("/api/mitto/refresh-status-bulk", {"campaignId": asked.id}).status_code == 404


def test_a_campaigns_statuses_are_asked_for_together(client: ApiClient, asked: Campaign, ours: Shop) -> None:
    found = client.post("/api/mitto/refresh-status-bulk", {"campaignId": asked.id}).get_json()
    assert (found["total"], found["updated"], found["failed"]) == (3, 1, 1)
    assert {result["providerMessageId"] for result in found["results"]} == {"known", "lost", "down"}
    draft = create_campaign(ours)
    assert client.post("/api/mitto/refresh-status-bulk", {"campaignId": draft.id}).get_json()["total"] == 0
    for bad in ({}, {"campaignId": "1"}, {"campaignId": HUGE}, {"campaignId": 0}):
        assert client.post("/api/mitto/refresh-status-bulk", bad).status_code == 422


# --- at the account's rate


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, app: Flask) -> Bucket:
    """The bucket that our shop's texts are paid from, full."""
    settings = replace(config.current(), mitto_texts_per_second=RATE)
    monkeypatch.setattr(config, "_current", settings)
    return Bucket(f"account:{settings.mitto_traffic_account_id}", RATE)


def owed(account: Bucket) -> float:
    """The tokens that are missing from a full bucket, which fills meanwhile."""
    taken = 10 * RATE  # into the red, where it can be read
    seconds = Throttle().take([account], taken)
    Throttle().put_back([account], taken)
    return seconds * account.rate - taken + RATE


@pytest.mark.parametrize(
    ("path", "body"),
    [("refresh-status", {"providerMessageId": "known"}), ("refresh-status-bulk", {"campaignId": None})],
)
def test_when_the_account_s_rate_is_used_up_nobody_may_ask(
    client: ApiClient, asked: Campaign, account: Bucket, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    if "campaignId" in body:
        body = {"campaignId": asked.id}
    Throttle().take([account], 11 * RATE)  # ten seconds' worth of texts wait for their turn
    monkeypatch.setattr(provider, "client", lambda: pytest.fail("the provider was asked"))
    before = owed(account)
    refused = client.post(f"/api/mitto/{path}", body)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_questions")
    assert 8 <= int(refused.headers["Retry-After"]) <= 11
    assert owed(account) <= before, "what was not asked is not paid for"


def test_a_short_wait_is_waited_for(
    client: ApiClient, asked: Campaign, account: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    Throttle().take([account], 3 * RATE)
    monkeypatch.setattr(stopping, "wait", wait)
    assert client.post("/api/mitto/refresh-status", {"providerMessageId": "known"}).get_json()["updated"]
    assert 0 < waits[0] <= asking.LONGEST_WAIT


def test_each_question_is_paid_for_and_no_more(client: ApiClient, asked: Campaign, account: Bucket) -> None:
    Throttle().take([account], RATE)
    before = owed(account)
    assert client.post("/api/mitto/refresh-status-bulk", {"campaignId": asked.id}).get_json()["total"] == 3
    assert owed(account) <= before + 3, "leave for 97 more was given back"
    client.post("/api/mitto/refresh-status", {"providerMessageId": "never heard of"})
    assert owed(account) <= before + 3


def test_a_shop_with_an_account_of_its_own_is_not_kept_by_the_others(
    client: ApiClient, asked: Campaign, account: Bucket, ours: Shop, session: Session
) -> None:
    Throttle().take([account], 11 * RATE)
    ours.traffic_account_id = "00000000-0000-0000-0000-00000000000b"
    session.flush()
    assert client.post("/api/mitto/refresh-status", {"providerMessageId": "known"}).status_code == 200

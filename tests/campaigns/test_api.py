"""The campaigns' routes. Each answer is held against the OpenAPI document by the client itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.campaigns.models import Campaign
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.service import store_receipts
from blossom.mitto import payloads
from blossom.platform import clock
from blossom.shops.models import Shop
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import (
    add_messages,
    create_campaign,
    create_completed,
    create_sending,
    end_dispatch,
    make_ready,
)
from tests.factories.contacts import create_contact
from tests.personas import Personas

_CALLED = text("""
WITH made AS (
    INSERT INTO attempts (shop_id, dispatch_id, batch_number, state, worker, claimed_at, lease_until, called_at)
    SELECT shop_id, dispatch_id, number, 'unknown', 'test', :now, :now, :now FROM batches
    WHERE dispatch_id = :dispatch_id RETURNING id
)
UPDATE messages SET attempt_id = (SELECT id FROM made) WHERE dispatch_id = :dispatch_id
""")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HUGE = 99999999999999999999

ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "", "campaigns:read", None),
    ("PUT", "", "campaigns:write", {"name": "New name"}),
    ("DELETE", "", "campaigns:write", None),
    ("POST", "/duplicate", "campaigns:write", {}),
    ("PUT", "/schedule", "campaigns:send", {"at": "2027-01-01T10:00"}),
    ("DELETE", "/schedule", "campaigns:send", None),
    ("POST", "/enqueue", "campaigns:send", None),
    ("POST", "/pause", "campaigns:send", None),
    ("POST", "/resume", "campaigns:send", None),
    ("POST", "/cancel", "campaigns:send", None),
    ("POST", "/winner", "campaigns:send", {"text": "B"}),
    ("POST", "/retry-failed", "campaigns:send", {}),
    ("POST", "/retry-unconfirmed", "campaigns:send", None),
    ("POST", "/test-send", "campaigns:send", {"phones": ["+306912345678"]}),
    ("GET", "/status", "campaigns:read", None),
    ("GET", "/progress", "campaigns:read", None),
    ("GET", "/preview", "campaigns:read", None),
    ("GET", "/recipients", "campaigns:read", None),
    ("GET", "/stats", "campaigns:read", None),
]
OTHERS: list[tuple[str, str, str, Any]] = [
    ("GET", "/api/campaigns", "campaigns:read", None),
    ("POST", "/api/campaigns", "campaigns:write", {"name": "New"}),
    ("GET", "/api/campaigns/stats?ids=1", "campaigns:read", None),
    ("GET", "/api/campaigns/queue/stats", "operator", None),
    ("POST", "/api/mitto/refresh-status", "campaigns:send", {"providerMessageId": "x"}),
    ("POST", "/api/mitto/refresh-status-bulk", "campaigns:send", {"campaignId": 1}),
]
BY_NAME = [f"{method} {path}" for method, path, _, _ in ROUTES]


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours)
    return personas.ours


@pytest.fixture
def client(app: Flask, ours: Shop) -> ApiClient:
    return client_for(app, ours.id)


# --- who may


def test_the_table_above_names_every_route_of_campaigns(app: Flask) -> None:
    tried = {(method, f"/campaigns/<int:campaign_id>{path}") for method, path, _, _ in ROUTES}
    tried |= {(method, path.removeprefix("/api").partition("?")[0]) for method, path, _, _ in OTHERS}
    assert tried == {(route.method, route.path) for route in app.extensions["blossom_api"] if route.tag == "campaigns"}


@pytest.mark.parametrize(("method", "path", "scope", "body"), ROUTES, ids=BY_NAME)
def test_theirs_is_not_found(
    app: Flask, session: Session, personas: Personas, client: ApiClient, method: str, path: str, scope: str, body: Any
) -> None:
    make_ready(personas.theirs)
    theirs = create_sending(personas.theirs)
    for campaign_id in (theirs.id, 10**17):
        answer = client.call(method, f"/api/campaigns/{campaign_id}{path}", json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    session.refresh(theirs)
    assert theirs.state.value == "sending"


@pytest.mark.parametrize(
    ("method", "path", "scope", "body"),
    [(method, f"/api/campaigns/1{path}", scope, body) for method, path, scope, body in ROUTES] + OTHERS,
)
def test_without_the_right_it_is_forbidden(
    app: Flask, ours: Shop, method: str, path: str, scope: str, body: Any
) -> None:
    rights = {"campaigns:read", "campaigns:write", "campaigns:send", "operator"} - {scope}
    answer = client_for(app, ours.id, *rights).call(method, path, json=body)
    assert (answer.status_code, answer.get_json()["details"]) == (403, {"needed": scope})


@pytest.mark.parametrize("campaign_id", [HUGE, 0, "x", "1%00"])
@pytest.mark.parametrize(("method", "path", "scope", "body"), ROUTES, ids=BY_NAME)
def test_an_id_that_cannot_be_is_not_found(
    client: ApiClient, campaign_id: object, method: str, path: str, scope: str, body: Any
) -> None:
    assert client.call(method, f"/api/campaigns/{campaign_id}{path}", json=body).status_code in (404, 405)


# --- written


def test_written_read_changed_and_deleted(client: ApiClient) -> None:
    made = client.post("/api/campaigns", {"name": " Sale ", "body": "Hi", "audience": {"all": True}})
    assert made.status_code == 201
    campaign = made.get_json()
    assert campaign["name"] == "Sale"
    assert (campaign["status"], campaign["version"], campaign["priority"]) == ("draft", 1, "normal")
    address = f"/api/campaigns/{campaign['id']}"
    changed = client.put(address, {"priority": "high", "audience": None, "version": 1}).get_json()
    assert (changed["priority"], changed["audience"], changed["name"], changed["version"]) == ("high", None, "Sale", 2)
    assert client.get(address).get_json() == changed
    assert client.put(address, {"name": "Late", "version": 1}).get_json()["code"] == "changed_meanwhile"
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": 7}, "name"),
        ({"name": "Sale\0"}, "name"),
        ({"name": "Sale\nof the year"}, "name"),
        ({"name": "\u200b\u202e"}, "name"),
        ({"name": "Sale", "body": "x" * 2001}, "body"),
        ({"name": "Sale", "priority": "urgent"}, "priority"),
        ({"name": "Sale", "audience": []}, "audience"),
        ({"name": "Sale", "audience": {}}, "audience"),
        ({"name": "Sale", "audience": {"all": True, "segments": [1]}}, "audience"),
        ({"name": "Sale", "audience": {"segments": ["1"]}}, "audience"),
        ({"name": "Sale", "audience": {"segments": [HUGE]}}, "audience.segments.0"),
        ({"name": "Sale", "audience": {"segments": [123456]}}, "audience"),
        ({"name": "Sale", "audience": {"everyone": True}}, "audience"),
        ({"name": "Sale", "state": "sent"}, "state"),
    ],
)
def test_what_cannot_be_a_campaign_is_refused_by_field(client: ApiClient, body: Any, field: str) -> None:
    answer = client.post("/api/campaigns", body)
    assert (answer.status_code, list(answer.get_json()["details"]["fields"])) == (422, [field])


def test_listed_the_newest_first_by_page_and_by_cursor(client: ApiClient, ours: Shop) -> None:
    ids = [create_campaign(ours, name=f"Sale {number}").id for number in range(5)][::-1]

    def listed(query: str) -> Any:
        return client.get(f"/api/campaigns?{query}").get_json()

    first = listed("page=1&pageSize=2")
    assert ([item["id"] for item in first["items"]], first["total"], first["page"]) == (ids[:2], 5, 1)
    assert [item["id"] for item in listed("page=3&pageSize=2")["items"]] == ids[4:]
    assert listed("page=4&pageSize=2")["items"] == []
    second = listed(f"pageSize=2&cursor={first['nextCursor']}")
    third = listed(f"pageSize=2&cursor={second['nextCursor']}")
    assert [item["id"] for item in second["items"] + third["items"]] == ids[2:]
    assert (second["page"], third["nextCursor"]) == (None, None)


def test_listed_by_state_and_with_figures(client: ApiClient, session: Session, ours: Shop) -> None:
    create_campaign(ours)
    done = create_completed(ours)
    add_messages(done, delivered=3, failed=1)
    session.flush()
    [item] = client.get("/api/campaigns?status=completed&withStats=true").get_json()["items"]
    assert item["id"] == done.id
    assert (item["stats"]["sent"], item["stats"]["delivered"], item["stats"]["deliveredRate"]) == (4, 3, 0.75)
    assert client.get("/api/campaigns").get_json()["items"][0]["stats"] is None
    session.execute(text("UPDATE campaigns SET state = 'sent' WHERE id = :id"), {"id": done.id})
    for word in ("completed", "sent"):
        assert client.get(f"/api/campaigns?status={word}").get_json()["items"][0]["status"] == "completed"
    assert client.get("/api/campaigns?status=flying").status_code == 422


def test_copied_into_a_draft(client: ApiClient, ours: Shop) -> None:
    done = create_completed(ours)
    copy = client.post(f"/api/campaigns/{done.id}/duplicate", {"name": "Again"}).get_json()
    assert (copy["name"], copy["status"], copy["dispatchId"], copy["body"]) == ("Again", "draft", None, done.body)
    assert client.post(f"/api/campaigns/{done.id}/duplicate").get_json()["name"] == "Sale (copy)"


# --- planned


def test_planned_and_taken_off(client: ApiClient, ours: Shop) -> None:
    address = f"/api/campaigns/{create_campaign(ours).id}/schedule"
    with clock.frozen_at(NOW):
        plan = client.put(address, {"at": "2026-12-01T10:00"}).get_json()
        assert (plan["status"], plan["schedule"]["kind"]) == ("scheduled", "at")
        assert plan["schedule"]["at"] == plan["schedule"]["dueAt"] == "2026-12-01T08:00:00Z"
        plan = client.put(address, {"at": "2026-12-01T10:00", "local": True}).get_json()["schedule"]
        assert plan == {"kind": "local", "at": None, "localAt": "2026-12-01T10:00:00", "dueAt": "2026-11-30T20:00:00Z"}
        for _ in range(2):
            draft = client.delete(address).get_json()
            assert (draft["status"], draft["schedule"]) == ("draft", None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"at": "2026-11-20T13:00"}, "schedule_in_past"),
        ({"at": "2026-11-20T11:00:00Z"}, "schedule_in_past"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "schedule_too_far"),
        ({"at": "2026-12-01T10:00:00Z", "local": True}, "invalid_schedule"),
        ({"at": "tomorrow"}, "invalid_input"),
        ({"at": 1800000000}, "invalid_input"),
        ({"at": "10000-01-01T00:00"}, "invalid_input"),
        ({"at": None}, "invalid_input"),
        ({"at": "2026-12-01T10:00", "local": "yes"}, "invalid_input"),
        ({}, "invalid_input"),
    ],
)
def test_a_time_that_cannot_be_is_refused(client: ApiClient, ours: Shop, body: Any, code: str) -> None:
    with clock.frozen_at(NOW):
        answer = client.put(f"/api/campaigns/{create_campaign(ours).id}/schedule", body)
    assert (answer.status_code, answer.get_json()["code"]) == (422, code)


# --- looked at beforehand


def test_the_preview_says_whom_it_reaches_and_what_it_costs(client: ApiClient, ours: Shop) -> None:
    create_contact(ours, phone=None)
    create_contact(ours)
    campaign = create_campaign(ours, body="Hi {{ first_name | default: 'there' }}")
    preview = client.get(f"/api/campaigns/{campaign.id}/preview").get_json()
    assert (preview["recipientCount"], preview["canSend"], preview["reasons"]) == (2, True, [])
    assert preview["leftOut"] == {"no_phone": 1, "not_opted_in": 1}
    assert preview["estimatedCost"] > 0
    assert preview["samples"][0]["text"] == "Hi Eleni\nReply STOP to opt out"
    assert "…" in preview["samples"][0]["phone"]


@pytest.mark.parametrize(
    ("overrides", "code"),
    [({"audience": None}, "no_audience"), ({"body": "Hi {{ nobody }}"}, "unknown_variable")],
)
def test_the_preview_of_what_cannot_be_sent_says_why(client: ApiClient, ours: Shop, overrides: Any, code: str) -> None:
    preview = client.get(f"/api/campaigns/{create_campaign(ours, **overrides).id}/preview").get_json()
    assert (preview["canSend"], preview["reasons"][0]["code"]) == (False, code)
    figures = ("recipientCount", "estimatedCost", "segmentsTotal", "segmentsMin", "segmentsMax")
    assert {name: preview[name] for name in figures} == dict.fromkeys(figures), "nobody has counted them"
    assert (preview["leftOut"], preview["costByCountry"], preview["putOff"]) == ({}, [], [])


def test_the_preview_of_what_reaches_nobody_knows_that_and_no_size_of_a_text(
    client: ApiClient, session: Session, ours: Shop
) -> None:
    session.execute(text("UPDATE consents SET state = 'opted_out'"))
    preview = client.get(f"/api/campaigns/{create_campaign(ours).id}/preview").get_json()
    assert (preview["canSend"], preview["reasons"][0]["code"]) == (False, "no_recipients")
    assert (preview["recipientCount"], preview["estimatedCost"], preview["segmentsTotal"]) == (0, 0, 0)
    assert (preview["segmentsMin"], preview["segmentsMax"]) == (None, None)


# --- sent


def test_sent_with_one_answer_for_every_click(client: ApiClient, ours: Shop) -> None:
    address = f"/api/campaigns/{create_campaign(ours).id}"
    answers = [client.post(f"{address}/enqueue").get_json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] == client.get(f"{address}/status").get_json()
    assert answers[0]["status"] == "sending"
    assert answers[0]["dispatchId"]
    assert answers[0]["startedAt"]


def test_what_is_not_fit_is_refused_with_reasons(client: ApiClient, ours: Shop) -> None:
    campaign = create_campaign(ours, body="Hi {{ nobody }}")
    answer = client.post(f"/api/campaigns/{campaign.id}/enqueue")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "cannot_send")
    assert answer.get_json()["details"]["reasons"][0]["line"] == 1
    assert client.get(f"/api/campaigns/{campaign.id}/status").get_json()["status"] == "draft"


def test_too_little_credit_says_how_much_is_missing(app: Flask, personas: Personas) -> None:
    make_ready(personas.theirs, credits=1)
    client = client_for(app, personas.theirs.id)
    campaign = create_campaign(personas.theirs)
    answer = client.post(f"/api/campaigns/{campaign.id}/enqueue")
    assert (answer.status_code, answer.get_json()["code"]) == (402, "insufficient_credit")
    assert answer.get_json()["details"]["missing"] > 0


def test_what_has_ended_is_an_invalid_status(client: ApiClient, ours: Shop) -> None:
    address = f"/api/campaigns/{create_completed(ours).id}"
    for method, deed, body in (
        ("POST", "/enqueue", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/cancel", None),
        ("DELETE", "", None),
        ("PUT", "", {"name": "x"}),
        ("PUT", "/schedule", {"at": "2027-01-01T10:00"}),
        ("DELETE", "/schedule", None),
    ):
        answer = client.call(method, address + deed, json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "invalid_status"), deed
        assert answer.get_json()["details"]["status"] == "completed"


def test_paused_resumed_and_cancelled_with_the_numbers(client: ApiClient, session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    add_messages(campaign, sent=2, cancelled=1)
    address = f"/api/campaigns/{campaign.id}"
    for deed, status in (("pause", "paused"), ("resume", "sending"), ("pause", "paused")):
        for _ in range(2):
            assert client.post(f"{address}/{deed}").get_json()["status"] == status
    for _ in range(2):
        answer = client.post(f"{address}/cancel").get_json()
        assert (answer["status"], answer["left"], answer["cancelled"]) == ("cancelled", 2, 1)


def test_the_unconfirmed_wait_for_mittos_answer_unless_told_not_to(
    client: ApiClient, session: Session, ours: Shop
) -> None:
    campaign = create_sending(ours)
    add_messages(campaign, unconfirmed=2)
    end_dispatch(campaign, DispatchState.COMPLETED)
    session.execute(_CALLED, {"dispatch_id": campaign.dispatch_id, "now": clock.now()})
    store_receipts([payloads.Receipt("of one of them, perhaps", "Delivered")])
    address = f"/api/campaigns/{campaign.id}/retry-unconfirmed"
    for body in (None, {}, {"evenAskedAbout": False}):
        answer = client.post(address, body)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "nothing_to_retry")
        assert answer.get_json()["details"] == {"left_out": {"being_asked_about": 2}}
    assert client.post(address, {"evenAskedAbout": "yes"}).status_code == 422
    answer = client.post(address, {"evenAskedAbout": True}).get_json()
    assert (answer["retried"], answer["leftOut"], answer["status"]) == (2, {}, "sending")


def test_retried_by_choice_and_refused_when_there_is_nothing(client: ApiClient, session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    address = f"/api/campaigns/{campaign.id}"
    assert client.post(f"{address}/retry-failed").get_json()["code"] == "invalid_status"
    messages = add_messages(campaign, delivered=1, failed=1)
    end_dispatch(campaign, DispatchState.COMPLETED)
    assert client.post(f"{address}/retry-unconfirmed").get_json()["code"] == "nothing_to_retry"
    answer = client.post(f"{address}/retry-failed", {"messageIds": [message.id for message in messages]})
    assert (answer.status_code, answer.get_json()["retried"], answer.get_json()["status"]) == (200, 1, "sending")
    for bad in ([], ["1"], [0], [HUGE], [1] * 10_001, "all"):
        assert client.post(f"{address}/retry-failed", {"messageIds": bad}).status_code == 422


def test_tried_on_own_numbers(client: ApiClient, ours: Shop) -> None:
    address = f"/api/campaigns/{create_campaign(ours).id}/test-send"
    assert client.post(address, {"phones": ["6912345678"]}).get_json()["recipients"] == 1
    for bad in ([], ["hello"], ["+306912345678"] * 11, [None], "6912345678", ["+30" + "9" * 40]):
        answer = client.post(address, {"phones": bad})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_input"), bad


def test_a_shop_tests_on_so_many_numbers_a_day_and_no_more(client: ApiClient, ours: Shop, session: Session) -> None:
    address = f"/api/campaigns/{create_campaign(ours).id}/test-send"
    body = {"phones": [f"+30691234567{digit}" for digit in range(10)]}
    assert client.post(address, body).status_code == 200
    session.execute(text("UPDATE dispatches SET total = 195, created_at = created_at - interval '1 hour'"))
    refused = client.post(address, body)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_tests")
    assert refused.get_json()["details"]["left"] == 5
    assert 82_700 <= int(refused.headers["Retry-After"]) <= 82_800, "23 hours on"
    assert client.post(address, {"phones": body["phones"][:5]}).status_code == 200
    assert client.post(address, {"phones": body["phones"][:1]}).status_code == 429
    session.execute(text("UPDATE dispatches SET created_at = created_at - interval '24 hours'"))
    assert client.post(address, body).status_code == 200, "the next day"


# --- how it stands


@pytest.fixture
def underway(session: Session, ours: Shop) -> Campaign:
    campaign = create_sending(ours)
    add_messages(campaign, sent=1, delivered=2, failed=1, skipped=3, unconfirmed=1)
    return campaign


def test_progress_adds_up(client: ApiClient, underway: Campaign) -> None:
    found = client.get(f"/api/campaigns/{underway.id}/progress").get_json()
    assert (found["total"], found["processed"], found["sent"], found["delivered"]) == (8, 8, 3, 2)
    assert (found["failed"], found["skipped"], found["unconfirmed"], found["pending"]) == (1, 3, 1, 0)
    assert found["progress"] == found["percent"] == 100
    parts = ("sent", "failed", "skipped", "cancelled", "unconfirmed", "pending")
    assert sum(found[part] for part in parts) == found["total"]


def test_a_draft_has_no_progress_and_no_recipients(client: ApiClient, ours: Shop) -> None:
    address = f"/api/campaigns/{create_campaign(ours).id}"
    assert client.get(f"{address}/progress").get_json()["total"] == 0
    assert client.get(f"{address}/recipients").get_json() == {"items": [], "pageSize": 50, "nextCursor": None}


def test_recipients_page_by_page_and_by_state(client: ApiClient, underway: Campaign) -> None:
    address = f"/api/campaigns/{underway.id}/recipients"
    seen: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"{address}?pageSize=3{cursor}").get_json()
        seen += page["items"]
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert len({item["id"] for item in seen}) == len(seen) == 8
    assert all(item["phone"].startswith("+3069") and "mittoMessageId" in item for item in seen)
    [failed] = client.get(f"{address}?status=failed").get_json()["items"]
    assert (failed["status"], failed["error"]) == ("failed", "transient")
    for bad in ("status=x", "pageSize=0", "cursor=1", "page=2"):
        assert client.get(f"{address}?{bad}").status_code == 422


def test_phones_are_shown_to_a_key_that_may_read_contacts_and_to_no_other(
    app: Flask, ours: Shop, underway: Campaign
) -> None:
    def phones(*scopes: str) -> list[str]:
        answer = client_for(app, ours.id, *scopes).get(f"/api/campaigns/{underway.id}/recipients").get_json()
        return [item["phone"] for item in answer["items"]]

    clear = phones("campaigns:read", "contacts:read")
    masked = phones("campaigns:read", "campaigns:write", "campaigns:send")
    assert all(re.fullmatch(r"\+30\d{10}", phone) for phone in clear)
    assert masked == [f"+30…{phone[-3:]}" for phone in clear]


def test_figures_say_whether_they_were_cached(client: ApiClient, underway: Campaign, session: Session) -> None:
    address = f"/api/campaigns/{underway.id}/stats"
    answers = [client.get(address) for _ in range(2)]
    assert [answer.headers["X-Cache"] for answer in answers] == ["MISS", "HIT"]
    assert answers[0].get_json() == answers[1].get_json()
    stats = answers[0].get_json()
    assert (stats["campaignId"], stats["sent"], stats["delivered"], stats["failed"]) == (underway.id, 4, 2, 1)
    assert (stats["clicks"], stats["redemptions"], stats["revenue"], stats["conversionRate"]) == (None,) * 4
    session.execute(text("UPDATE batches SET sent = 0, delivered = 3"))
    changed = client.get(address)
    assert (changed.headers["X-Cache"], changed.get_json()["delivered"]) == ("MISS", 3)


def test_figures_of_several_name_what_is_not_ours(
    client: ApiClient, underway: Campaign, ours: Shop, personas: Personas
) -> None:
    draft, theirs = create_campaign(ours), create_campaign(personas.theirs)
    ids = f"{underway.id},{draft.id}, {theirs.id},{10**17}"
    answers = [client.get(f"/api/campaigns/stats?ids={ids}") for _ in range(2)]
    assert [item["campaignId"] for item in answers[0].get_json()["items"]] == [underway.id, draft.id]
    assert answers[0].get_json()["notFound"] == [theirs.id, 10**17]
    assert [answer.headers["X-Cache"] for answer in answers] == ["MISS", "HIT"]
    for bad in ("", "ids=", "ids=x", "ids=1,,2", f"ids={HUGE}", "ids=" + "1," * 100 + "1"):
        assert client.get(f"/api/campaigns/stats?{bad}").status_code == 422, bad


def test_the_queue_is_the_operators_to_see(app: Flask, ours: Shop, underway: Campaign) -> None:
    found = client_for(app, ours.id, "operator").get("/api/campaigns/queue/stats").get_json()
    assert found["total"] == found["waiting"] + found["active"] + found["completed"] + found["failed"] == 1

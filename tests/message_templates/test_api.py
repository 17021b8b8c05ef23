from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform import db
from tests.api.client import ApiClient, client_for
from tests.message_templates.saved import create_template, written
from tests.personas import Personas


@pytest.fixture
def ours(app: Flask, personas: Personas) -> ApiClient:
    client = client_for(app, personas.ours.id)
    keep()
    return client


def keep() -> None:
    """End the preparation as a request of its own, so that a refused call, which rolls back, leaves it standing."""
    db.end_request(200)


def test_a_template_is_written_read_changed_copied_and_deleted(ours: ApiClient) -> None:
    made = ours.post("/api/templates", written)
    assert made.status_code == 201
    path = f"/api/templates/{made.get_json()['id']}"
    assert ours.get(path).get_json() == made.get_json()
    assert made.get_json()["canSend"] is True
    changed = ours.put(path, {**written, "body": "Hi {{ first_name }}. Reply STOP to opt out"}).get_json()
    assert changed["canSend"] is False
    assert [finding["code"] for finding in changed["findings"]] == ["may_be_missing"]
    assert ours.post(f"{path}/duplicate").get_json()["name"] == "Summer sale (2)"
    assert ours.delete(path).status_code == 204
    assert ours.get(path).status_code == 404


def test_a_list_is_paged(ours: ApiClient, personas: Personas) -> None:
    for n in range(3):
        create_template(personas.ours.id, name=f"T{n}")
    create_template(personas.ours.id, name="Order", body="Hi", trigger=Trigger.ORDER)
    create_template(personas.theirs.id)
    first = ours.get("/api/templates?pageSize=2&trigger=campaign").get_json()
    assert ([item["name"] for item in first["items"]], first["total"], first["page"]) == (["T2", "T1"], 3, 1)
    rest = ours.get(f"/api/templates?pageSize=2&trigger=campaign&cursor={first['nextCursor']}").get_json()
    assert ([item["name"] for item in rest["items"]], rest["nextCursor"], rest["page"]) == (["T0"], None, None)


def test_a_faulty_text_is_refused_with_its_place(ours: ApiClient) -> None:
    answer = ours.post("/api/templates", {**written, "body": "Hi\n{{ frist_name }}"})
    assert answer.status_code == 422
    error = answer.get_json()
    assert (error["code"], error["details"]) == ("unknown_variable", {"line": 2, "column": 4})
    assert "first_name" in error["actionable"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"body": "{{ first_name | uper }}"}, 422, "unknown_filter"),
        ({"body": "{% for x in y %}"}, 422, "unknown_tag"),
        ({"body": "{{ x"}, 422, "invalid_text"),
        ({"body": "a\u0000b"}, 422, "invalid_input"),
        ({"body": "a\u0007b"}, 422, "control_character"),
        ({"body": "a" * 2001}, 422, "text_too_long"),
        ({"body": "a" * 4001}, 422, "invalid_input"),
        ({"name": ""}, 422, "invalid_input"),
        ({"name": "x" * 101}, 422, "invalid_input"),
        ({"trigger": "birthday"}, 422, "invalid_input"),
        ({"language": "Greek!"}, 422, "invalid_input"),
        ({"colour": "blue"}, 422, "invalid_input"),
        ({"body": 5}, 422, "invalid_input"),
        ({"name": "TAKEN"}, 409, "template_name_taken"),
    ],
)
def test_bad_input_gets_a_clear_error(
    ours: ApiClient, personas: Personas, change: dict[str, Any], status: int, code: str
) -> None:
    create_template(personas.ours.id, name="Taken")
    answer = ours.post("/api/templates", {**written, **change})
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert answer.get_json()["actionable"]


def test_their_template_is_not_found(ours: ApiClient, personas: Personas) -> None:
    theirs = create_template(personas.theirs.id)
    keep()
    path = f"/api/templates/{theirs.id}"
    answers = [ours.get(path), ours.put(path, written), ours.delete(path), ours.post(f"{path}/duplicate")]
    assert [answer.status_code for answer in answers] == [404] * 4


def test_reading_does_not_allow_writing(app: Flask, personas: Personas) -> None:
    reader = client_for(app, personas.ours.id, "templates:read")
    made = create_template(personas.ours.id)
    keep()
    path = f"/api/templates/{made.id}"
    refused = [
        reader.post("/api/templates", written),
        reader.put(path, written),
        reader.delete(path),
        reader.post(f"{path}/duplicate"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    assert reader.get(path).status_code == 200
    assert reader.post("/api/templates/preview", {"body": "Hi"}).status_code == 200


def test_a_preview_shows_what_somebody_would_get(ours: ApiClient, personas: Personas) -> None:
    body = "“Hi {{ first_name }}” from {{ shop_name }}"
    seen = ours.post("/api/templates/preview", {"body": body, "values": {"first_name": "Zoé"}}).get_json()
    assert seen["text"] == f"“Hi Zoé” from {personas.ours.name}\n{personas.ours.opt_out_text}"
    assert (seen["encoding"], seen["segments"], seen["parts"]) == ("ucs2", 1, [seen["text"]])
    assert [(each["char"], each["position"]) for each in seen["nonGsm"]] == [("“", 0), ("”", 7)]
    assert seen["cures"]["typographic"]["body"].startswith('"Hi {{ first_name }}" from')
    assert seen["canSend"] is False
    assert {each["code"] for each in seen["findings"]} == {"may_be_missing", "no_opt_out", "not_gsm"}


def test_a_preview_while_typing_is_answered_whatever_is_typed(ours: ApiClient) -> None:
    for body in ("", "Hi {{ fir", "Hi {{ frist_name }}", "a" * 2500):
        seen = ours.post("/api/templates/preview", {"body": body})
        assert seen.status_code == 200
        assert (seen.get_json()["text"], seen.get_json()["segments"], seen.get_json()["canSend"]) == (None, 0, False)
        assert seen.get_json()["findings"][0]["level"] == "error"


def test_a_preview_of_a_person_without_a_name_says_what_is_missing(ours: ApiClient) -> None:
    seen = ours.post("/api/templates/preview", {"body": "Hi {{ first_name }}", "values": {"first_name": ""}}).get_json()
    assert (seen["text"], seen["unrendered"]["code"]) == (None, "missing_value")


def test_a_preview_takes_known_words_only(ours: ApiClient) -> None:
    for values in ({"frist_name": "x"}, {"order_total": "5"}):
        refused = ours.post("/api/templates/preview", {"body": "Hi", "trigger": "order", "values": values})
        assert (refused.status_code, refused.get_json()["code"]) == (422, "invalid_input")


def test_the_catalogue_tells_what_can_be_said_and_what_is_sent_today(ours: ApiClient) -> None:
    campaign = ours.get("/api/templates/variables").get_json()
    assert campaign["sentNow"] is True
    assert [each["name"] for each in campaign["variables"]] == [
        "first_name", "last_name", "full_name", "shop_name", "sender", "opt_out_link",
    ]  # fmt: skip
    assert "default" in campaign["filters"]
    for trigger in Trigger:
        answer = ours.get(f"/api/templates/variables?trigger={trigger}").get_json()
        assert answer["sentNow"] is (trigger is Trigger.CAMPAIGN)

"""Every route of the JSON API with what nobody should send: never a fault of ours, always words that say what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from blossom.platform import db
from blossom.platform.api import limiting
from blossom.platform.api.registry import Route
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import create_campaign
from tests.message_templates.saved import create_template
from tests.personas import Personas

HALF = "\ud800".encode("utf-8", "surrogatepass")
RAW = [
    b"nonsense",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b'"text"',
    b"7",
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b'{"name": NaN}',
    b'{"name": 1e999}',
    b'{"name": "' + HALF + b'"}',
    b'{"name": "\\ud800"}',
    b'{"name": "\\u0000"}',
    b'{"\\u0000": 1}',
    b'{"name": "' + b"x" * 1_000_001 + b'"}',
    b'{"surprise": 1}',
]
ODD_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**63 - 1, 2**63, -(2**64), 1e300, "", " ", "a\0b", "x" * 5_000, "\u202e\u200b", "\n",
    "Ω" * 70_000,
    "{{", "{% if %}", "{{ (1..100000000) | sum }}", "{% for i in (1..9999999) %}x{% endfor %}", "=cmd|' /C calc'!A0",
    "'; DROP TABLE shops; --", "<script>", "%s%n", "../../etc/passwd", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00", [], [None], [[]], [1] * 20_000, {}, {"all": True}, {"a": {"b": {}}}, {"": ""},
]  # fmt: skip
ODD_QUERIES = [
    "page=0", "page=x", "page=%00", "page=%FF", "page=1&page=2", "pageSize=1000000", "pageSize=-1", "cursor=x",
    "cursor=" + "A" * 5_000, "status=x", "status=", "withStats=x", "ids=", "ids=x", "ids=1,,2", "ids=" + "9" * 30,
    "ids=" + "1," * 500, "trigger=x", "surprise=1", "%00=1", "=1", "page[]=1", "page=%D9%A3", "a=1&" * 300,
]  # fmt: skip

PYDANTICS = re.compile(r"Input should|should have|should match|unable to|Value error|validation|ctx|loc\b")


@pytest.fixture
def client(app: Flask, personas: Personas, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setattr(limiting, "CALLS_PER_MINUTE", 1_000_000)
    return client_for(app, personas.ours.id)


@pytest.fixture
def addresses(app: Flask, personas: Personas) -> list[tuple[Route, str]]:
    """Each route that a merchant's key opens, and its address with the id of a thing that is there."""
    ids = {"campaign_id": create_campaign(personas.ours).id, "template_id": create_template(personas.ours.id).id}
    db.end_request(200)
    return [
        (route, "/api" + re.sub(r"<int:(\w+)>", lambda found: str(ids[found[1]]), route.path))
        for route in app.extensions["blossom_api"]
        if route.scope not in (None, "operator")
    ]


def check(answer: Any, what: str) -> None:
    """A clear refusal, or an answer: the client itself holds either against the OpenAPI document."""
    assert answer.status_code < 500, f"{what}: {answer.get_data()[:300]!r}"
    if answer.status_code < 400:
        return
    error = answer.get_json()
    assert error["actionable"], what
    assert error["message"].endswith((".", ")")) or ":" in error["message"], f"{what}: {error['message']}"
    for field, fault in error["details"].get("fields", {}).items():
        assert not PYDANTICS.search(fault), f"{what}: {field} {fault}"
    assert len(answer.get_data()) < 20_000, what


def test_bodies_of_the_wrong_shape(client: ApiClient, addresses: list[tuple[Route, str]]) -> None:
    headers = {"Content-Type": "application/json"}
    for route, address in addresses:
        for raw in RAW:
            answer = client.call(route.method, address, data=raw, headers=headers)
            check(answer, f"{route.name} {raw[:40]!r}")
            assert answer.status_code >= 400


def test_each_field_with_values_of_every_kind(client: ApiClient, addresses: list[tuple[Route, str]]) -> None:
    for route, address in addresses:
        if route.body is None:
            continue
        sound = dict(route.body_example or {})
        for name, field in route.body.model_fields.items():
            for value in ODD_VALUES:
                answer = client.call(route.method, address, json={**sound, field.alias or name: value})
                check(answer, f"{route.name} {name}={str(value)[:40]!r}")


def test_queries_of_every_kind(client: ApiClient, addresses: list[tuple[Route, str]]) -> None:
    for route, address in addresses:
        if route.method == "GET":
            for query in ODD_QUERIES:
                check(client.call("GET", f"{address}?{query}"), f"{route.name}?{query[:40]}")


def test_methods_that_an_address_does_not_take(client: ApiClient, addresses: list[tuple[Route, str]]) -> None:
    for route, address in addresses:
        for method in ("PATCH", "TRACE", "BREW"):
            answer = client.call(method, address)
            check(answer, f"{method} {route.name}")
            assert (answer.status_code, answer.get_json()["code"]) == (405, "method_not_allowed")

"""The document of the whole API: valid, complete, and true of what a key meets at the door."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from flask import Flask
from openapi_spec_validator import validate

from blossom.platform.access import SCOPES, SHOP_SCOPES
from blossom.platform.api import limiting, openapi
from blossom.platform.db import session
from blossom.shops import service as shops
from tests.api.client import ApiClient, client_for
from tests.personas import Personas


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    return ApiClient(app, None).get("/api/openapi.json").get_json()


def test_it_is_public_and_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_it_has_every_route_and_only_those(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (openapi.openapi_path(rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method.upper()) for path, operations in document["paths"].items() for method in operations}
    assert served == documented
    unversioned = {path for path, _ in documented if not path.startswith("/api/v1/")}
    assert {path.replace("/api/v1/", "/api/") for path, _ in documented} == unversioned


def test_it_has_every_route_of_the_contract(document: dict[str, Any]) -> None:
    one = "/api/campaigns/{campaign_id}"
    contract = {
        "/api/campaigns": {"get", "post"},
        one: {"get", "put", "delete"},
        f"{one}/schedule": {"put", "delete"},
        "/api/campaigns/stats": {"get"},
        "/api/campaigns/queue/stats": {"get"},
        "/api/mitto/refresh-status": {"post"},
        "/api/mitto/refresh-status-bulk": {"post"},
        "/api/templates": {"get", "post"},
        "/api/templates/preview": {"post"},
    }
    for deed in (
        "enqueue", "cancel", "pause", "resume", "retry-failed", "retry-unconfirmed", "test-send", "duplicate",
    ):  # fmt: skip
        contract[f"{one}/{deed}"] = {"post"}
    for figure in ("status", "progress", "preview", "recipients", "stats"):
        contract[f"{one}/{figure}"] = {"get"}
    missing = {path: methods - set(document["paths"].get(path, ())) for path, methods in contract.items()}
    assert {path: methods for path, methods in missing.items() if methods} == {}


def test_every_operation_says_who_may_and_how_it_fails(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.endswith("/openapi.json"):
                continue
            assert operation["security"] == [{"apiKey": []}], path
            assert operation["x-scope"] in SCOPES, path
            assert {"401", "403", "429", "500"} <= set(operation["responses"]), path
            assert operation["summary"], path


def test_every_example_is_true_of_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for operations in document["paths"].values():
        for operation in operations.values():
            contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
            contents += [answer["content"] for answer in operation["responses"].values() if "content" in answer]
            for content in contents:
                media = content["application/json"]
                if "example" in media:
                    schema = {**media["schema"], "components": document["components"]}
                    jsonschema.Draft202012Validator(schema).validate(media["example"])
                    seen += 1
    assert seen >= 10


def test_a_merchant_cannot_be_given_the_operators_right() -> None:
    assert set(SCOPES) - SHOP_SCOPES == {"operator"}


def test_a_key_opens_until_it_is_revoked(app: Flask, personas: Personas) -> None:
    key, plain = shops.create_api_key(personas.ours.id, "till", ["campaigns:read"])
    client = ApiClient(app, plain)
    assert client.get("/api/campaigns").status_code == 200
    session.refresh(key)
    assert key.last_used_at is not None
    shops.revoke_api_key(personas.ours.id, key.id)
    answer = client.get("/api/campaigns")
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")


def test_each_key_has_a_limit_of_its_own(app: Flask, personas: Personas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "CALLS_PER_MINUTE", 2)
    busy, other = client_for(app, personas.ours.id), client_for(app, personas.ours.id)
    assert [busy.get("/api/campaigns").status_code for _ in range(3)] == [200, 200, 429]
    assert other.get("/api/campaigns").status_code == 200

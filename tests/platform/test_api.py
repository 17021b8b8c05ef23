"""The API's layer itself, by routes made for this page: what comes in, who may, and how it says no."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time
from enum import StrEnum
from typing import Any, Literal

import pytest
import redis
from flask import Flask
from openapi_spec_validator import validate
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

import blossom.app
from blossom.platform import queue
from blossom.platform.access import Principal
from blossom.platform.api import (
    Answer,
    Api,
    Cursor,
    Input,
    Int64,
    PageQuery,
    Query,
    Reply,
    Text,
    decode_cursor,
    decode_pair,
    encode_cursor,
    encode_pair,
    limiting,
    openapi,
    wording,
)
from blossom.platform.errors import BlossomError, NotFound
from tests.api.client import ApiClient
from tests.conftest import Services, config_for

probe = Api("probe")


class Probe(Input):
    contact_name: str = Field(max_length=20)
    number: Int64 = 1
    anything: Any = None
    planned_for: datetime | None = None


class ProbeAnswer(Answer):
    """What came in."""

    shop_id: int
    contact_name: str
    planned_for: datetime | None = None
    number: int = 1


class ProbeQuery(PageQuery):
    with_stats: bool = False


class ProbeQueryAnswer(Answer):
    """The query as it was read."""

    page: int
    page_size: int
    with_stats: bool
    cursor: int | None


@probe.post("/probes", scope="campaigns:write", body=Probe, answer=ProbeAnswer, status=201, summary="Echo")
def create(caller: Principal, body: Probe) -> ProbeAnswer:
    return ProbeAnswer(
        shop_id=caller.shop_id, contact_name=body.contact_name, planned_for=body.planned_for, number=body.number
    )


@probe.get("/probes", scope="campaigns:read", query=ProbeQuery, answer=ProbeQueryAnswer, summary="Echo the query")
def listing(caller: Principal, query: ProbeQuery) -> ProbeQueryAnswer:
    return ProbeQueryAnswer(
        page=query.page, page_size=query.page_size, with_stats=query.with_stats, cursor=query.cursor
    )


@probe.get(
    "/probes/<int:probe_id>",
    scope="campaigns:read",
    answer=ProbeAnswer,
    summary="One",
    headers={"X-Cache": "HIT or MISS"},
)
def one(caller: Principal, probe_id: int) -> Reply:
    if probe_id != 7:
        raise NotFound("probe")
    return Reply(ProbeAnswer(shop_id=caller.shop_id, contact_name="seven"), {"X-Cache": "MISS"})


@probe.delete("/probes/<int:probe_id>", scope="campaigns:write", summary="Remove", errors={"in_use": 409})
def remove(caller: Principal, probe_id: int) -> None:
    if probe_id == 8:
        raise BlossomError("It is in use.", code="in_use", status=409)


@probe.post("/probes/<int:probe_id>/ring", scope="campaigns:write", summary="Ring it")
def ring(caller: Principal, probe_id: int) -> None: ...


@probe.get("/probes/broken", scope="campaigns:read", answer=ProbeAnswer, summary="Breaks")
def broken(caller: Principal) -> ProbeAnswer:
    raise ZeroDivisionError("secret detail")


CALLERS = {
    "all": Principal(7, frozenset({"campaigns:read", "campaigns:write"}), "api_key:1"),
    "reader": Principal(7, frozenset({"campaigns:read"}), "api_key:2"),
}


@pytest.fixture
def probe_app(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(blossom.app, "APIS", (probe,))
    monkeypatch.setattr(blossom.app, "authenticate", CALLERS.get)
    app = blossom.app.create_app(replace(config_for(services, "postgres"), log_level="ERROR"))
    with app.app_context():
        yield app
    queue.connection().flushdb()


@pytest.fixture
def client(probe_app: Flask) -> ApiClient:
    return ApiClient(probe_app, "all")


def test_names_are_camel_case_outside_and_both_are_read(client: ApiClient) -> None:
    for body in ({"contactName": "Ann", "plannedFor": "2026-12-01T09:00:00Z"}, {"contact_name": "Ann"}):
        answer = client.post("/api/probes", body)
        assert answer.status_code == 201
        assert answer.get_json()["contactName"] == "Ann"
        assert answer.get_json()["shopId"] == 7


def test_every_route_stands_under_api_and_under_its_version(client: ApiClient) -> None:
    assert client.get("/api/probes/7").get_json() == client.get("/api/v1/probes/7").get_json()


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "contactName", "is required"),
        ({"contactName": "Ann", "surprise": 1}, "surprise", "is nothing that this call takes"),
        ({"contactName": 5}, "contactName", "must be text"),
        ({"contactName": "x" * 21}, "contactName", "at most 20 characters"),
        ({"contactName": "Ann", "number": "5"}, "number", "whole number"),
        ({"contactName": "Ann", "number": 0}, "number", "must be 1 or more"),
        ({"contactName": "Ann", "number": 2**63}, "number", "too large"),
        ({"contactName": "Ann", "number": -(2**64)}, "number", "too large"),
        ({"contactName": "Ann", "number": 10**30}, "number", "too large"),
        ({"contactName": "A\0n"}, "contactName", "NUL"),
        ({"contactName": "Ann", "anything": [{"a": ["b\0"]}]}, "anything.0.a.0", "NUL"),
        ({"contactName": "Ann", "anything": {"\0": 1}}, "anything", "NUL"),
        ({"contactName": "Ann", "plannedFor": "tomorrow"}, "plannedFor", "ISO 8601"),
        ([], "", "the body must be a JSON object"),
        ("text", "", "the body must be a JSON object"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(client: ApiClient, body: Any, field: str, said: str) -> None:
    answer = client.post("/api/probes", body)
    assert answer.status_code == 422
    assert said in answer.get_json()["details"]["fields"][field]


def test_an_error_never_repeats_what_was_sent(client: ApiClient) -> None:
    assert b"+306912345678" not in client.post("/api/probes", {"contactName": "+306912345678" * 2}).data


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"contactName": NaN}', 400, "malformed_json"),
        (b'{"contactName": "Ann", "anything": 1e999}', 400, "malformed_json"),
        (b'{"contactName": "\xff"}', 400, "malformed_json"),
        ('{"contactName": "Zoë"}'.encode("latin-1"), 400, "malformed_json"),
        ('{"contactName": "Zoë"}'.encode("utf-16"), 400, "malformed_json"),
        (b'\xef\xbb\xbf{"contactName": "Ann"}', 400, "malformed_json"),
        (b'{"contactName": "\xed\xa0\x80"}', 400, "malformed_json"),
        (b'{"contactName": "\0"}', 400, "malformed_json"),
        (b'{"\\ud800": 1}', 422, "invalid_input"),
        (b'{"contactName": "Ann", "number": 1e30}', 422, "invalid_input"),
        (b'{"contactName": "Ann", "number": 01}', 400, "malformed_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "malformed_json"),
        (b'{"contactName": "\\ud800"}', 422, "invalid_input"),
        (b'{"contactName": "\\udc00 \\ud800"}', 422, "invalid_input"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"anything":' + b"[" * 500 + b"]" * 500 + b"}", 422, "invalid_input"),
        (b'{"anything":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", 422, "invalid_input"),
        (b'"' + b"a" * 1_000_001 + b'"', 413, "request_entity_too_large"),
        (b"", 422, "invalid_input"),
        (b"   ", 422, "invalid_input"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client: ApiClient, raw: bytes, status: int, code: str) -> None:
    answer = client.post("/api/probes", data=raw, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert answer.get_json()["actionable"]


NO_INPUT = [("GET", "/api/probes/7", 200), ("DELETE", "/api/probes/7", 204), ("POST", "/api/probes/7/ring", 204)]


@pytest.mark.parametrize(("method", "path", "status"), NO_INPUT)
def test_a_call_that_takes_no_fields_refuses_those_that_are_sent(
    client: ApiClient, method: str, path: str, status: int
) -> None:
    for body in (None, {}):
        assert client.call(method, path, json=body).status_code == status
    assert client.call(method, path, data=b" ", headers={"Content-Type": "application/json"}).status_code == status
    answer = client.call(method, path, json={"at": "2027-01-01T10:00"})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_input")
    assert answer.get_json()["details"]["fields"] == {"at": "is nothing that this call takes"}


@pytest.mark.parametrize(("method", "path", "status"), NO_INPUT)
def test_a_body_that_can_not_be_read_is_refused_by_every_call(
    client: ApiClient, method: str, path: str, status: int
) -> None:
    for raw, content_type, code in (
        (b"{", "application/json", "malformed_json"),
        (b"[]", "application/json", "invalid_input"),
        (b"at=1", "application/x-www-form-urlencoded", "unsupported_media_type"),
        (b" " * 1_000_001, "application/json", "request_entity_too_large"),
    ):
        answer = client.call(method, path, data=raw, headers={"Content-Type": content_type})
        assert answer.get_json()["code"] == code


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"contactName": "\xff"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"contactName": "Ann"}', "byte order mark"),
        (b'{"anything": 1e999}', "beyond measure"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"contactName": "Ann",}', "not JSON"),
    ],
)
def test_what_is_wrong_with_a_body_is_said_in_words(client: ApiClient, raw: bytes, told: str) -> None:
    answer = client.post("/api/probes", data=raw, headers={"Content-Type": "application/json"})
    assert told in answer.get_json()["message"]
    assert answer.get_json()["details"]["line"] == 1


def test_a_compressed_body_is_refused(client: ApiClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post("/api/probes", data=gzip.compress(b'{"contactName": "Ann"}'), headers=headers)
    assert (answer.status_code, answer.get_json()["message"]) == (415, "This call takes no compressed bodies.")


def test_how_large_a_body_may_be_is_said(client: ApiClient) -> None:
    answer = client.post("/api/probes", {"contactName": "x" * 1_000_001})
    assert answer.get_json()["details"] == {"max_bytes": 1_000_000}
    assert "1,000,000 bytes" in answer.get_json()["message"]


def test_however_much_is_wrong_the_answer_stays_short(client: ApiClient) -> None:
    many = client.post("/api/probes", {f"field{number}": 1 for number in range(20_000)})
    assert len(many.get_json()["details"]["fields"]) == wording.MOST_FAULTS
    long = client.post("/api/probes", {"contactName": "Ann", "k" * 500_000: 1})
    assert [len(path) for path in long.get_json()["details"]["fields"]] == [100]
    doubled = client.get("/api/probes?" + "".join(f"name{number}=1&name{number}=2&" for number in range(200)))
    assert len(doubled.get_json()["details"]["fields"]) == wording.MOST_FAULTS


def test_a_parameter_that_a_call_does_not_take_is_refused_by_name(client: ApiClient) -> None:
    for path in ("/api/probes/7?colour=blue", "/api/probes?colour=blue"):
        answer = client.get(path)
        assert answer.status_code == 422
        assert answer.get_json()["details"]["fields"] == {"colour": "is nothing that this call takes"}


class Level(StrEnum):
    HIGH = "high"
    LOW = "low"


class Everything(Query):
    """A field of each kind that pydantic can find fault with."""

    text: str = Field("abc", min_length=3, max_length=5)
    word: str = Field("abc", pattern="^[a-z]+$")
    filled: str = Field("a", min_length=1)
    whole: int = Field(1, gt=0, lt=10, multiple_of=1)
    number: float = 1.0
    flag: bool = True
    kind: Literal["a", "b"] = "a"
    level: Level = "high"  # type: ignore[assignment]  # read from text, as a query is
    at: datetime | None = None
    moment: AwareDatetime | None = None
    numbers: list[int] = Field([], max_length=2)
    some: list[int] = Field([1], min_length=1)
    names: dict[str, str] = {}
    id: Int64 = 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("text", "a", "must have 3 characters or more"),
        ("text", "abcdef", "must have at most 5 characters"),
        ("text", 5, "must be text, in quotation marks"),
        ("word", "A1", "must be written as its pattern in /api/openapi.json says"),
        ("filled", "", "must not be empty"),
        ("whole", "x", "must be a whole number"),
        ("whole", 1.5, "must be a whole number"),
        ("whole", 0, "must be more than 0"),
        ("whole", 10, "must be less than 10"),
        ("number", "x", "must be a number"),
        ("flag", "maybe", "must be true or false"),
        ("flag", [], "must be true or false"),
        ("kind", "c", "must be 'a' or 'b'"),
        ("level", "c", "must be 'high' or 'low'"),
        ("at", "tomorrow", "must be a date and a time in ISO 8601, such as 2026-12-01T09:00:00Z"),
        ("at", "2026-13-01T00:00:00Z", "must be a date and a time in ISO 8601, such as 2026-12-01T09:00:00Z"),
        ("at", [], "must be a date and a time in ISO 8601, such as 2026-12-01T09:00:00Z"),
        ("moment", "2026-12-01T09:00:00", "must name its offset from UTC, such as 2026-12-01T09:00:00+02:00"),
        ("numbers", 5, "must be a list"),
        ("numbers", [1, 2, 3], "must have at most 2 entries"),
        ("some", [], "must not be empty"),
        ("names", 5, "must be an object"),
        ("id", 0, "must be 1 or more"),
        ("id", 2**63, "is a number too large"),
        ("id", "9" * 5000, "is a number too large"),
    ],
)
def test_each_kind_of_fault_is_said_in_plain_words(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as found:
        Everything.model_validate({field: value})
    assert wording.faults_in_words(found.value) == {field: said}


def test_a_kind_of_fault_that_has_no_words_yet_is_not_told_in_pydantics() -> None:
    class Odd(Query):
        at: time

    with pytest.raises(ValidationError) as found:
        Odd.model_validate({"at": "x"})
    assert wording.faults_in_words(found.value) == {
        "at": "is not of the kind that this field takes; see /api/openapi.json"
    }


@pytest.mark.parametrize("name", ["a\nb", "\x7f", "\u2028", "\u200b", "\u202e\u2066", "Sale\u202e", "\u00ad", "\u0301"])
def test_a_name_that_is_no_line_to_read_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(name)


@pytest.mark.parametrize("name", ["Zoe\u0308", "\u200fעברית", "👨‍👩‍👧", "C'est l'été", "."])
def test_any_name_that_a_person_can_read_is_taken(name: str) -> None:
    assert TypeAdapter(Text).validate_python(f" {name} ") == name


def test_a_name_given_twice_in_json_counts_once(client: ApiClient) -> None:
    raw = b'{"contactName": "Ann", "contactName": "Bea"}'
    answer = client.post("/api/probes", data=raw, headers={"Content-Type": "application/json"})
    assert answer.get_json()["contactName"] == "Bea"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(client: ApiClient, content_type: str) -> None:
    answer = client.post("/api/probes", data=b'{"contactName": "Ann"}', headers={"Content-Type": content_type})
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_the_query_is_read_and_bounded(client: ApiClient) -> None:
    answer = client.get("/api/probes?withStats=true&page=3&pageSize=100")
    assert answer.get_json() == {"page": 3, "pageSize": 100, "withStats": True, "cursor": None}
    for bad in (
        "page=0",
        "pageSize=101",
        "page=x",
        "page=1&page=2",
        "size=1",
        "cursor=x",
        f"page={10**30}",
        "page=%00",
    ):
        assert client.get(f"/api/probes?{bad}").status_code == 422, bad


def test_a_cursor_is_opaque_and_checked(client: ApiClient) -> None:
    assert decode_cursor(encode_cursor(123)) == 123
    assert client.get(f"/api/probes?cursor={encode_cursor(2**63 - 1)}").get_json()["cursor"] == 2**63 - 1
    for bad in ("", "AAAA", "....", encode_cursor(5)[:-1], encode_cursor(5) + "=", "é" * 12, "A" * 10_000):
        with pytest.raises(ValueError, match="cursor"):
            decode_cursor(bad)


def test_a_cursor_of_two_is_checked_as_well() -> None:
    assert decode_pair(encode_pair(3, 2**63 - 1)) == (3, 2**63 - 1)
    others = (encode_pair(2**31, 5), encode_pair(1, 0), encode_pair(1, 2**63), encode_cursor(5))
    for bad in ("", "AAAA", "....", encode_pair(1, 5)[:-1], "é" * 12, *others):
        with pytest.raises(ValueError, match="cursor"):
            decode_pair(bad)


@pytest.mark.parametrize("bad", ["0", "-1", "1.5", "x", "99999999999999999999", "9" * 5000, "١٢"])
def test_an_id_that_cannot_exist_is_not_found(client: ApiClient, bad: str) -> None:
    answer = client.get(f"/api/probes/{bad}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_what_is_not_there_says_so_in_the_one_shape(client: ApiClient) -> None:
    assert client.get("/api/nothing").get_json()["code"] == "not_found"
    answer = client.put("/api/probes", {})
    assert (answer.status_code, answer.get_json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_no_content_is_no_content(client: ApiClient) -> None:
    assert client.delete("/api/probes/7").status_code == 204
    assert client.delete("/api/probes/8").get_json()["code"] == "in_use"


def test_a_fault_of_ours_tells_nothing_but_the_request_id(client: ApiClient) -> None:
    answer = client.get("/api/probes/broken", headers={"X-Request-Id": "asked-by-me"})
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert answer.get_json()["request_id"] == "asked-by-me"
    assert b"secret" not in answer.data


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic all", "Bearer unknown", "all", "Bearer \xe9"])
def test_without_a_key_that_we_know_nothing_is_answered(probe_app: Flask, header: str | None) -> None:
    client = ApiClient(probe_app, None)
    answer = client.get("/api/probes/7", headers={"Authorization": header} if header is not None else {})
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_without_the_right_is_told_which_it_lacks(probe_app: Flask) -> None:
    answer = ApiClient(probe_app, "reader").post("/api/probes", {"contactName": "Ann"})
    assert (answer.status_code, answer.get_json()["details"]) == (403, {"needed": "campaigns:write"})


def test_a_key_that_calls_too_often_waits(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "CALLS_PER_MINUTE", 3)
    assert [client.get("/api/probes/7").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/api/probes/7")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.get_json()["code"] == "too_many_requests"


def test_without_redis_nobody_is_refused(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "CALLS_PER_MINUTE", 1)
    monkeypatch.setattr(queue, "_connection", redis.Redis.from_url("unix:///nowhere.sock"))
    assert [client.get("/api/probes/7").status_code for _ in range(3)] == [200, 200, 200]
    monkeypatch.undo()


def test_the_document_is_public_valid_and_complete(probe_app: Flask) -> None:
    document = ApiClient(probe_app, None).get("/api/openapi.json").get_json()
    validate(document)
    served = {
        (openapi.openapi_path(rule.rule), method)
        for rule in probe_app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    documented = {(path, method.upper()) for path, operations in document["paths"].items() for method in operations}
    assert served == documented
    operation = document["paths"]["/api/probes"]["post"]
    assert operation["x-scope"] == "campaigns:write"
    assert {"201", "400", "401", "403", "413", "415", "422", "429", "500"} == set(operation["responses"])


def test_a_route_needs_a_right_that_exists() -> None:
    with pytest.raises(ValueError, match="no such scope"):
        Api("x").get("/x", scope="campaigns:fly", summary="")


def test_a_cursor_type_reads_text_only() -> None:
    class OnlyCursor(Query):
        cursor: Cursor

    assert OnlyCursor(cursor=encode_cursor(9)).cursor == 9

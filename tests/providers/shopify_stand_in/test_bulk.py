"""Bulk operations: begun, watched, their files, their ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.processes import until
from tests.providers.shopify_stand_in.conftest import OPERATIONS, OURS, THEIRS, Inbox, Shopify

EXPORT = OPERATIONS["customers_bulk"]


def _begin(shopify: Shopify, token: str, query: str = EXPORT) -> dict[str, Any]:
    return dict(shopify.run(token, "bulk_operation_run_query", query=query)["data"]["bulkOperationRunQuery"])


def _id(shopify: Shopify, token: str) -> str:
    begun = _begin(shopify, token)
    assert begun["userErrors"] == []
    return str(begun["bulkOperation"]["id"])


def _look(shopify: Shopify, token: str, export: str) -> dict[str, Any]:
    return dict(shopify.run(token, "bulk_operation", id=export)["data"]["bulkOperation"])


def _ended(shopify: Shopify, token: str, export: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        seen = _look(shopify, token, export)
        return seen if seen["status"] not in ("CREATED", "RUNNING") else None

    return until(look, "the export ends", 20)


def test_an_export_has_a_line_for_each_customer(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, *({"email": f"p{n}@example.com"} for n in range(3)))
    shopify.stand_in.add_customers(THEIRS, {"email": "theirs@example.com"})
    token = shopify.token()
    done = _ended(shopify, token, _id(shopify, token))
    assert (done["status"], done["objectCount"], done["rootObjectCount"]) == ("COMPLETED", "3", "3")
    body = shopify.session.get(done["url"], timeout=10).content
    assert len(body) == int(done["fileSize"])
    lines = [json.loads(line) for line in body.splitlines()]
    singly = [shopify.run(token, "customer", id=line["id"])["data"]["customer"] for line in lines]
    assert lines == singly


def test_a_download_can_go_on_in_the_middle(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com"})
    token = shopify.token()
    url = _ended(shopify, token, _id(shopify, token))["url"]
    whole = shopify.session.get(url, timeout=10).content
    part = shopify.session.get(url, headers={"Range": "bytes=10-"}, timeout=10)
    assert (part.status_code, part.content) == (206, whole[10:])


def test_a_shop_without_customers_has_no_file(shopify: Shopify) -> None:
    token = shopify.token()
    done = _ended(shopify, token, _id(shopify, token))
    assert (done["status"], done["url"], done["objectCount"]) == ("COMPLETED", None, "0")


def test_a_crowd_is_exported_that_is_nowhere_kept(shopify: Shopify) -> None:
    shopify.stand_in.open_shop("crowded.myshopify.com", crowd=2_500)
    shopify.stand_in.install("crowded.myshopify.com")
    token = shopify.token("crowded.myshopify.com")
    query = {"query": OPERATIONS["bulk_operation_run_query"], "variables": {"query": EXPORT}}
    begun = shopify.post(token, query, "crowded.myshopify.com").json()["data"]["bulkOperationRunQuery"]

    def url() -> str | None:
        answer = shopify.run(token, "bulk_operation", "crowded.myshopify.com", id=begun["bulkOperation"]["id"])
        return answer["data"]["bulkOperation"]["url"]

    lines = shopify.session.get(until(url, "the export ends", 20), timeout=10).content.splitlines()
    phones = {(json.loads(line)["defaultPhoneNumber"] or {"phoneNumber": None})["phoneNumber"] for line in lines}
    assert len(lines) == 2_500
    assert len(phones - {None}) == 2_250
    assert shopify.stand_in.shop("crowded.myshopify.com")["customers"] == {}


def test_a_file_lives_for_seven_days_and_no_stranger_finds_it(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com"})
    token = shopify.token()
    export = _id(shopify, token)
    url = _ended(shopify, token, export)["url"]
    assert shopify.session.get(url.replace(".jsonl", "0.jsonl"), timeout=10).status_code == 400
    shopify.stand_in.advance(7 * 86_400 + 1)
    assert shopify.session.get(url, timeout=10).status_code == 400
    seen = _look(shopify, shopify.token(), export)
    assert (seen["status"], seen["url"]) == ("EXPIRED", None)


def test_five_run_at_once_and_a_sixth_is_refused(shopify: Shopify) -> None:
    shopify.stand_in.behave_bulk(seconds=30)
    token, other = shopify.token(), shopify.token(THEIRS)
    begun = [_id(shopify, token) for _ in range(5)]
    refused = _begin(shopify, token)
    assert refused["bulkOperation"] is None
    assert refused["userErrors"][0]["code"] == "LIMIT_REACHED"
    running = shopify.run(token, "bulk_operations_running")["data"]["bulkOperations"]["nodes"]
    assert {each["id"] for each in running} == set(begun)
    assert {each["query"] for each in running} == {EXPORT}
    theirs = shopify.run(other, "bulk_operation_run_query", THEIRS, query=EXPORT)["data"]["bulkOperationRunQuery"]
    assert theirs["userErrors"] == []


def test_one_that_fails_says_why_and_shows_what_it_had(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, *({"email": f"p{n}@example.com"} for n in range(3)))
    shopify.stand_in.behave_bulk(fail="TIMEOUT", next=1, lines=2)
    token = shopify.token()
    failed = _ended(shopify, token, _id(shopify, token))
    assert (failed["status"], failed["errorCode"], failed["url"]) == ("FAILED", "TIMEOUT", None)
    assert len(shopify.session.get(failed["partialDataUrl"], timeout=10).content.splitlines()) == 2
    assert _ended(shopify, token, _id(shopify, token))["status"] == "COMPLETED"


def test_without_the_scope_it_fails(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com"})
    shopify.stand_in.install(OURS, ["write_customers"])
    token = shopify.token()
    failed = _ended(shopify, token, _id(shopify, token))
    assert (failed["status"], failed["errorCode"], failed["partialDataUrl"]) == ("FAILED", "ACCESS_DENIED", None)


def test_what_the_app_is_not_approved_for_is_null_in_the_file(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com", "phone": "+306984303401"})
    shopify.stand_in.configure(protected_data=["customers", "phone"])
    token = shopify.token()
    url = _ended(shopify, token, _id(shopify, token))["url"]
    line = json.loads(shopify.session.get(url, timeout=10).content)
    assert line["defaultEmailAddress"] is None
    assert line["defaultPhoneNumber"]["phoneNumber"] == "+306984303401"


def test_its_end_is_told_by_a_webhook(shopify: Shopify, inbox: Inbox) -> None:
    token = shopify.token()
    export = _id(shopify, token)
    (arrived,) = until(lambda: inbox.arrived, "the webhook", 20)
    told = json.loads(arrived.body)
    assert arrived.headers["X-Shopify-Topic"] == "bulk_operations/finish"
    assert (told["admin_graphql_api_id"], told["status"], told["error_code"]) == (export, "completed", None)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{ customers { edges { node { id } }", "Syntax Error"),
        ("{ customers { edges { node { colour } } } }", "colour"),
        ("{ shop { name } }", "at least one connection"),
        ("query($first: Int) { customers(first: $first) { edges { node { id } } } }", "no variables"),
        ("{ shop { name } customers { edges { node { id } } } }", "one top-level field"),
        ('mutation { customerCreate(input: {phone: "1"}) { customer { id } } }', "Only queries"),
        ("{ customers { pageInfo { endCursor } } }", "select edges"),
    ],
)
def test_a_query_that_cannot_be_exported_is_refused(shopify: Shopify, query: str, why: str) -> None:
    refused = _begin(shopify, shopify.token(), query)
    assert refused["bulkOperation"] is None
    (error,) = refused["userErrors"]
    assert (error["field"], error["code"]) == (["query"], "INVALID")
    assert why in error["message"]

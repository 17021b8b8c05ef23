"""Faults on demand, the log of calls, and the stand-in as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from blossom.sandbox.shopify.process import StandIn, StandInError
from tests.faults.processes import until
from tests.providers.shopify_stand_in.conftest import OPERATIONS, OURS, REFRESH, Inbox, Shopify

CREATE = {"phone": "+306984303402", "marketingState": "SUBSCRIBED"}


def _customers(shopify: Shopify) -> int:
    return len(shopify.stand_in.shop(OURS)["customers"])


@pytest.mark.parametrize("status", ["401", "429", "500", "503"])
def test_the_next_call_fails_with_a_status_and_nothing_is_done(shopify: Shopify, status: str) -> None:
    token = shopify.token()
    shopify.stand_in.fail({"kind": status, "area": "graphql", "next": 1, "retry_after": 2.0})
    body = {"query": 'mutation { customerCreate(input: {phone: "+306984303402"}) { customer { id } } }'}
    answer = shopify.post(token, body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (int(status), "2.0")
    assert _customers(shopify) == 0
    assert shopify.post(token, body).status_code == 200
    assert _customers(shopify) == 1


def test_a_throttled_call_is_refused_as_shopify_does(shopify: Shopify) -> None:
    token = shopify.token()
    shopify.stand_in.fail({"kind": "throttled", "area": "graphql", "next": 1})
    answer = shopify.run(token, "customer_create", **CREATE)
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert answer["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] == 0
    assert _customers(shopify) == 0


@pytest.mark.parametrize("fault", [{"kind": "timeout", "seconds": 0.0}, {"kind": "502"}, {"kind": "garbage"}], ids=str)
def test_an_answer_can_be_lost_after_the_work(shopify: Shopify, fault: dict[str, Any]) -> None:
    token = shopify.token()
    shopify.stand_in.fail({**fault, "area": "graphql", "operation": "CustomerCreate", "next": 1, "done": True})
    assert "errors" not in shopify.run(token, "shop"), "another operation is not meant"
    with pytest.raises((requests.ConnectionError, AssertionError, requests.JSONDecodeError)):
        shopify.run(token, "customer_create", **CREATE)
    assert _customers(shopify) == 1


def test_a_timeout_holds_the_connection_and_ends_without_an_answer(shopify: Shopify) -> None:
    token = shopify.token()
    shopify.stand_in.fail({"kind": "timeout", "seconds": 0.4, "next": 1})
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        shopify.run(token, "shop")
    assert time.monotonic() - began > 0.4
    assert "errors" not in shopify.run(token, "shop")


def test_a_refresh_whose_answer_is_lost_has_used_up_its_token(shopify: Shopify) -> None:
    pair = shopify.exchange().json()
    given = REFRESH | {"refresh_token": pair["refresh_token"]}
    shopify.stand_in.fail({"kind": "500", "area": "oauth", "operation": "refresh_token", "next": 1, "done": True})
    assert shopify.oauth(given).status_code == 500
    assert shopify.oauth(given).status_code == 401


def test_a_download_can_break_off_in_the_middle(shopify: Shopify) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com"})
    token = shopify.token()
    begun = shopify.run(token, "bulk_operation_run_query", query=OPERATIONS["customers_bulk"])["data"]
    export = begun["bulkOperationRunQuery"]["bulkOperation"]["id"]
    url = until(lambda: shopify.run(token, "bulk_operation", id=export)["data"]["bulkOperation"]["url"], "its file", 20)
    whole = requests.get(url, timeout=10).content
    shopify.stand_in.fail({"kind": "cut", "area": "bulk", "done": True, "next": 1})
    came: list[bytes] = []
    with requests.get(url, stream=True, timeout=10) as answer:
        assert int(answer.headers["Content-Length"]) == len(whole)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            came.extend(answer.iter_content(1))
    assert b"".join(came) == whole[: len(whole) // 2]


def test_a_share_of_calls_fails_the_same_for_the_same_seed(shopify: Shopify) -> None:
    token = shopify.token()

    def round_of(seed: int) -> list[int]:
        shopify.stand_in.fail({"kind": "503", "share": 0.3}, seed=seed)
        return [shopify.post(token, {"query": "{ shop { name } }"}).status_code for _ in range(30)]

    first = round_of(1)
    assert set(first) == {200, 503}
    assert round_of(1) == first
    assert round_of(2) != first


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "explosion"},
        {"kind": "200"},
        {"area": "kitchen"},
        {"kind": "throttled"},
        {"kind": "cut"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_fault_that_there_is_not_is_refused(shopify: Shopify, fault: dict[str, Any]) -> None:
    with pytest.raises(StandInError):
        shopify.stand_in.fail(fault)


def test_calls_are_logged_with_what_became_of_them(shopify: Shopify) -> None:
    token = shopify.token()
    shopify.run(token, "customer_by_phone", phone="+306984303401")
    shopify.post("bad", {"query": "{ shop { name } }"})
    shopify.stand_in.fail({"kind": "503", "area": "graphql", "next": 1})
    shopify.post(token, {"query": "query Mine { shop { name } }"})
    shopify.oauth(REFRESH | {"refresh_token": "bad"})
    calls = [
        (each["area"], each["operation"], each["status"], each["fault"], each["code"])
        for each in shopify.stand_in.calls()
    ]
    assert calls == [
        ("oauth", "urn:ietf:params:oauth:grant-type:token-exchange", 200, "", ""),
        ("graphql", "CustomerByPhone", 200, "", ""),
        ("graphql", "", 401, "", ""),
        ("graphql", "Mine", 503, "503", ""),
        ("oauth", "refresh_token", 401, "", "invalid_request"),
    ]
    second = shopify.stand_in.calls(since=1)[0]
    assert (second["shop"], second["variables"]) == (OURS, {"phone": "+306984303401"})


def test_a_reset_forgets_all(shopify: Shopify, inbox: Inbox) -> None:
    token = shopify.token()
    shopify.stand_in.add_customers(OURS, {"email": "eleni@example.com"}, webhooks=True)
    shopify.stand_in.fail({"kind": "503", "share": 1.0})
    shopify.stand_in.reset(shops=[{"domain": OURS}])
    shopify.stand_in.install(OURS)
    assert shopify.stand_in.calls() == shopify.stand_in.webhooks() == []
    assert _customers(shopify) == 0
    assert shopify.post(token, {"query": "{ shop { name } }"}).status_code == 401


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("app", {"colour": "red"}),
        ("shops", {"domain": OURS}),
        ("shops", {"domain": "new.myshopify.com", "plan": "huge"}),
        ("install", {"shop": "nobody.myshopify.com"}),
        ("customers/act", {"shop": OURS, "id": 1, "do": "update"}),
        ("webhooks/behave", {"order": "sideways"}),
        ("webhooks", {"shop": OURS, "topic": "t", "signature": "pretty"}),
        ("bulk", {"fail": "SULKING"}),
        ("clock", {}),
        ("clock", {"advance": 1e300}),
        ("checkouts", {"shop": OURS, "checkout": {"items": [1]}}),
        ("webhooks/settle", {"wait": "long"}),
        ("app", []),
    ],
)
def test_what_cannot_be_done_is_said(shopify: Shopify, what: str, given: dict[str, Any]) -> None:
    answer = requests.post(f"{shopify.stand_in.url}/control/{what}", json=given, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_beyond_all_bounds_is_refused(shopify: Shopify) -> None:
    assert shopify.post(shopify.token(), {"query": "x" * 33_000_000}).status_code == 413


def test_it_ends_with_its_parent() -> None:
    code = (
        "from blossom.sandbox.shopify.process import StandIn\n"
        "print(StandIn.start().pid, flush=True)\n"
        "import os; os._exit(0)\n"  # as a kill would: nothing is tidied up
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    pid = int(done.stdout)

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(gone, "the stand-in ends", 10)


def test_one_that_cannot_start_says_so() -> None:
    with pytest.raises(StandInError, match="ended with code"):
        StandIn.start(shops=[{"domain": OURS, "plan": "huge"}])

"""What a call comes to: what is repeated and how long it waits, and what stands in the errors."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from blossom.platform import wire
from blossom.platform.config import Config
from blossom.shopify import documents
from blossom.shopify.client import ShopifyClient
from blossom.shopify.errors import FAULTS, ShopifyError, ShopifyErrorKind
from tests.providers.recorded import RecordedProvider, Turn, close, drip, reset, silence
from tests.shopify.conftest import OURS, Waits, answer, settings_for

SHOP = {"data": {"shop": {"name": "Ours"}}}
UPDATED: dict[str, Any] = {
    "data": {"customerCreate": {"customer": {"id": "gid://shopify/Customer/1"}, "userErrors": []}}
}
QUERY, MUTATION, IDEMPOTENT = "shop", "customer_create", "customer_sms_marketing_consent_update"


def errors(*codes: str, data: object = None, **cost: object) -> dict[str, Any]:
    found = [{"message": "of +306912345678", "extensions": {"code": code}} for code in codes]
    return {"data": data, "errors": found, "extensions": {"cost": cost}}


def throttled(wanted: float, available: float, rate: float = 100.0, most: float = 2000.0) -> dict[str, Any]:
    status = {"maximumAvailable": most, "currentlyAvailable": available, "restoreRate": rate}
    return errors("THROTTLED", requestedQueryCost=wanted, throttleStatus=status)


def tokens_sent(provider: RecordedProvider) -> list[str]:
    return [
        line.partition(b": ")[2].decode()
        for request in provider.requests
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"x-shopify-access-token")
    ]


def failure(client: ShopifyClient, operation: str = QUERY, **variables: Any) -> ShopifyError:
    with pytest.raises(ShopifyError) as caught:
        client.run(operation, **variables)
    return caught.value


def test_a_question_is_asked_and_answered(client: ShopifyClient, recorded: RecordedProvider) -> None:
    recorded.script(answer(SHOP))
    assert client.run("customer", id="gid://shopify/Customer/1") == SHOP["data"]
    head, _, body = recorded.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /shops/ours.myshopify.com/admin/api/2026-10/graphql.json ")
    assert tokens_sent(recorded) == ["token-1"]
    assert json.loads(body)["variables"] == {"id": "gid://shopify/Customer/1"}
    assert "query Customer(" in json.loads(body)["query"]


@pytest.mark.parametrize("name", ["nothing", "../errors", "shop.graphql", "", "Shop"])
def test_there_are_our_operations_and_no_others(client: ShopifyClient, name: str) -> None:
    with pytest.raises(LookupError):
        client.run(name)


def test_each_operation_is_one_query_or_one_mutation() -> None:
    names = [path.stem for path in documents.FOLDER.glob("*.graphql")]
    assert {QUERY, MUTATION, IDEMPOTENT} <= set(names)
    assert all(documents.read(name).text for name in names)
    assert documents.read(QUERY).repeatable
    assert documents.read(IDEMPOTENT).repeatable
    assert not documents.read(MUTATION).repeatable


@pytest.mark.parametrize(
    "domain", ["evil.example", "ours.myshopify.com.evil.example", "ours.myshopify.com/x", "OURS.myshopify.com"]
)
def test_only_a_canonical_shop_becomes_a_host(recorded: RecordedProvider, domain: str) -> None:
    with pytest.raises(ValueError, match="canonical"):
        ShopifyClient(domain, "token")


# Waiting as Shopify asks


@pytest.mark.parametrize("operation", [QUERY, MUTATION])
def test_what_is_throttled_waits_for_the_points_that_are_missing(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits, operation: str
) -> None:
    recorded.script(answer(throttled(400, 150)), answer(throttled(400, 399.9)), answer(UPDATED))
    client.run(operation)
    assert waits.taken == [2.5, 0.1]


def test_a_throttled_answer_without_figures_waits_a_second(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits
) -> None:
    recorded.script(answer(errors("THROTTLED")), answer(SHOP))
    client.run(QUERY)
    assert waits.taken == [1.0]


def test_waiting_for_points_has_an_end(client: ShopifyClient, recorded: RecordedProvider, waits: Waits) -> None:
    recorded.script(answer(throttled(1100, 100)))
    error = failure(client)
    assert (error.code, error.kind, error.retry_after) == ("throttled", ShopifyErrorKind.TRANSIENT, 10.0)
    assert waits.taken == [10.0, 10.0, 10.0]


def test_what_can_never_be_afforded_is_not_waited_for(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits
) -> None:
    recorded.script(answer(throttled(3000, 2000)))
    assert failure(client).code == "too_costly"
    assert waits.taken == []


@pytest.mark.parametrize("operation", [QUERY, MUTATION])
def test_429_waits_as_it_says(client: ShopifyClient, recorded: RecordedProvider, waits: Waits, operation: str) -> None:
    recorded.script(answer({}, 429, Retry_After="2.0"), answer({}, 429, Retry_After="7"), answer(UPDATED))
    client.run(operation)
    assert waits.taken == [2.0, 7.0]


@pytest.mark.parametrize("at_once", ["0", "0.0", "Fri, 20 Nov 2026 12:00:00 GMT"])
def test_429_that_says_at_once_is_not_asked_without_a_pause(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits, at_once: str
) -> None:
    waits.stop_after = 100
    recorded.script(answer({}, 429, Retry_After=at_once))
    assert failure(client).code == "throttled"
    assert waits.taken == [1.0] * 30


def test_a_process_that_stops_waits_no_longer(client: ShopifyClient, recorded: RecordedProvider, waits: Waits) -> None:
    waits.stop_after = 0
    recorded.script(answer({}, 429, Retry_After="7"))
    assert failure(client).code == "throttled"
    assert len(recorded.requests) == 1


# Failures

FAILURES: list[Callable[[], Turn]] = [
    lambda: answer({}, 500),
    lambda: answer({}, 502),
    lambda: answer({}, 503),
    lambda: answer({}, 504),
    lambda: answer({}, 408),
    lambda: answer(b"<html>"),
    lambda: answer(b"[]"),
    lambda: answer({"data": None}),
    lambda: answer(errors("INTERNAL_SERVER_ERROR")),
    reset,
    close,
    silence,
    lambda: drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100, 0.05),
]


@pytest.mark.parametrize("turn", FAILURES)
def test_a_question_is_asked_again(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits, turn: Callable[[], Turn]
) -> None:
    recorded.script(turn(), answer(SHOP))
    assert client.run(QUERY) == SHOP["data"]
    assert waits.taken == [0.2]


@pytest.mark.parametrize("turn", FAILURES)
def test_a_mutation_that_may_have_been_done_is_not_done_again(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits, turn: Callable[[], Turn]
) -> None:
    recorded.script(turn(), answer(UPDATED))
    error = failure(client, MUTATION)
    assert (error.code, error.kind) == ("outcome_unknown", ShopifyErrorKind.UNKNOWN_OUTCOME)
    assert len(recorded.requests) == 1
    assert waits.taken == []


@pytest.mark.parametrize("turn", FAILURES)
def test_a_mutation_that_may_be_done_twice_is(
    client: ShopifyClient, recorded: RecordedProvider, turn: Callable[[], Turn]
) -> None:
    recorded.script(turn(), answer(UPDATED))
    client.run(IDEMPOTENT)
    assert len(recorded.requests) == 2


def test_tries_are_counted(client: ShopifyClient, recorded: RecordedProvider, waits: Waits) -> None:
    recorded.script(answer({}, 503, Retry_After="2"))
    error = failure(client)
    assert (error.code, error.http_status) == ("shopify_failed", 503)
    assert waits.taken == [2.0, 2.0, 3.0]
    assert len(recorded.requests) == 4


@pytest.mark.parametrize("operation", [QUERY, MUTATION])
def test_without_a_connection_nothing_was_done(use: Callable[[Config], None], waits: Waits, operation: str) -> None:
    use(settings_for("http://127.0.0.1:9"))  # nobody listens there
    assert failure(ShopifyClient(OURS, "token-1", wait=waits), operation).code == "could_not_connect"
    assert waits.taken == [0.2, 1.0, 3.0]


def test_a_huge_answer_is_not_asked_for_again(
    client: ShopifyClient, recorded: RecordedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 1000)
    recorded.script(answer(b" " * 2000))
    assert failure(client).code == "answer_unreadable"
    assert len(recorded.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(301, "wrong_address"), (400, "operation_invalid"), (402, "shop_frozen"), (403, "access_denied"),
     (404, "shop_closed"), (413, "too_costly"), (418, "operation_invalid"), (423, "shop_closed")],
)  # fmt: skip
def test_a_refusal_is_final_and_has_its_name(
    client: ShopifyClient, recorded: RecordedProvider, status: int, code: str
) -> None:
    recorded.script(answer({"errors": "[API] …"}, status))
    error = failure(client, MUTATION)
    assert (error.code, error.http_status, error.kind) == (code, status, ShopifyErrorKind.PERMANENT)
    assert len(recorded.requests) == 1


@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (errors("ACCESS_DENIED"), "access_denied"),
        (errors("MAX_COST_EXCEEDED"), "too_costly"),
        (errors("SHOP_INACTIVE"), "shop_closed"),
        (errors("undefinedField"), "operation_invalid"),
        (errors("undefinedField", "ACCESS_DENIED"), "access_denied"),
        ({"errors": "Not Found"}, "operation_invalid"),
        ({"errors": {"query": "missing"}}, "operation_invalid"),
        ({"errors": [None, {"extensions": None}, {"extensions": {"code": 1}}]}, "operation_invalid"),
    ],
)
def test_an_error_in_an_answer_has_its_name(
    client: ShopifyClient, recorded: RecordedProvider, answered: dict[str, Any], code: str
) -> None:
    recorded.script(answer(answered))
    assert failure(client).code == code


def test_what_an_answer_brought_in_spite_of_an_error_is_kept(client: ShopifyClient, recorded: RecordedProvider) -> None:
    seen = {"customer": {"id": "gid://shopify/Customer/1", "firstName": None}}
    recorded.script(answer(errors("ACCESS_DENIED", data=seen)))
    assert failure(client).data == seen


def test_a_refused_mutation_says_which_field_and_why(client: ShopifyClient, recorded: RecordedProvider) -> None:
    refusals = [
        {"field": ["input", "phone"], "message": "+306912345678 is taken", "code": "TAKEN"},
        {"field": None, "message": "No"},
        None,
    ]
    recorded.script(answer({"data": {"customerCreate": {"customer": None, "userErrors": refusals}}}))
    error = failure(client, MUTATION)
    assert error.code == "refused"
    assert [(each.path, each.code) for each in error.user_errors] == [(("input", "phone"), "TAKEN"), ((), ""), ((), "")]
    assert error.details["refused"][0] == {"field": ["input", "phone"], "code": "TAKEN"}
    assert "+30" not in f"{error} {error.details} {error.as_json(None)} {error.user_errors!r} {error!r}"


# Access


@pytest.mark.parametrize("operation", [QUERY, MUTATION])
def test_a_token_that_is_refused_is_renewed_once(
    client: ShopifyClient, recorded: RecordedProvider, waits: Waits, operation: str
) -> None:
    recorded.script(answer({"errors": "[API] Invalid"}, 401), answer(UPDATED))
    client.run(operation)
    client.run(operation)
    assert tokens_sent(recorded) == ["token-1", "token-2", "token-2"]
    assert waits.taken == []


def test_a_renewed_token_that_is_refused_too_is_the_end(client: ShopifyClient, recorded: RecordedProvider) -> None:
    recorded.script(answer({}, 401))
    assert failure(client).code == "access_lost"
    assert tokens_sent(recorded) == ["token-1", "token-2"]


def test_without_a_way_to_renew_a_refused_token_is_the_end(recorded: RecordedProvider) -> None:
    recorded.script(answer({}, 401))
    assert failure(ShopifyClient(OURS, "token-1")).code == "access_lost"


def test_another_version_than_asked_for_is_told_once(client: ShopifyClient, recorded: RecordedProvider) -> None:
    recorded.script(answer(SHOP, X_Shopify_API_Version="2027-01"))
    with capture_logs() as told:
        client.run(QUERY)
        client.run(QUERY)
    assert [line["event"] for line in told] == ["shopify.other_version"]


def test_errors_cross_process_borders() -> None:
    error = ShopifyError("throttled", http_status=429, retry_after=2.0, data={"a": 1})
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.http_status, again.retry_after, again.data) == ("throttled", 429, 2.0, {"a": 1})


def test_the_table_tells_a_merchant_something_of_each() -> None:
    assert all(fault.merchant_text.endswith(".") for fault in FAULTS.values())
